/*
 * symbol/symbolizer.h - the symbolizer's inside, for its own files. Inspector only.
 */
#ifndef GMR_SYMBOL_SYMBOLIZER_H
#define GMR_SYMBOL_SYMBOLIZER_H

#include "symbol/cache.h"
#include "symbol/dwarf_info.h"
#include "symbol/internal.h"
#include "symbol/names.h"
#include "symbol/pool.h"

struct gmr__perf_map;
struct gmr__sources;
struct gmr__tail_calls;

struct gmr__symbol_slot {
    uint64_t lookup;
    const struct gmr__resolved *resolved;
};

struct gmr__symbol_file { /* one a module */
    struct gmr__dwarf_info *dwarf;
    struct gmr__names *names;
    struct gmr__cache *cache;
    bool dwarf_tried, names_tried, cache_tried;
};

struct gmr__symbolizer {
    const struct gmr__snapshot *snapshot;
    struct gmr__modules *modules;
    struct gmr__symbolizer_options options;
    struct gmr__pool pool;
    struct gmr__symbol_slot *table; /* open addressing, a power of two */
    size_t table_size, table_used;
    struct gmr__symbol_file *files;
    struct gmr__perf_map *perf_map;
    struct gmr__sources *sources;
    struct gmr__tail_calls *tail_calls;
    uint64_t program; /* hash of all modules' build ids, 0: not made yet */
};

/* Both may be NULL, each is opened once. */
struct gmr__dwarf_info *gmr__symbolizer_dwarf(struct gmr__symbolizer *symbolizer, struct gmr__module_data *module);
struct gmr__cache *gmr__symbolizer_cache(struct gmr__symbolizer *symbolizer, struct gmr__module_data *module);
struct gmr__names *gmr__symbolizer_names(struct gmr__symbolizer *symbolizer, struct gmr__module_data *module);

/* --- perf_map.c: the list that JIT compilers write for perf. NULL: no name. */
const char *gmr__perf_map_find(struct gmr__perf_map **map, struct gmr__modules *modules, uint64_t address,
                               uint64_t *start);
void gmr__perf_map_free(struct gmr__perf_map *map);

/* --- source.c */
/* The file as the report names it: by its full path where it is at hand, else as debug information has it. NULL for NULL. */
const char *gmr__source_path(struct gmr__symbolizer *symbolizer, const char *directory, const char *file);
/* Tells when a module that names `file` was built: a source newer than all such modules is not the one it was made from. */
void gmr__source_seen(struct gmr__symbolizer *symbolizer, const char *file, uint64_t built_ns);
void gmr__sources_free(struct gmr__sources *sources);

#endif
