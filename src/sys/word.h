/*
 * sys/word.h - words of memory: one out of bytes copied from elsewhere, which may lie at any address, and the order of two.
 *
 * Both halves, any context.
 */
#ifndef GMR_SYS_WORD_H
#define GMR_SYS_WORD_H

#include <stddef.h>
#include <stdint.h>

/* For qsort. */
static inline int gmr__compare_words(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static inline uint64_t gmr__word(const void *bytes, size_t offset)
{
    uint64_t word;
    __builtin_memcpy(&word, (const unsigned char *)bytes + offset, sizeof(word));
    return word;
}

#endif
