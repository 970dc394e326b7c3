/*
 * symbol/inflate.h - compressed sections. Inspector only. One of inflate_libdeflate.c, inflate_zlib.c is built.
 */
#ifndef GMR_SYMBOL_INFLATE_H
#define GMR_SYMBOL_INFLATE_H

#include <stdbool.h>
#include <stddef.h>

/* The zlib stream (RFC 1950) at `from`, which must yield `bytes` bytes, checksum and all. False: it doesn't, or no memory. */
bool gmr__inflate(const void *from, size_t from_bytes, void *to, size_t bytes);

#endif
