/*
 * sys/grow.h - room in lists that malloc made and that grow as they are filled.
 *
 * Doubles, so that adding one is cheap on average, from 16 elements or half a KiB. A failure, also a product that does not fit a size_t or a
 * list past its limit, leaves list and room as they were. Used by the inspector and by what runs on a program's own
 * threads. Never in *_as.c: it calls realloc.
 */
#ifndef GMR_SYS_GROW_H
#define GMR_SYS_GROW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GMR__GROW_FIRST_BYTES 512

/* For how many elements there should be room where there was for `cap` and `want` are needed, `max` at most. 0: can't be. */
static inline size_t gmr__grown(size_t cap, size_t want, size_t max, size_t element_bytes)
{
    size_t bytes, grown = cap < max / 2 ? 2 * cap : max, first = GMR__GROW_FIRST_BYTES / element_bytes;
    if (first < 16)
        first = 16;
    if (grown < first)
        grown = first < max ? first : max;
    if (grown < want)
        grown = want;
    return want > max || __builtin_mul_overflow(grown, element_bytes, &bytes) ? 0 : grown;
}

/* list points to the pointer to the first element. The macros below know the rest. */
static inline bool gmr__grow(void *list, size_t element_bytes, size_t *cap, size_t want, size_t max, bool zeroed)
{
    if (want <= *cap)
        return true;
    void *old, *larger = NULL;
    memcpy(&old, list, sizeof(old));
    size_t grown = gmr__grown(*cap, want, max, element_bytes);
    if (grown != 0)
        larger = realloc(old, grown * element_bytes);
    if (!larger)
        return false;
    if (zeroed)
        memset((char *)larger + *cap * element_bytes, 0, (grown - *cap) * element_bytes);
    memcpy(list, &larger, sizeof(larger));
    *cap = grown;
    return true;
}

/* For lists in an arena, which gives nothing back: `larger` (NULL: false) has room for `grown` elements and becomes the list. */
static inline bool gmr__grow_into(void *larger, void *list, size_t element_bytes, size_t *cap, size_t grown)
{
    void *old;
    memcpy(&old, list, sizeof(old));
    if (!larger)
        return false;
    if (*cap)
        memcpy(larger, old, *cap * element_bytes);
    memcpy(list, &larger, sizeof(larger));
    *cap = grown;
    return true;
}

/* Room for `want` elements in all; false: there is no memory for them. */
#define GMR__GROW(list, cap, want) gmr__grow(&(list), sizeof(*(list)), &(cap), (want), SIZE_MAX, false)
/* Likewise; more than `max` there never are. */
#define GMR__GROW_UP_TO(list, cap, want, max) gmr__grow(&(list), sizeof(*(list)), &(cap), (want), (max), false)
/* Likewise; what has not been used yet is zero. */
#define GMR__GROW_ZEROED(list, cap, want) gmr__grow(&(list), sizeof(*(list)), &(cap), (want), SIZE_MAX, true)

#endif
