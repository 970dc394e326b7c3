/*
 * symbol/unzstd_none.c - built where libzstd is not at hand: sections compressed by Zstandard can't be read.
 *
 * Inspector only.
 */
#include "symbol/unzstd.h"

bool gmr__unzstd_plausible(const void *from, size_t from_bytes, size_t bytes)
{
    (void)from;
    (void)from_bytes;
    (void)bytes;
    return false;
}

bool gmr__unzstd(const void *from, size_t from_bytes, void *to, size_t bytes)
{
    return gmr__unzstd_plausible(from, from_bytes, bytes) && to;
}
