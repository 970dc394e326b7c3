/*
 * symbol/symbolizer.c - pc -> functions, files and lines; each distinct pc once.
 *
 * Inspector only, one thread. Names come from DWARF where it has the address, else from the ELF symbol tables, else (no module at all) from a
 * JIT's own list. Results live in an arena as long as the symbolizer; strings that repeat (files, functions) are kept once.
 */
#include <stdlib.h>
#include <string.h>

#include "symbol/demangle.h"
#include "symbol/dwarf_info.h"
#include "symbol/names.h"
#include "symbol/pool.h"
#include "symbol/symbolizer.h"
#include "symbol/tail_calls.h"

struct gmr__symbolizer *gmr__symbolizer_new(const struct gmr__snapshot *snapshot, struct gmr__modules *modules,
                                            const struct gmr__symbolizer_options *options)
{
    struct gmr__symbolizer *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->snapshot = snapshot;
    s->modules = modules;
    if (options)
        s->options = *options;
    if (options && options->debug_directory)
        modules->debug_directory = options->debug_directory;
    if (options && options->debuginfod_urls) {
        modules->debuginfod_urls = options->debuginfod_urls;
        modules->debuginfod_timeout_ms = options->debuginfod_timeout_ms ? options->debuginfod_timeout_ms : 10000;
        modules->debuginfod_left_ns =
            (options->debuginfod_total_ms ? options->debuginfod_total_ms : 300000) * UINT64_C(1000000);
    }
    s->files = calloc(modules->count + 1, sizeof(*s->files));
    if (!s->files || !gmr__pool_init(&s->pool)) {
        free(s->files);
        free(s);
        return NULL;
    }
    for (size_t i = 0; i < modules->count; i++)
        modules->list[i]->index = i;
    return s;
}

void gmr__symbolizer_save(struct gmr__symbolizer *s)
{
    for (size_t i = 0; i < s->modules->count; i++) {
        if (s->files[i].cache)
            gmr__cache_save(s->files[i].cache);
    }
}

void gmr__symbolizer_free(struct gmr__symbolizer *s)
{
    if (!s)
        return;
    gmr__symbolizer_save(s);
    for (size_t i = 0; i < s->modules->count; i++) {
        gmr__dwarf_info_free(s->files[i].dwarf);
        gmr__names_free(s->files[i].names);
        gmr__cache_close(s->files[i].cache);
    }
    gmr__tail_calls_free(s->tail_calls);
    gmr__perf_map_free(s->perf_map);
    gmr__sources_free(s->sources);
    gmr__pool_free(&s->pool);
    free(s->table);
    free(s->files);
    free(s);
}

/* --------------------------------------------------------------------------------- the table of pcs */

static size_t slot_of(const struct gmr__symbolizer *s, uint64_t lookup)
{
    size_t at = (size_t)((lookup * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (s->table_size - 1);
    while (s->table[at].resolved && s->table[at].lookup != lookup)
        at = (at + 1) & (s->table_size - 1);
    return at;
}

static bool grow(struct gmr__symbolizer *s)
{
    size_t old_size = s->table_size;
    struct gmr__symbol_slot *old = s->table;
    size_t size = old_size ? old_size * 2 : 1024;
    struct gmr__symbol_slot *table = calloc(size, sizeof(*table));
    if (!table)
        return false;
    s->table = table;
    s->table_size = size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].resolved)
            table[slot_of(s, old[i].lookup)] = old[i];
    }
    free(old);
    return true;
}

/* --------------------------------------------------------------------------------- resolving one pc */

struct building {
    struct gmr__symbolizer *s;
    uint64_t address; /* in the module's file */
    struct gmr__symbol symbols[GMR__MAX_INLINES];
    uint64_t start; /* of the real function, in the module's file */
    size_t count;
    bool incomplete; /* not for the cache: tomorrow more may be known */
};

static void add(void *userdata, const struct gmr__dwarf_frame *frame)
{
    struct building *b = userdata;
    if (b->count == GMR__MAX_INLINES)
        return;
    struct gmr__symbol *symbol = &b->symbols[b->count++];
    *symbol = (struct gmr__symbol){
        .function = frame->function[0] ? gmr__pool_string(&b->s->pool, frame->function) : NULL,
        .file = gmr__source_path(b->s, frame->directory, frame->file),
        .line = frame->line,
        .column = frame->column,
        .inlined = frame->inlined,
        .problem = frame->incomplete ? "its .dwo file is not there: inlined calls are not known" : NULL,
    };
    b->incomplete |= frame->incomplete;
    if (!frame->inlined) {
        b->start = frame->entry;
        symbol->offset = frame->start && b->address >= frame->start ? b->address - frame->start : 0;
    }
}

struct gmr__dwarf_info *gmr__symbolizer_dwarf(struct gmr__symbolizer *s, struct gmr__module_data *m)
{
    struct gmr__symbol_file *file = &s->files[m->index];
    if (!file->dwarf_tried) {
        file->dwarf_tried = true;
        file->dwarf = gmr__dwarf_info_new(m);
    }
    return file->dwarf;
}

struct gmr__names *gmr__symbolizer_names(struct gmr__symbolizer *s, struct gmr__module_data *m)
{
    struct gmr__symbol_file *file = &s->files[m->index];
    if (!file->names_tried) {
        file->names_tried = true;
        file->names = gmr__names_new(m);
    }
    return file->names;
}

/* Only of modules whose file was found and verified, or that have none (the vdso): what is missing today may be there tomorrow. */
struct gmr__cache *gmr__symbolizer_cache(struct gmr__symbolizer *s, struct gmr__module_data *m)
{
    struct gmr__symbol_file *file = &s->files[m->index];
    if (!file->cache_tried) {
        file->cache_tried = true;
        if (s->options.cache_directory && !s->options.no_lines && m->module.build_id_bytes && gmr__module_file(m) &&
            !m->module.problem)
            file->cache = gmr__cache_open(s->options.cache_directory, m);
    }
    return file->cache;
}

/* The real function's name from the symbol tables, where DWARF did not tell. */
static void add_elf_name(struct building *b, struct gmr__module_data *m)
{
    const char *mangled;
    uint64_t start;
    struct gmr__names *names = gmr__symbolizer_names(b->s, m);
    if (!names || !gmr__names_find(names, b->address, &mangled, &start))
        return;
    char function[1024];
    gmr__demangle(mangled, function, sizeof(function));
    if (b->count == 0)
        b->symbols[b->count++] = (struct gmr__symbol){0};
    struct gmr__symbol *symbol = &b->symbols[b->count - 1];
    symbol->function = gmr__pool_string(&b->s->pool, function);
    symbol->offset = b->address - start;
    b->start = start;
}

/* False: not for the cache. Of a file that is being replaced in place nothing is taken, since it may be of two. */
static bool resolve_in(struct building *b, struct gmr__module_data *m)
{
    if (gmr__module_changed(&m->module))
        return false;
    struct gmr__dwarf_info *dwarf = b->s->options.no_lines ? NULL : gmr__symbolizer_dwarf(b->s, m);
    if (dwarf)
        gmr__dwarf_info_find(dwarf, b->address, add, b);
    if (b->count == 0 || !b->symbols[b->count - 1].function || b->symbols[b->count - 1].inlined)
        add_elf_name(b, m);
    if (!gmr__module_changed(&m->module))
        return !b->incomplete;
    b->count = 0;
    b->start = 0;
    return false;
}

static const struct gmr__resolved *resolve(struct gmr__symbolizer *s, uint64_t lookup)
{
    const struct gmr__module *module = gmr__modules_find(s->modules, lookup);
    struct building b = {.s = s};
    struct gmr__cache *cache = NULL;
    if (module) {
        struct gmr__module_data *m = (struct gmr__module_data *)module;
        gmr__module_file(m); /* may correct the bias */
        b.address = lookup - module->bias;
        cache = gmr__symbolizer_cache(s, m);
        b.count = cache ? gmr__cache_find(cache, b.address, b.symbols, GMR__MAX_INLINES, &b.start) : 0;
        bool fresh = b.count == 0 && resolve_in(&b, m);
        cache = fresh ? cache : NULL;
    } else {
        const char *name = gmr__perf_map_find(&s->perf_map, s->modules, lookup, &b.start);
        if (name)
            b.symbols[b.count++] = (struct gmr__symbol){
                .function = gmr__pool_string(&s->pool, name), .offset = lookup - b.start, .guessed = true};
    }
    if (b.count == 0)
        b.symbols[b.count++] = (struct gmr__symbol){0};
    const struct gmr__elf_file *from = module ? gmr__module_file((struct gmr__module_data *)module) : NULL;
    for (size_t i = 0; from && i < b.count; i++) {
        if (b.symbols[i].file)
            gmr__source_seen(s, b.symbols[i].file, from->mtime_ns);
    }
    struct gmr__resolved *resolved = gmr__pool_alloc(&s->pool, sizeof(*resolved));
    struct gmr__symbol *symbols = gmr__pool_alloc(&s->pool, b.count * sizeof(*symbols));
    if (!resolved || !symbols)
        return NULL;
    memcpy(symbols, b.symbols, b.count * sizeof(*symbols));
    if (cache)
        gmr__cache_add(cache, &(struct gmr__cached_pc){b.address, b.start, symbols, b.count});
    *resolved = (struct gmr__resolved){module, symbols, b.count, module && b.start ? b.start + module->bias : 0};
    return resolved;
}

const struct gmr__resolved *gmr__symbolize(struct gmr__symbolizer *s, uint64_t lookup)
{
    if (2 * (s->table_used + 1) > s->table_size && !grow(s))
        return NULL;
    size_t at = slot_of(s, lookup);
    if (!s->table[at].resolved) {
        const struct gmr__resolved *resolved = resolve(s, lookup);
        if (!resolved)
            return NULL;
        s->table[at] = (struct gmr__symbol_slot){lookup, resolved};
        s->table_used++;
    }
    return s->table[at].resolved;
}
