/*
 * green/set.c - holds the green threads that sources emit, packed, for a million of them.
 *
 * Inspector only, one thread. Memory comes from a bump arena that lives as long as the set. What does not fit within the limits of
 * the options is counted, never dropped silently.
 */
#include "green/set.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/grow.h"

struct gmr__green *gmr__green_new(struct gmr__snapshot *snapshot, struct gmr__modules *modules,
                                  const struct gmr__green_options *options)
{
    struct gmr__green *green = calloc(1, sizeof(*green));
    if (!green)
        return NULL;
    green->snapshot = snapshot;
    green->modules = modules;
    if (options)
        green->options = *options;
    struct gmr__green_options *o = &green->options;
    o->stop_budget_ns = o->stop_budget_ns ? o->stop_budget_ns : 50000000u;
    o->find_budget_ns = o->find_budget_ns ? o->find_budget_ns : 3000000000u;
    o->max_threads = o->max_threads ? o->max_threads : 2000000u;
    o->stack_bytes = o->stack_bytes ? o->stack_bytes : 16u << 10;
    o->max_stack_bytes = o->max_stack_bytes ? o->max_stack_bytes : (uint64_t)1024 << 20;
    gmr__green_memory_init(green);
    return green;
}

void gmr__green_free(struct gmr__green *green)
{
    if (!green)
        return;
    for (size_t i = 0; gmr__green_sources[i] && i < GMR__GREEN_MAX_SOURCES; i++)
        if (gmr__green_sources[i]->release && green->state[i])
            gmr__green_sources[i]->release(green->state[i]);
    gmr__green_symbols_free(green);
    gmr__arena_free(&green->arena);
    free(green->chunks);
    free(green->ranges);
    free(green->interned);
    free(green->os);
    free(green);
}

const char *gmr__green_state_name(enum gmr__green_state state)
{
    static const char *const names[] = {"unknown",   "new",     "running", "runnable",
                                        "suspended", "waiting", "syscall", "done"};
    return (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : names[0];
}

void *gmr__green_alloc(struct gmr__green *green, size_t bytes)
{
    return gmr__arena_alloc(&green->arena, bytes);
}

void gmr__green_reserve(struct gmr__green *green, size_t bytes)
{
    gmr__arena_reserve(&green->arena, bytes);
}

static size_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32);
}

static bool grow_interned(struct gmr__green *green)
{
    size_t cap = green->intern_cap ? green->intern_cap * 2 : 1024;
    const char **table = calloc(cap, sizeof(*table));
    if (!table)
        return false;
    for (size_t i = 0; i < green->intern_cap; i++) {
        if (!green->interned[i])
            continue;
        size_t at = hash_text(green->interned[i]) & (cap - 1);
        while (table[at])
            at = (at + 1) & (cap - 1);
        table[at] = green->interned[i];
    }
    free(green->interned);
    green->interned = table;
    green->intern_cap = cap;
    return true;
}

const char *gmr__green_intern(struct gmr__green *green, const char *text)
{
    if (!text)
        return NULL;
    if (green->intern_count * 2 >= green->intern_cap && !grow_interned(green))
        return NULL;
    size_t at = hash_text(text) & (green->intern_cap - 1);
    for (; green->interned[at]; at = (at + 1) & (green->intern_cap - 1))
        if (strcmp(green->interned[at], text) == 0)
            return green->interned[at];
    size_t bytes = strlen(text) + 1;
    char *kept = gmr__arena_alloc(&green->arena, bytes);
    if (!kept)
        return NULL;
    memcpy(kept, text, bytes);
    green->interned[at] = kept;
    green->intern_count++;
    return kept;
}

void gmr__green_note(struct gmr__green *green, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    size_t length = strlen(text);
    if (green->note_count >= 16 || green->notes_used + length + 3 > sizeof(green->notes)) {
        green->notes_dropped++;
        return;
    }
    if (green->notes_used) {
        memcpy(green->notes + green->notes_used, "; ", 2);
        green->notes_used += 2;
    }
    memcpy(green->notes + green->notes_used, text, length + 1);
    green->notes_used += length;
    green->note_count++;
}

const char *gmr__green_notes(const struct gmr__green *green)
{
    return green->notes;
}

uint64_t gmr__green_dropped(const struct gmr__green *green)
{
    return green->dropped;
}

/* ------------------------------------------------------------------------------------------------ threads */

struct gmr__green_entry *gmr__green_entry(const struct gmr__green *green, size_t index)
{
    return &green->chunks[index / GMR__GREEN_CHUNK][index % GMR__GREEN_CHUNK];
}

static struct gmr__green_entry *new_entry(struct gmr__green *green)
{
    size_t chunk = green->count / GMR__GREEN_CHUNK;
    if (!GMR__GROW_ZEROED(green->chunks, green->chunk_cap, chunk + 1))
        return NULL;
    if (!green->chunks[chunk])
        green->chunks[chunk] = gmr__arena_alloc(&green->arena, GMR__GREEN_CHUNK * sizeof(struct gmr__green_entry));
    return green->chunks[chunk] ? &green->chunks[chunk][green->count % GMR__GREEN_CHUNK] : NULL;
}

static const uint64_t *pack_regs(struct gmr__green *green, const struct gmr__regs *regs)
{
    uint64_t *packed = gmr__arena_alloc(&green->arena, (size_t)__builtin_popcountll(regs->valid) * 8);
    unsigned used = 0;
    for (unsigned i = 0; packed && i < GMR__MAX_REGS; i++)
        if (regs->valid >> i & 1)
            packed[used++] = regs->value[i];
    return packed;
}

static bool copy_language(struct gmr__green *green, struct gmr__language_stack *to,
                          const struct gmr__language_stack *from)
{
    *to = *from;
    to->end = gmr__green_intern(green, from->end);
    if (from->lasts)
        return true;
    to->frames = NULL;
    if (!from->frame_count)
        return true;
    struct gmr__language_frame *frames =
        gmr__arena_alloc(&green->arena, from->frame_count * sizeof(struct gmr__language_frame));
    if (!frames)
        return false;
    for (uint32_t i = 0; i < from->frame_count; i++) {
        frames[i] = from->frames[i];
        frames[i].function = gmr__green_intern(green, from->frames[i].function);
        frames[i].file = gmr__green_intern(green, from->frames[i].file);
    }
    to->frames = frames;
    return true;
}

static int add_range(struct gmr__green *green, uint64_t low, uint64_t high, size_t index)
{
    if (!GMR__GROW(green->ranges, green->range_cap, green->range_count + 1))
        return -ENOMEM;
    green->ranges[green->range_count++] = (struct gmr__green_range){low, high, (uint32_t)index};
    return 0;
}

/* The stack's bytes that the source brought along. */
static int take_copy(struct gmr__green *green, struct gmr__green_entry *e, const struct gmr__green_thread *thread)
{
    e->copy_address = thread->copy.address;
    if (thread->copy_lasts) {
        e->copy = thread->copy.data;
        e->copy_bytes = thread->copy.bytes;
        return 0;
    }
    if (green->stack_total + thread->copy.bytes > green->options.max_stack_bytes) {
        green->dropped_stacks++;
        return 0;
    }
    unsigned char *bytes = gmr__arena_alloc(&green->arena, thread->copy.bytes);
    if (!bytes)
        return -ENOMEM;
    memcpy(bytes, thread->copy.data, thread->copy.bytes);
    e->copy = bytes;
    e->copy_bytes = thread->copy.bytes;
    green->stack_total += thread->copy.bytes;
    return 0;
}

static int fill_entry(struct gmr__green *green, struct gmr__green_entry *e, const struct gmr__green_thread *t)
{
    *e = (struct gmr__green_entry){
        .id = t->id ? t->id : green->count + 1,
        .address = t->address,
        .since_ns = t->since_ns,
        .wait_object = t->wait_object,
        .entry = t->entry,
        .argument = t->argument,
        .switches = t->switches,
        .parent = t->parent,
        .stack_low = t->stack_low,
        .stack_high = t->stack_high,
        .kind = t->kind ? t->kind : "green thread",
        .name = gmr__green_intern(green, t->name),
        .wait_reason = gmr__green_intern(green, t->wait_reason),
        .problem = gmr__green_intern(green, t->problem),
        .regs_valid = t->regs.valid,
        .carrier = t->carrier,
        .state = (uint8_t)t->state,
        .has_argument = t->has_argument,
        .idle = t->idle,
        .discovered = t->discovered,
        .approximate = t->approximate,
        .activation = t->activation,
    };
    if (t->regs.valid && !(e->regs = pack_regs(green, &t->regs)))
        return -ENOMEM;
    if (t->creator[0]) {
        uint64_t *creator = gmr__arena_alloc(&green->arena, sizeof(t->creator));
        if (!creator)
            return -ENOMEM;
        memcpy(creator, t->creator, sizeof(t->creator));
        e->creator = creator;
    }
    if (t->language.language) {
        struct gmr__language_stack *language = gmr__arena_alloc(&green->arena, sizeof(*language));
        if (!language || !copy_language(green, language, &t->language))
            return -ENOMEM;
        e->language = language;
    }
    return t->copy.data ? take_copy(green, e, t) : 0;
}

int gmr__green_emit(struct gmr__green *green, const struct gmr__green_thread *thread)
{
    struct gmr__green_thread carried = *thread;
    if (thread->state == GMR__GREEN_RUNNING && !thread->regs.valid && thread->carrier && !thread->copy.data &&
        gmr__green_as_carried(green, &carried))
        thread = &carried;
    if (green->count >= green->options.max_threads || green->count >= UINT32_MAX) {
        green->dropped++;
        return -ENOSPC;
    }
    struct gmr__green_entry *e = new_entry(green);
    int error = e ? fill_entry(green, e, thread) : -ENOMEM;
    if (!error && !thread->claimed && thread->stack_low < thread->stack_high)
        error = add_range(green, thread->stack_low, thread->stack_high, green->count);
    if (error) {
        green->dropped++;
        return error;
    }
    green->count++;
    if (!thread->copy.data && thread->regs.valid >> gmr__arch_sp & 1) {
        /* Stopped for it: one call for all of them at the phase's end. Running: now, the least torn. */
        if (green->phase != GMR__PHASE_COLLECT)
            gmr__green_copy_pending(green);
    } else if (green->pending == green->count - 1) {
        green->pending = green->count;
    }
    return 0;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct gmr__green_range *x = a, *y = b;
    return x->low < y->low ? -1 : x->low > y->low;
}

/* Merges what was added since into the sorted part; a short rest is left alone, since a source may ask after each emit. */
static void sort_ranges(struct gmr__green *green)
{
    struct gmr__green_range *all = green->ranges;
    size_t sorted = green->ranges_sorted, added = green->range_count - sorted;
    if (added <= 256 && sorted)
        return;
    if (!added)
        return;
    struct gmr__green_range *rest = malloc(added * sizeof(*rest));
    if (!rest || sorted == 0) {
        qsort(all, green->range_count, sizeof(*all), compare_ranges);
    } else {
        qsort(all + sorted, added, sizeof(*all), compare_ranges);
        memcpy(rest, all + sorted, added * sizeof(*rest));
        for (size_t to = green->range_count; added;) {
            if (sorted && all[sorted - 1].low > rest[added - 1].low)
                all[--to] = all[--sorted];
            else
                all[--to] = rest[--added];
        }
    }
    free(rest);
    green->ranges_sorted = green->range_count;
}

static const struct gmr__green_range *range_of(struct gmr__green *green, uint64_t address)
{
    sort_ranges(green);
    for (size_t i = green->ranges_sorted; i < green->range_count; i++)
        if (address >= green->ranges[i].low && address < green->ranges[i].high)
            return &green->ranges[i];
    size_t low = 0, high = green->ranges_sorted;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (green->ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    /* Ranges that overlap (a corrupt registry) or are the same (a shared stack): the last that starts below is enough. */
    return low && address < green->ranges[low - 1].high ? &green->ranges[low - 1] : NULL;
}

size_t gmr__green_find_range(struct gmr__green *green, uint64_t address)
{
    const struct gmr__green_range *range = range_of(green, address);
    return range ? range->index : SIZE_MAX;
}

uint64_t gmr__green_stack_end(struct gmr__green *green, uint64_t address)
{
    const struct gmr__green_range *range = range_of(green, address);
    return range ? range->high : 0;
}

void gmr__green_claim(struct gmr__green *green, uint64_t stack_low, uint64_t stack_high)
{
    if (stack_low < stack_high)
        add_range(green, stack_low, stack_high, 0);
}

bool gmr__green_known(const struct gmr__green *green, uint64_t address)
{
    return gmr__green_find_range((struct gmr__green *)green, address) != SIZE_MAX;
}

uint64_t gmr__green_stopped_at(const struct gmr__green *green)
{
    return green ? green->stopped_at_ns : 0;
}

size_t gmr__green_count(const struct gmr__green *green)
{
    return green ? green->count : 0;
}

void gmr__green_at(const struct gmr__green *green, size_t index, struct gmr__green_thread *thread)
{
    const struct gmr__green_entry *e = gmr__green_entry(green, index);
    *thread = (struct gmr__green_thread){
        .id = e->id,
        .address = e->address,
        .kind = e->kind,
        .name = e->name,
        .state = (enum gmr__green_state)e->state,
        .wait_reason = e->wait_reason,
        .wait_object = e->wait_object,
        .since_ns = e->since_ns,
        .idle = e->idle,
        .discovered = e->discovered,
        .approximate = e->approximate,
        .entry = e->entry,
        .argument = e->argument,
        .has_argument = e->has_argument,
        .switches = e->switches,
        .carrier = e->carrier,
        .parent = e->parent,
        .stack_low = e->stack_low,
        .stack_high = e->stack_high,
        .activation = e->activation,
        .copy = {e->copy_address, e->copy_bytes, e->copy},
        .copy_lasts = true,
        .problem = e->problem,
    };
    thread->regs.valid = e->regs_valid;
    unsigned used = 0;
    for (unsigned i = 0; i < GMR__MAX_REGS; i++)
        if (e->regs_valid >> i & 1)
            thread->regs.value[i] = e->regs[used++];
    if (e->creator)
        memcpy(thread->creator, e->creator, sizeof(thread->creator));
    if (e->language)
        thread->language = *e->language;
    thread->language_kept = e->language;
}

int gmr__green_emit_os_thread(struct gmr__green *green, pid_t tid, const struct gmr__language_stack *language)
{
    if (!GMR__GROW(green->os, green->os_cap, green->os_count + 1))
        return -ENOMEM;
    struct gmr__green_os *os = &green->os[green->os_count];
    os->tid = tid;
    if (!copy_language(green, &os->language, language))
        return -ENOMEM;
    green->os_count++;
    return 0;
}

const struct gmr__language_stack *gmr__green_os_thread(const struct gmr__green *green, pid_t tid)
{
    for (size_t i = 0; green && i < green->os_count; i++)
        if (green->os[i].tid == tid)
            return &green->os[i].language;
    return NULL;
}
