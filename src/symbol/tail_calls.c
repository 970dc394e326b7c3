/*
 * symbol/tail_calls.c - frames that tail calls have taken off the stack, where the debug information proves them.
 *
 * Inspector only. The caller's call site names the function that it called. Is that not the one that runs, then the former must
 * have jumped to the latter, perhaps by way of others: all ways over the functions' tail calls are searched. Frames are given only as
 * far as every possible way has them in common, and none at all if one of the calls on the way goes through a pointer. These are the
 * rules of gdb, and the results agree with it.
 */
#include "symbol/tail_calls.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CHAIN 32
#define MAX_STEPS 2000
#define MAX_VISITED 512

struct entry {
    uint64_t return_pc, callee;
    const struct gmr__tail_call *list;
    size_t count;
    bool used;
};

struct gmr__tail_calls {
    struct entry *entries; /* open addressing, a power of two */
    size_t size, count;
};

/* A tail call at run-time addresses, and where to go on when it has been tried. */
struct hop {
    const struct gmr__call_sites *sites; /* of the function it stands in */
    size_t index;
    struct gmr__module_data *module;
    uint64_t pc; /* behind the jump */
};

struct search {
    struct gmr__symbolizer *s;
    uint64_t callee;
    struct hop chain[MAX_CHAIN];
    size_t length;
    uint64_t visited[MAX_VISITED];
    size_t visited_count;
    uint64_t result[MAX_CHAIN]; /* pcs of the first way found, the caller's side first */
    size_t result_length, callers, callees;
    bool found, failed;
};

/* --------------------------------------------------------------------------------- the way */

/* A way has been found: what it has in common with those before stays. */
static void candidate(struct search *search)
{
    if (!search->found) {
        search->found = true;
        search->result_length = search->callers = search->callees = search->length;
        for (size_t i = 0; i < search->length; i++)
            search->result[i] = search->chain[i].pc;
        return;
    }
    size_t length = search->length, common = 0;
    while (common < search->callers && common < length && search->result[common] == search->chain[common].pc)
        common++;
    search->callers = common;
    common = 0;
    while (common < search->callees && common < length &&
           search->result[search->result_length - 1 - common] == search->chain[length - 1 - common].pc)
        common++;
    search->callees = common;
    if (!search->callers && !search->callees)
        search->failed = true;
}

static bool visit(struct search *search, uint64_t pc)
{
    for (size_t i = 0; i < search->visited_count; i++) {
        if (search->visited[i] == pc)
            return false;
    }
    if (search->visited_count == MAX_VISITED) {
        search->failed = true;
        return false;
    }
    search->visited[search->visited_count++] = pc;
    return true;
}

static void leave(struct search *search, uint64_t pc)
{
    for (size_t i = search->visited_count; i > 0; i--) {
        if (search->visited[i - 1] == pc) {
            search->visited[i - 1] = search->visited[--search->visited_count];
            return;
        }
    }
}

/* --------------------------------------------------------------------------------- functions and their calls */

static struct gmr__module_data *module_at(struct gmr__symbolizer *s, uint64_t address)
{
    return (struct gmr__module_data *)gmr__modules_find(s->modules, address);
}

static const struct gmr__call_sites *sites_at(struct gmr__symbolizer *s, struct gmr__module_data *m, uint64_t address)
{
    struct gmr__dwarf_info *dwarf = m ? gmr__symbolizer_dwarf(s, m) : NULL;
    return dwarf ? gmr__dwarf_info_calls(dwarf, address - m->module.bias) : NULL;
}

/* The run-time entry of the function `name`: first is it the callee, then where a linker would find it. */
static uint64_t by_name(struct search *search, struct gmr__module_data *from, const char *name)
{
    struct gmr__symbolizer *s = search->s;
    struct gmr__module_data *callee = module_at(s, search->callee);
    uint64_t start;
    if (callee && gmr__names_has(gmr__symbolizer_names(s, callee), search->callee - callee->module.bias, name))
        return search->callee;
    if (gmr__names_address(gmr__symbolizer_names(s, from), name, &start))
        return start + from->module.bias;
    for (size_t i = 0; i < s->modules->count; i++) {
        struct gmr__module_data *m = s->modules->list[i];
        if (m != from && gmr__names_address(gmr__symbolizer_names(s, m), name, &start))
            return start + m->module.bias;
    }
    return 0;
}

/* The run-time entry of what a call site calls. 0: not known. */
static uint64_t target_of(struct search *search, struct gmr__module_data *m, const struct gmr__call_site *site)
{
    if (site->name)
        return by_name(search, m, site->name);
    return site->target ? site->target + gmr__dwarf_info_delta(gmr__symbolizer_dwarf(search->s, m)) + m->module.bias
                        : 0;
}

/* The next tail call of a function from `index` on that is not on the way already; false: none is left. */
static bool next_tail(struct search *search, struct hop *hop)
{
    for (; hop->index < hop->sites->count; hop->index++) {
        const struct gmr__call_site *site = &hop->sites->list[hop->index];
        if (!site->tail)
            continue;
        hop->pc = site->return_pc + gmr__dwarf_info_delta(gmr__symbolizer_dwarf(search->s, hop->module)) +
                  hop->module->module.bias;
        if (visit(search, hop->pc))
            return true;
    }
    return false;
}

/* Goes into the function at `target` by its first tail call, or back to the last one that has a sibling. False: all ways have been tried. */
static bool advance(struct search *search, uint64_t target)
{
    if (target != search->callee) {
        struct hop hop = {.module = module_at(search->s, target)};
        hop.sites = sites_at(search->s, hop.module, target);
        if (!hop.sites) { /* a function without debug information may call anything */
            search->failed = true;
            return false;
        }
        if (hop.sites->complete && search->length < MAX_CHAIN && next_tail(search, &hop)) {
            search->chain[search->length++] = hop;
            return true;
        }
    }
    while (search->length > 0 && !search->failed) {
        struct hop *hop = &search->chain[search->length - 1];
        leave(search, hop->pc);
        hop->index++;
        if (next_tail(search, hop))
            return true;
        search->length--;
    }
    return false;
}

static void find(struct search *search, uint64_t return_pc)
{
    struct gmr__module_data *m = module_at(search->s, return_pc - 1);
    const struct gmr__call_sites *sites = sites_at(search->s, m, return_pc - 1);
    const struct gmr__call_site *site = NULL;
    for (size_t i = 0; sites && i < sites->count && !site; i++) {
        uint64_t delta = gmr__dwarf_info_delta(gmr__symbolizer_dwarf(search->s, m)) + m->module.bias;
        if (sites->list[i].return_pc + delta == return_pc)
            site = &sites->list[i];
    }
    for (int steps = 0; site && !search->failed; steps++) {
        uint64_t target = target_of(search, m, site);
        if (!target || steps == MAX_STEPS) {
            search->failed = true;
            return;
        }
        if (target == search->callee)
            candidate(search);
        if (search->failed || !advance(search, target))
            return;
        const struct hop *hop = &search->chain[search->length - 1];
        m = hop->module;
        site = &hop->sites->list[hop->index];
    }
}

/* --------------------------------------------------------------------------------- frames */

/* The symbols of a pc behind a tail call, marked as such. */
static const struct gmr__resolved *marked(struct gmr__symbolizer *s, uint64_t pc)
{
    const struct gmr__resolved *plain = gmr__symbolize(s, pc - 1);
    struct gmr__resolved *copy = gmr__pool_alloc(&s->pool, sizeof(*copy));
    struct gmr__symbol *symbols = plain ? gmr__pool_alloc(&s->pool, plain->symbol_count * sizeof(*symbols)) : NULL;
    if (!copy || !symbols)
        return NULL;
    memcpy(symbols, plain->symbols, plain->symbol_count * sizeof(*symbols));
    for (size_t i = 0; i < plain->symbol_count; i++)
        symbols[i].tail_call = true;
    *copy = *plain;
    copy->symbols = symbols;
    return copy;
}

static void keep(struct search *search, struct entry *entry)
{
    bool whole = search->callers == search->result_length;
    size_t count = whole ? search->result_length : search->callers + search->callees;
    if (!search->found || search->failed || count == 0 || count > search->result_length)
        return;
    struct gmr__tail_call *list = gmr__pool_alloc(&search->s->pool, count * sizeof(*list));
    if (!list)
        return;
    for (size_t i = 0; i < count; i++) { /* the innermost first: from the end of the way */
        size_t from_end = i;
        size_t at = !whole && i >= search->callees ? search->callers - 1 - (i - search->callees)
                                                   : search->result_length - 1 - from_end;
        list[i].pc = search->result[at];
        list[i].resolved = marked(search->s, list[i].pc);
        if (!list[i].resolved)
            return;
    }
    entry->list = list;
    entry->count = count;
}

static size_t slot_of(const struct gmr__tail_calls *calls, uint64_t return_pc, uint64_t callee)
{
    size_t at = (size_t)(((return_pc ^ callee << 17) * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (calls->size - 1);
    while (calls->entries[at].used &&
           (calls->entries[at].return_pc != return_pc || calls->entries[at].callee != callee))
        at = (at + 1) & (calls->size - 1);
    return at;
}

static struct entry *entry_of(struct gmr__symbolizer *s, uint64_t return_pc, uint64_t callee)
{
    if (!s->tail_calls)
        s->tail_calls = calloc(1, sizeof(*s->tail_calls));
    struct gmr__tail_calls *calls = s->tail_calls;
    if (!calls)
        return NULL;
    if (2 * (calls->count + 1) > calls->size) {
        struct gmr__tail_calls grown = {.size = calls->size ? calls->size * 2 : 256, .count = calls->count};
        grown.entries = calloc(grown.size, sizeof(*grown.entries));
        if (!grown.entries)
            return NULL;
        for (size_t i = 0; i < calls->size; i++) {
            const struct entry *old = &calls->entries[i];
            if (old->used)
                grown.entries[slot_of(&grown, old->return_pc, old->callee)] = *old;
        }
        free(calls->entries);
        *calls = grown;
    }
    return &calls->entries[slot_of(calls, return_pc, callee)];
}

/* --------------------------------------------------------------------------------- the cache on disk */

/* The callee's build id and, as a name may be found in any of them, all modules of the program. */
static uint64_t fingerprint(struct gmr__symbolizer *s, const struct gmr__module_data *callee)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    if (!s->program) {
        for (size_t i = 0; i < s->modules->count; i++) {
            const struct gmr__module *module = &s->modules->list[i]->module;
            for (unsigned k = 0; k < module->build_id_bytes; k++)
                hash = (hash ^ module->build_id[k]) * UINT64_C(0x100000001B3);
        }
        s->program = hash | 1;
    }
    hash = s->program;
    for (unsigned k = 0; k < callee->module.build_id_bytes; k++)
        hash = (hash ^ callee->module.build_id[k]) * UINT64_C(0x100000001B3);
    return hash;
}

static bool from_cache(struct gmr__symbolizer *s, struct entry *entry, struct gmr__module_data *caller,
                       struct gmr__module_data *callee)
{
    struct gmr__cache *cache = gmr__symbolizer_cache(s, caller);
    uint64_t pcs[MAX_CHAIN];
    int count = cache
                    ? gmr__cache_find_calls(cache, entry->return_pc - caller->module.bias,
                                            entry->callee - callee->module.bias, fingerprint(s, callee), pcs, MAX_CHAIN)
                    : -1;
    struct gmr__tail_call *list = count > 0 ? gmr__pool_alloc(&s->pool, (size_t)count * sizeof(*list)) : NULL;
    if (count <= 0 || !list)
        return count == 0;
    for (int i = 0; i < count; i++) {
        list[i].pc = (pcs[i] >> 1) + (pcs[i] & 1 ? callee : caller)->module.bias;
        list[i].resolved = marked(s, list[i].pc);
        if (!list[i].resolved)
            return false;
    }
    entry->list = list;
    entry->count = (size_t)count;
    return true;
}

static void to_cache(struct gmr__symbolizer *s, const struct entry *entry, struct gmr__module_data *caller,
                     struct gmr__module_data *callee)
{
    struct gmr__cache *cache = gmr__symbolizer_cache(s, caller);
    uint64_t *pcs = cache ? gmr__pool_alloc(&s->pool, (entry->count + 1) * sizeof(*pcs)) : NULL;
    if (!pcs || !callee->module.build_id_bytes)
        return;
    for (size_t i = 0; i < entry->count; i++) {
        const struct gmr__module_data *m = module_at(s, entry->list[i].pc - 1);
        if (m != caller && m != callee)
            return;
        pcs[i] = (entry->list[i].pc - m->module.bias) << 1 | (m == callee && m != caller);
    }
    gmr__cache_add_calls(cache, &(struct gmr__cached_calls){.return_pc = entry->return_pc - caller->module.bias,
                                                            .callee = entry->callee - callee->module.bias,
                                                            .other = fingerprint(s, callee),
                                                            .pcs = pcs,
                                                            .pc_count = entry->count});
}

static void search_and_keep(struct gmr__symbolizer *s, struct entry *entry)
{
    struct gmr__module_data *caller = module_at(s, entry->return_pc - 1), *callee = module_at(s, entry->callee);
    if (!caller || !callee || from_cache(s, entry, caller, callee))
        return;
    struct search *search = calloc(1, sizeof(*search));
    if (!search)
        return;
    search->s = s;
    search->callee = entry->callee;
    find(search, entry->return_pc);
    keep(search, entry);
    to_cache(s, entry, caller, callee);
    free(search);
}

size_t gmr__symbolize_tail_calls(struct gmr__symbolizer *s, uint64_t return_pc, uint64_t callee_lookup,
                                 const struct gmr__tail_call **list)
{
    const struct gmr__resolved *callee = gmr__symbolize(s, callee_lookup);
    *list = NULL;
    if (s->options.no_lines || !callee || !callee->entry)
        return 0;
    struct entry *entry = entry_of(s, return_pc, callee->entry);
    if (!entry)
        return 0;
    if (!entry->used) {
        *entry = (struct entry){.return_pc = return_pc, .callee = callee->entry, .used = true};
        s->tail_calls->count++;
        search_and_keep(s, entry);
    }
    *list = entry->list;
    return entry->count;
}

void gmr__tail_calls_free(struct gmr__tail_calls *calls)
{
    if (!calls)
        return;
    free(calls->entries);
    free(calls);
}
