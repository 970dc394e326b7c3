/*
 * symbol/unzstd.h - sections compressed by Zstandard (ELFCOMPRESS_ZSTD). Inspector only. One of unzstd_libzstd.c, unzstd_none.c is built.
 */
#ifndef GMR_SYMBOL_UNZSTD_H
#define GMR_SYMBOL_UNZSTD_H

#include <stdbool.h>
#include <stddef.h>

/* Do the frames at `from` yield, by their own word, `bytes` bytes? Costs nothing: asked before memory is taken for them. */
bool gmr__unzstd_plausible(const void *from, size_t from_bytes, size_t bytes);
/* False: they don't, or no memory, or gmr was built without libzstd. */
bool gmr__unzstd(const void *from, size_t from_bytes, void *to, size_t bytes);

#endif
