/*
 * symbol/inflate_libdeflate.c - compressed sections by libdeflate, which takes less than half of zlib's time.
 *
 * Inspector only. Inflating glibc's debug sections is most of what a first report does.
 */
#include <libdeflate.h>

#include "symbol/inflate.h"

bool gmr__inflate(const void *from, size_t from_bytes, void *to, size_t bytes)
{
    struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
    bool done =
        inflater && libdeflate_zlib_decompress(inflater, from, from_bytes, to, bytes, NULL) == LIBDEFLATE_SUCCESS;
    libdeflate_free_decompressor(inflater);
    return done;
}
