/*
 * symbol/cache.h - the symbol cache on disk: what was found out about the pcs of a module, by its build id. Inspector only.
 */
#ifndef GMR_SYMBOL_CACHE_H
#define GMR_SYMBOL_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gmr__module_data;
struct gmr__symbol;
struct gmr__cache;

/* $XDG_CACHE_HOME/gmr or ~/.cache/gmr, into text[cap]. NULL: there is no such place for this user. */
const char *gmr__symbol_cache_directory(char *text, size_t cap);

/* A pc of a module and its symbols; all addresses are the file's. */
struct gmr__cached_pc {
    uint64_t address, entry;
    const struct gmr__symbol *symbols;
    size_t symbol_count;
};

/* A pair of caller and callee, and the tail calls between them, 0 mostly. other: the callee's build id and the program's modules, as a number. */
struct gmr__cached_calls {
    uint64_t return_pc, callee, other;
    const uint64_t
        *pcs; /* the lowest bit tells whose file: 0 the caller's, 1 the callee's; the address is shifted left by one */
    size_t pc_count;
};

/* What is known of a module, NULL only without memory: a file that is absent, damaged or of other debug information counts as empty. */
struct gmr__cache *gmr__cache_open(const char *directory, struct gmr__module_data *module);
void gmr__cache_close(struct gmr__cache *cache);

/* symbols: room for `cap`; their strings live as long as the cache. The number of symbols, 0: not known. */
size_t gmr__cache_find(const struct gmr__cache *cache, uint64_t address, struct gmr__symbol *symbols, size_t cap,
                       uint64_t *entry);
/* pcs: room for `cap`. The number of tail calls, -1: not known. */
int gmr__cache_find_calls(const struct gmr__cache *cache, uint64_t return_pc, uint64_t callee, uint64_t other,
                          uint64_t *pcs, size_t cap);

/* Adds to what is known, in memory; pointers must stay valid until gmr__cache_save. */
void gmr__cache_add(struct gmr__cache *cache, const struct gmr__cached_pc *pc);
void gmr__cache_add_calls(struct gmr__cache *cache, const struct gmr__cached_calls *calls);
/* Writes the file anew if something was added. Failures are nobody's business: the next report is as slow as this one. */
void gmr__cache_save(struct gmr__cache *cache);

#endif
