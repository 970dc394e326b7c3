/*
 * symbol/unzstd_libzstd.c - sections compressed by Zstandard, by libzstd.
 *
 * Inspector only.
 */
#include <zstd.h>

#include "symbol/unzstd.h"

bool gmr__unzstd_plausible(const void *from, size_t from_bytes, size_t bytes)
{
    unsigned long long first = ZSTD_getFrameContentSize(from, from_bytes);
    return first != ZSTD_CONTENTSIZE_ERROR && (first == ZSTD_CONTENTSIZE_UNKNOWN || first <= bytes);
}

bool gmr__unzstd(const void *from, size_t from_bytes, void *to, size_t bytes)
{
    return ZSTD_decompress(to, bytes, from, from_bytes) == bytes;
}
