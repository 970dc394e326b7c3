/*
 * sys/buf.h - text into a bounded buffer, without stdio. Both halves, async-signal-safe.
 *
 * Always NUL-terminated; what does not fit is dropped and `overflow` set.
 */
#ifndef GMR_SYS_BUF_H
#define GMR_SYS_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gmr__buf {
    char *text;
    size_t used, cap;
    bool overflow;
};

void gmr__buf_init(struct gmr__buf *buf, char *text, size_t cap); /* cap > 0 */
void gmr__buf_bytes(struct gmr__buf *buf, const char *bytes, size_t count);
void gmr__buf_str(struct gmr__buf *buf, const char *text); /* NULL: nothing */
void gmr__buf_char(struct gmr__buf *buf, char c);
void gmr__buf_uint(struct gmr__buf *buf, uint64_t value);
void gmr__buf_int(struct gmr__buf *buf, int64_t value);
void gmr__buf_hex(struct gmr__buf *buf, uint64_t value);             /* lower case, no 0x */
void gmr__buf_pad(struct gmr__buf *buf, uint64_t value, int digits); /* decimal with leading zeros */

/* libc's, but never through an ifunc or a sanitizer's interceptor in a crashed process. */
size_t gmr__strlen(const char *text);
bool gmr__streq(const char *a, const char *b);
bool gmr__starts_with(const char *text, const char *prefix);
void *gmr__memcpy(void *to, const void *from, size_t bytes);
void *gmr__memset(void *to, int value, size_t bytes);
int gmr__memcmp(const void *a, const void *b, size_t bytes);
/* Decimal at *text, moved past it; false if there is no digit or it overflows. */
bool gmr__parse_uint(const char **text, uint64_t *value);
bool gmr__parse_hex(const char **text, uint64_t *value);

#endif
