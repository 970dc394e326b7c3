/*
 * view/format_as.c - printf's formatting without stdio.
 *
 * Both halves, async-signal-safe: a crash-safe generator may call gmr_put_format in a crashed process, where vsnprintf (locale, TLS,
 * malloc for long precisions) must not run. Knows d i u x X o c s p e f g and %%, with flags, width, precision and lengths. The
 * rest (n, wide characters, positions, a) ends the formatting: their arguments' types aren't known. Caller: put_as.c.
 */
#include "view/view.h"

struct format {
    void (*put)(void *userdata, const char *bytes, size_t count);
    void *userdata;
    bool left, zero, plus, space, alternate;
    int width, precision; /* precision -1: none */
    char length;          /* 'h', 'H' (hh), 'l', 'q' (ll, j), 'z', 't', 'L', 0 */
};

static void repeat(struct format *f, char c, int count)
{
    char run[32];
    gmr__memset(run, c, sizeof(run));
    for (; count > 0; count -= (int)sizeof(run))
        f->put(f->userdata, run, count < (int)sizeof(run) ? (size_t)count : sizeof(run));
}

/* Sign or prefix, zeros, digits; padded to the width. */
static void put_padded(struct format *f, const char *prefix, const char *body, size_t count, int zeros)
{
    size_t lead = gmr__strlen(prefix);
    size_t total = lead + count + (size_t)zeros;
    int pad = f->width > 0 && (size_t)f->width > total ? f->width - (int)total : 0;
    if (!f->left && !f->zero)
        repeat(f, ' ', pad);
    f->put(f->userdata, prefix, lead);
    if (!f->left && f->zero)
        repeat(f, '0', pad);
    repeat(f, '0', zeros);
    f->put(f->userdata, body, count);
    if (f->left)
        repeat(f, ' ', pad);
}

static void put_integer(struct format *f, uint64_t value, bool negative, char conversion)
{
    char text[24];
    char *at = text + sizeof(text);
    unsigned base = conversion == 'x' || conversion == 'X' ? 16 : conversion == 'o' ? 8 : 10;
    const char *digits = conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    const char *prefix = negative ? "-" : "";
    if (f->alternate && value && base == 16)
        prefix = conversion == 'X' ? "0X" : "0x";
    for (uint64_t left = value; left; left /= base)
        *--at = digits[left % base];
    if (at == text + sizeof(text) && f->precision != 0)
        *--at = '0';
    if (conversion == 'd' && !negative && (f->plus || f->space))
        prefix = f->plus ? "+" : " ";
    size_t count = (size_t)(text + sizeof(text) - at);
    int zeros = f->precision > (int)count ? f->precision - (int)count : 0;
    if (f->alternate && base == 8 && !zeros && (!count || *at != '0'))
        zeros = 1;
    if (f->precision >= 0)
        f->zero = false;
    put_padded(f, prefix, at, count, zeros);
}

static void put_double(struct format *f, double value, char conversion)
{
    char text[GMR__DOUBLE_FORMAT];
    bool upper = conversion >= 'A' && conversion <= 'Z';
    char lower = upper ? (char)(conversion + 32) : conversion;
    size_t count = gmr__double_format(value, lower, f->precision, f->alternate, text);
    for (size_t i = 0; upper && i < count; i++) {
        if (text[i] >= 'a' && text[i] <= 'z')
            text[i] = (char)(text[i] - 32);
    }
    bool negative = text[0] == '-';
    char last = text[count - 1];
    if (last < '0' || last > '9')
        f->zero = false; /* inf, nan */
    put_padded(f, negative ? "-" : f->plus ? "+" : f->space ? " " : "", text + negative, count - negative, 0);
}

static void put_string(struct format *f, const char *text)
{
    if (!text)
        text = "(null)";
    size_t count = 0;
    while ((f->precision < 0 || count < (size_t)f->precision) && text[count])
        count++;
    f->zero = false;
    put_padded(f, "", text, count, 0);
}

static int number(const char **at)
{
    int value = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++)
        value = value < 100000 ? value * 10 + (**at - '0') : value;
    return value;
}

static void flags(struct format *f, const char **at)
{
    f->left = f->zero = f->plus = f->space = f->alternate = false;
    for (;; (*at)++) {
        if (**at == '-')
            f->left = true;
        else if (**at == '0')
            f->zero = true;
        else if (**at == '+')
            f->plus = true;
        else if (**at == ' ')
            f->space = true;
        else if (**at == '#')
            f->alternate = true;
        else
            return;
    }
}

static void length(struct format *f, const char **at)
{
    f->length = 0;
    char c = **at;
    if (c == 'h' || c == 'l') {
        bool twice = (*at)[1] == c;
        f->length = twice ? (c == 'h' ? 'H' : 'q') : c;
        *at += twice ? 2 : 1;
    } else if (c == 'j' || c == 'z' || c == 't' || c == 'L' || c == 'q') {
        f->length = c == 'j' ? 'q' : c;
        (*at)++;
    }
}

struct arguments {
    va_list list; /* in a struct: va_list may be an array, which a function can't take by address portably */
};

static int64_t signed_argument(const struct format *f, struct arguments *a)
{
    switch (f->length) {
    case 'H':
        return (signed char)va_arg(a->list, int);
    case 'h':
        return (short)va_arg(a->list, int);
    case 'l':
        return va_arg(a->list, long);
    case 'q':
    case 'L':
        return va_arg(a->list, long long);
    case 'z':
    case 't':
        return va_arg(a->list, ptrdiff_t);
    default:
        return va_arg(a->list, int);
    }
}

static uint64_t unsigned_argument(const struct format *f, struct arguments *a)
{
    switch (f->length) {
    case 'H':
        return (unsigned char)va_arg(a->list, int);
    case 'h':
        return (unsigned short)va_arg(a->list, int);
    case 'l':
        return va_arg(a->list, unsigned long);
    case 'q':
    case 'L':
        return va_arg(a->list, unsigned long long);
    case 'z':
    case 't':
        return va_arg(a->list, size_t);
    default:
        return va_arg(a->list, unsigned);
    }
}

static void put_pointer(struct format *f, uint64_t value)
{
    if (!value) {
        f->precision = -1;
        put_string(f, "(nil)");
        return;
    }
    f->alternate = true;
    put_integer(f, value, false, 'x');
}

/* One conversion; false if it is unknown. */
static bool convert(struct format *f, char conversion, struct arguments *a)
{
    char c;
    int64_t value;
    switch (conversion) {
    case 'd':
    case 'i':
        value = signed_argument(f, a);
        put_integer(f, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, 'd');
        return true;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        put_integer(f, unsigned_argument(f, a), false, conversion);
        return true;
    case 'p':
        put_pointer(f, (uintptr_t)va_arg(a->list, void *));
        return true;
    case 'c':
        if (f->length == 'l')
            return false;
        c = (char)va_arg(a->list, int);
        f->zero = false;
        put_padded(f, "", &c, 1, 0);
        return true;
    case 's':
        if (f->length == 'l')
            return false;
        put_string(f, va_arg(a->list, const char *));
        return true;
    case 'e':
    case 'f':
    case 'g':
    case 'E':
    case 'F':
    case 'G':
        put_double(f, f->length == 'L' ? (double)va_arg(a->list, long double) : va_arg(a->list, double), conversion);
        return true;
    case '%':
        f->put(f->userdata, "%", 1);
        return true;
    default:
        return false;
    }
}

void gmr__vformat(void (*put)(void *userdata, const char *bytes, size_t count), void *userdata, const char *format,
                  va_list arguments)
{
    struct format f = {.put = put, .userdata = userdata};
    struct arguments a;
    va_copy(a.list, arguments);
    const char *at = format;
    while (*at) {
        const char *run = at;
        while (*at && *at != '%')
            at++;
        if (at > run)
            put(userdata, run, (size_t)(at - run));
        if (!*at)
            break;
        const char *start = at++;
        flags(&f, &at);
        f.width = *at == '*' ? (at++, va_arg(a.list, int)) : number(&at);
        if (f.width < 0) {
            f.left = true;
            f.width = f.width < -100000 ? 100000 : -f.width;
        }
        f.precision = -1;
        if (*at == '.') {
            at++;
            f.precision = *at == '*' ? (at++, va_arg(a.list, int)) : number(&at);
        }
        length(&f, &at);
        if (!*at || !convert(&f, *at, &a)) {
            put(userdata, start, gmr__strlen(start));
            break;
        }
        at++;
    }
    va_end(a.list);
}
