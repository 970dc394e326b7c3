/*
 * view/double_as.c - floating-point numbers as text: the shortest digits that read back as the same number, laid out as
 * Python's repr lays them out, and printf's e, f and g.
 *
 * Both halves, async-signal-safe: exact integer arithmetic of fixed size, no locale, no malloc, no rounding mode. The shortest
 * digits come from the free-format algorithm of Steele and White ("How to print floating-point numbers accurately", 1990) in the
 * form of Burger and Dybvig (1996): the value is the fraction r/s, and digits are generated until what is left lies within the
 * interval that reads back as the value. Callers: the views, format_as.c.
 */
#include "view/view.h"

#define WORDS 40 /* 1280 bits: 2^1074 and 10^309 with room for the factors below */
#define MAX_DIGITS 380

struct big {
    uint32_t word[WORDS];
    int count;
};

static void big_set(struct big *b, uint64_t value)
{
    b->word[0] = (uint32_t)value;
    b->word[1] = (uint32_t)(value >> 32);
    b->count = b->word[1] ? 2 : b->word[0] ? 1 : 0;
}

static void big_mul(struct big *b, uint32_t factor)
{
    uint64_t carry = 0;
    for (int i = 0; i < b->count; i++) {
        carry += (uint64_t)b->word[i] * factor;
        b->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && b->count < WORDS)
        b->word[b->count++] = (uint32_t)carry;
}

static void big_shift(struct big *b, int bits)
{
    for (; bits >= 31; bits -= 31)
        big_mul(b, 1u << 31);
    big_mul(b, 1u << bits);
}

static void big_pow10(struct big *b, int power)
{
    for (; power >= 9; power -= 9)
        big_mul(b, 1000000000u);
    for (; power > 0; power--)
        big_mul(b, 10);
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (int i = a->count - 1; i >= 0; i--) {
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i] ? -1 : 1;
    }
    return 0;
}

/* a + b compared with c. */
static int big_compare_sum(const struct big *a, const struct big *b, const struct big *c)
{
    struct big sum;
    uint64_t carry = 0;
    sum.count = a->count > b->count ? a->count : b->count;
    for (int i = 0; i < sum.count; i++) {
        carry += (uint64_t)(i < a->count ? a->word[i] : 0) + (i < b->count ? b->word[i] : 0);
        sum.word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && sum.count < WORDS)
        sum.word[sum.count++] = (uint32_t)carry;
    return big_compare(&sum, c);
}

static void big_subtract(struct big *a, const struct big *b) /* a >= b */
{
    int64_t borrow = 0;
    for (int i = 0; i < a->count; i++) {
        int64_t difference = (int64_t)a->word[i] - (i < b->count ? b->word[i] : 0) + borrow;
        a->word[i] = (uint32_t)difference;
        borrow = difference < 0 ? -1 : 0;
    }
    while (a->count && !a->word[a->count - 1])
        a->count--;
}

/* r / s for r < 10 s; r becomes the remainder. */
static int big_digit(struct big *r, const struct big *s)
{
    int digit = 0;
    while (big_compare(r, s) >= 0) {
        big_subtract(r, s);
        digit++;
    }
    return digit;
}

/* A positive finite double as digits: 0.d1d2d3... times 10^point. */
struct decimal {
    char digit[MAX_DIGITS + 1];
    int count, point;
};

struct fraction {
    struct big r, s, up, down; /* value r/s; up/s and down/s: half the way to the neighbours */
    bool even;
    int point;
};

static void split(double value, uint64_t *mantissa, int *exponent)
{
    uint64_t bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    int biased = (int)(bits >> 52 & 0x7ff);
    *mantissa = bits & 0xfffffffffffffull;
    if (biased)
        *mantissa |= 1ull << 52;
    *exponent = (biased ? biased : 1) - 1075;
}

/* Scales so that r/s is in [1/10, 1): the first digit comes with the next multiplication by ten. */
static void fraction_scale(struct fraction *f, uint64_t mantissa, int exponent)
{
    int bits = 64 - __builtin_clzll(mantissa) + exponent;         /* value < 2^bits */
    long estimate = ((long)(bits - 1) * 30103 - 100000) / 100000; /* at most the power wanted, at least it minus two */
    f->point = (int)estimate;
    if (f->point >= 0) {
        big_pow10(&f->s, f->point);
    } else {
        big_pow10(&f->r, -f->point);
        big_pow10(&f->up, -f->point);
        big_pow10(&f->down, -f->point);
    }
    for (;;) {
        int side = big_compare_sum(&f->r, &f->up, &f->s);
        if (side < 0 || (side == 0 && !f->even))
            break;
        big_mul(&f->s, 10);
        f->point++;
    }
}

static void fraction_init(struct fraction *f, double value)
{
    uint64_t mantissa;
    int exponent;
    split(value, &mantissa, &exponent);
    f->even = !(mantissa & 1);
    big_set(&f->r, mantissa);
    big_set(&f->s, 1);
    big_set(&f->up, 1);
    big_set(&f->down, 1);
    /* Below a power of two the neighbour is half as far. */
    bool uneven = mantissa == 1ull << 52 && exponent > -1074;
    if (exponent >= 0) {
        big_shift(&f->r, exponent);
        big_shift(&f->up, exponent);
        big_shift(&f->down, exponent);
    } else {
        big_shift(&f->s, -exponent);
    }
    big_shift(&f->r, uneven ? 2 : 1);
    big_shift(&f->s, uneven ? 2 : 1);
    if (uneven)
        big_shift(&f->up, 1);
    fraction_scale(f, mantissa, exponent);
}

static void round_up(struct decimal *d)
{
    int i = d->count;
    while (i > 0 && d->digit[i - 1] == '9')
        d->digit[--i] = '0';
    if (i > 0) {
        d->digit[i - 1]++;
        return;
    }
    /* 999 -> 1000: one digit more in front, one fewer behind. */
    if (d->count == 0)
        d->count = 1;
    d->digit[0] = '1';
    d->point++;
}

static void shortest(double value, struct decimal *d)
{
    struct fraction f;
    fraction_init(&f, value);
    d->count = 0;
    d->point = f.point;
    for (;;) {
        big_mul(&f.r, 10);
        big_mul(&f.up, 10);
        big_mul(&f.down, 10);
        int digit = big_digit(&f.r, &f.s);
        int low = big_compare(&f.r, &f.down), high = big_compare_sum(&f.r, &f.up, &f.s);
        bool low_ok = f.even ? low <= 0 : low < 0, high_ok = f.even ? high >= 0 : high > 0;
        d->digit[d->count++] = (char)('0' + digit);
        if (!low_ok && !high_ok && d->count < 17)
            continue;
        int half = big_compare_sum(&f.r, &f.r, &f.s);
        if (high_ok && (!low_ok || half > 0 || (half == 0 && (digit & 1))))
            round_up(d);
        break;
    }
    while (d->count > 1 && d->digit[d->count - 1] == '0')
        d->count--;
}

/* `count` significant digits (count may be 0 or less: then at most a rounding up to one digit), half to even. */
static void exact(double value, int count, bool after_point, struct decimal *d)
{
    struct fraction f;
    fraction_init(&f, value);
    /* the interval's upper half may have scaled one power too far */
    struct big ten = f.r;
    big_mul(&ten, 10);
    d->point = f.point;
    if (big_compare(&ten, &f.s) < 0) {
        f.r = ten;
        d->point--;
    }
    if (after_point)
        count += d->point;
    d->count = 0;
    if (count < 0)
        return; /* less than half of the last place: nothing */
    if (count > MAX_DIGITS)
        count = MAX_DIGITS;
    while (d->count < count) {
        big_mul(&f.r, 10);
        d->digit[d->count++] = (char)('0' + big_digit(&f.r, &f.s));
    }
    int half = big_compare_sum(&f.r, &f.r, &f.s);
    if (half > 0 || (half == 0 && d->count && ((d->digit[d->count - 1] - '0') & 1)))
        round_up(d);
}

static size_t special(double value, char *to)
{
    uint64_t bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    const char *name = bits & 0xfffffffffffffull ? "nan" : bits >> 63 ? "-inf" : "inf";
    size_t n = gmr__strlen(name);
    gmr__memcpy(to, name, n + 1);
    return n;
}

static bool is_special(double value)
{
    uint64_t bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    return (bits >> 52 & 0x7ff) == 0x7ff;
}

/* The sign goes to the text; what is left is positive or zero. */
static double put_sign(struct gmr__buf *buf, double value)
{
    uint64_t bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    if (bits >> 63)
        gmr__buf_char(buf, '-');
    bits &= ~0ull >> 1;
    __builtin_memcpy(&value, &bits, sizeof(bits));
    return value;
}

static void put_exponent(struct gmr__buf *buf, int exponent)
{
    gmr__buf_char(buf, 'e');
    gmr__buf_char(buf, exponent < 0 ? '-' : '+');
    gmr__buf_pad(buf, (uint64_t)(exponent < 0 ? -exponent : exponent), 2);
}

static void put_digits(struct gmr__buf *buf, const struct decimal *d, int from, int count)
{
    for (int i = from; i < from + count; i++)
        gmr__buf_char(buf, i >= 0 && i < d->count ? d->digit[i] : '0');
}

/* Digits with the point where it belongs, `places` behind it. */
static void put_fixed(struct gmr__buf *buf, const struct decimal *d, int places)
{
    if (d->point > 0)
        put_digits(buf, d, 0, d->point);
    else
        gmr__buf_char(buf, '0');
    if (places > 0) {
        gmr__buf_char(buf, '.');
        put_digits(buf, d, d->point, places);
    }
}

/* Up to six places and fifteen digits in all, as most values have it (seconds, loads): no two such decimals are the same double, so if this
 * one reads back as the value, it is the shortest. */
static bool short_decimal(double value, struct decimal *d)
{
    if (value >= 1e9)
        return false;
    uint64_t millionths = (uint64_t)(value * 1e6 + 0.5);
    if (!millionths || (double)millionths / 1e6 != value)
        return false;
    char text[24];
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_uint(&buf, millionths);
    d->count = (int)buf.used;
    d->point = d->count - 6;
    gmr__memcpy(d->digit, text, buf.used);
    while (d->count > 1 && d->digit[d->count - 1] == '0')
        d->count--;
    return true;
}

size_t gmr__double_text(double value, char *to)
{
    struct gmr__buf buf;
    struct decimal d = {.digit = "0", .count = 1, .point = 1};
    if (is_special(value))
        return special(value, to);
    gmr__buf_init(&buf, to, GMR__DOUBLE_TEXT);
    value = put_sign(&buf, value);
    if (value > 0 && !short_decimal(value, &d))
        shortest(value, &d);
    if (d.point > -4 && d.point <= 16) {
        put_fixed(&buf, &d, d.count > d.point ? d.count - d.point : 1);
        return buf.used;
    }
    gmr__buf_char(&buf, d.digit[0]);
    if (d.count > 1) {
        gmr__buf_char(&buf, '.');
        put_digits(&buf, &d, 1, d.count - 1);
    }
    put_exponent(&buf, d.point - 1);
    return buf.used;
}

static void put_scientific(struct gmr__buf *buf, const struct decimal *d, int places)
{
    put_digits(buf, d, 0, 1);
    if (places > 0) {
        gmr__buf_char(buf, '.');
        put_digits(buf, d, 1, places);
    }
    put_exponent(buf, d->point - 1);
}

size_t gmr__double_format(double value, char conversion, int precision, bool alternate, char *to)
{
    struct gmr__buf buf;
    struct decimal d = {.digit = "0", .count = 1, .point = 1};
    if (is_special(value))
        return special(value, to);
    gmr__buf_init(&buf, to, GMR__DOUBLE_FORMAT);
    value = put_sign(&buf, value);
    if (precision < 0)
        precision = 6;
    if (precision > 60)
        precision = 60;
    if (conversion == 'f') {
        if (value > 0)
            exact(value, precision, true, &d);
        put_fixed(&buf, &d, precision);
        return buf.used;
    }
    int digits = conversion == 'e' ? precision + 1 : precision ? precision : 1;
    if (value > 0)
        exact(value, digits, false, &d);
    if (conversion == 'e') {
        put_scientific(&buf, &d, precision);
        return buf.used;
    }
    if (!alternate) {
        while (d.count > 1 && d.digit[d.count - 1] == '0')
            d.count--;
    }
    int kept = alternate ? digits : d.count;
    if (d.point - 1 < -4 || d.point > digits)
        put_scientific(&buf, &d, kept - 1);
    else
        put_fixed(&buf, &d, kept > d.point ? kept - d.point : 0);
    return buf.used;
}
