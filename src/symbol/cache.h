/*
 * symbol/cache.h - the symbol cache on disk. Inspector only.
 */
#ifndef GMR_SYMBOL_CACHE_H
#define GMR_SYMBOL_CACHE_H

#include <stdbool.h>
#include <stddef.h>

/* $XDG_CACHE_HOME/gmr or ~/.cache/gmr, into text[cap]. NULL: there is no such place for this user. */
const char *gmr__symbol_cache_directory(char *text, size_t cap);

#endif
