/*
 * symbol/cache_format.h - the layout of a cache file, in the byte order of the machine that it belongs to. Inspector only.
 *
 * header, pcs (by address), symbols, calls (by return_pc, callee, other), call pcs, strings. Any change needs another magic.
 */
#ifndef GMR_SYMBOL_CACHE_FORMAT_H
#define GMR_SYMBOL_CACHE_FORMAT_H

#include <stdint.h>

#include "symbol/cache.h"
#include "symbol/symbol.h"

#define GMR__CACHE_MAGIC "gmrsym\0\2"
#define GMR__CACHE_MAX_BYTES ((uint64_t)8 << 20)    /* one file */
#define GMR__CACHE_TOTAL_BYTES ((uint64_t)64 << 20) /* all files */
#define GMR__CACHE_NO_STRING UINT32_MAX

struct gmr__cache_header {
    char magic[8];
    uint64_t identity; /* of the debug information that the answers come from */
    uint32_t checksum; /* CRC-32 of what follows the header */
    uint32_t pcs, symbols, calls, call_pcs, strings;
};

struct gmr__cache_pc {
    uint64_t address, entry;
    uint32_t first, count;
};

struct gmr__cache_symbol {
    uint64_t offset;
    uint32_t function, file;
    int32_t line, column;
    uint32_t flags; /* 1: inlined */
    uint32_t zero;
};

struct gmr__cache_call {
    uint64_t return_pc, callee, other;
    uint32_t first, count;
};

struct gmr__cache {
    char path[4096];
    char directory[4096];
    uint64_t identity;
    unsigned char *image; /* the file, checked; NULL: none */
    const struct gmr__cache_header *header;
    const struct gmr__cache_pc *pcs;
    const struct gmr__cache_symbol *symbols;
    const struct gmr__cache_call *calls;
    const uint64_t *call_pcs;
    const char *strings;

    struct gmr__cached_pc *new_pcs;
    size_t new_pc_count, new_pc_cap;
    struct gmr__cached_calls *new_calls;
    size_t new_call_count, new_call_cap;
};

#endif
