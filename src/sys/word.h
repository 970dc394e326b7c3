/*
 * sys/word.h - a word out of bytes copied from elsewhere, which may lie at any address.
 *
 * Both halves, any context: it is a load.
 */
#ifndef GMR_SYS_WORD_H
#define GMR_SYS_WORD_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t gmr__word(const void *bytes, size_t offset)
{
    uint64_t word;
    __builtin_memcpy(&word, (const unsigned char *)bytes + offset, sizeof(word));
    return word;
}

#endif
