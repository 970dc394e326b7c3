/*
 * sys/buf_as.c - bounded text building and the few string functions that async-signal-safe code needs.
 *
 * Both halves, any context. Never allocates, never calls libc. Callers: every layer.
 */
#include "sys/buf.h"

void gmr__buf_init(struct gmr__buf *buf, char *text, size_t cap)
{
    *buf = (struct gmr__buf){.text = text, .cap = cap};
    text[0] = '\0';
}

void gmr__buf_bytes(struct gmr__buf *buf, const char *bytes, size_t count)
{
    size_t room = buf->cap - 1 - buf->used;
    if (count > room) {
        buf->overflow = true;
        count = room;
    }
    gmr__memcpy(buf->text + buf->used, bytes, count);
    buf->used += count;
    buf->text[buf->used] = '\0';
}

void gmr__buf_str(struct gmr__buf *buf, const char *text)
{
    if (text)
        gmr__buf_bytes(buf, text, gmr__strlen(text));
}

void gmr__buf_char(struct gmr__buf *buf, char c)
{
    gmr__buf_bytes(buf, &c, 1);
}

static void put_number(struct gmr__buf *buf, uint64_t value, unsigned base, int digits)
{
    char text[64];
    char *at = text + sizeof(text);
    do {
        *--at = "0123456789abcdef"[value % base];
        value /= base;
        digits--;
    } while ((value || digits > 0) && at > text);
    gmr__buf_bytes(buf, at, (size_t)(text + sizeof(text) - at));
}

void gmr__buf_uint(struct gmr__buf *buf, uint64_t value)
{
    put_number(buf, value, 10, 1);
}

void gmr__buf_int(struct gmr__buf *buf, int64_t value)
{
    if (value < 0)
        gmr__buf_char(buf, '-');
    put_number(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, 1);
}

void gmr__buf_hex(struct gmr__buf *buf, uint64_t value)
{
    put_number(buf, value, 16, 1);
}

void gmr__buf_pad(struct gmr__buf *buf, uint64_t value, int digits)
{
    put_number(buf, value, 10, digits);
}

size_t gmr__strlen(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

bool gmr__streq(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

bool gmr__starts_with(const char *text, const char *prefix)
{
    while (*prefix) {
        if (*text++ != *prefix++)
            return false;
    }
    return true;
}

/* -fno-tree-loop-distribute-patterns (src/sys/meson.build) keeps the compiler from turning these loops into calls of
 * the very functions they replace. */
void *gmr__memcpy(void *to, const void *from, size_t bytes)
{
    char *t = to;
    const char *f = from;
    for (; bytes >= sizeof(uint64_t); bytes -= sizeof(uint64_t)) {
        uint64_t word;
        __builtin_memcpy(&word, f, sizeof(word));
        __builtin_memcpy(t, &word, sizeof(word));
        t += sizeof(word);
        f += sizeof(word);
    }
    while (bytes--)
        *t++ = *f++;
    return to;
}

void *gmr__memset(void *to, int value, size_t bytes)
{
    char *t = to;
    while (bytes--)
        *t++ = (char)value;
    return to;
}

int gmr__memcmp(const void *a, const void *b, size_t bytes)
{
    const unsigned char *x = a, *y = b;
    for (; bytes--; x++, y++) {
        if (*x != *y)
            return *x < *y ? -1 : 1;
    }
    return 0;
}

bool gmr__parse_uint(const char **text, uint64_t *value)
{
    const char *at = *text;
    uint64_t sum = 0;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(sum, (uint64_t)10, &sum) || __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
            return false;
    }
    *text = at;
    *value = sum;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool gmr__parse_hex(const char **text, uint64_t *value)
{
    const char *at = *text;
    uint64_t sum = 0;
    int count = 0;
    for (; hex_digit(*at) >= 0; at++, count++) {
        if (count == 16)
            return false;
        sum = sum << 4 | (unsigned)hex_digit(*at);
    }
    if (!count)
        return false;
    *text = at;
    *value = sum;
    return true;
}
