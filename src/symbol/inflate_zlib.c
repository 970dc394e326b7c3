/*
 * symbol/inflate_zlib.c - compressed sections by zlib, which libelf needs anyway.
 *
 * Inspector only. Built where libdeflate is not at hand.
 */
#include <zlib.h>

#include "symbol/inflate.h"

bool gmr__inflate(const void *from, size_t from_bytes, void *to, size_t bytes)
{
    uLongf got = bytes;
    return uncompress(to, &got, from, from_bytes) == Z_OK && got == bytes;
}
