/*
 * green/set.h - the set of green threads of one process, as green/'s own files see it.
 *
 * Inspector only. arena.c has the memory, set.c holds what was emitted, phases.c drives the sources and copies stacks, memory.c reads the target, symbols.c
 * finds names. Others include green/green.h.
 */
#ifndef GMR_GREEN_SET_H
#define GMR_GREEN_SET_H

#include "green/green.h"

#define GMR__GREEN_MAX_SOURCES 16
#define GMR__GREEN_CHUNK 4096

/* One thread, packed: a million of them are held at once. Strings are the set's. */
struct gmr__green_entry {
    uint64_t id, address, since_ns, wait_object, entry, argument, switches, parent;
    uint64_t stack_low, stack_high;
    const char *kind, *name, *wait_reason, *problem;
    const struct gmr__language_stack *language;
    const uint64_t *creator; /* NULL: unknown */
    const uint64_t *regs;    /* those that are valid, in order of their numbers */
    uint64_t regs_valid;
    const unsigned char *copy;
    uint64_t copy_address;
    uint32_t copy_bytes;
    int32_t carrier;
    uint8_t state;
    bool has_argument, idle, discovered, approximate, activation;
};

struct gmr__green_range {
    uint64_t low, high;
    uint32_t index;
};

struct gmr__arena_block;
struct
    gmr__arena { /* bump allocation of what lives as long as the set; from mmap, so that a million do no harm to malloc */
    struct gmr__arena_block *blocks;
    unsigned char *next, *end;
    uint64_t total;
};

struct gmr__green_os {
    pid_t tid;
    struct gmr__language_stack language;
};

struct gmr__green_module; /* symbols.c */

struct gmr__green {
    struct gmr__snapshot *snapshot;
    struct gmr__modules *modules;
    struct gmr__green_options options;
    struct gmr__arena arena;

    struct gmr__green_entry **chunks;
    size_t chunk_cap;
    size_t count;
    uint64_t dropped, stack_total;
    uint64_t dropped_stacks; /* copies that did not fit into max_stack_bytes */

    struct gmr__green_range *ranges; /* stacks, sorted up to ranges_sorted */
    size_t range_count, range_cap, ranges_sorted;

    const char **interned; /* open addressing */
    size_t intern_count, intern_cap;

    struct gmr__green_os *os;
    size_t os_count, os_cap;

    char notes[2048];
    size_t notes_used;
    unsigned note_count, notes_dropped;

    bool found[GMR__GREEN_MAX_SOURCES];
    enum gmr__green_stop stop; /* as gmr__green_prepare said */
    void *state[GMR__GREEN_MAX_SOURCES];
    enum { GMR__PHASE_FIND, GMR__PHASE_COLLECT, GMR__PHASE_FINISH } phase;
    uint64_t phase_deadline_ns, stop_used_ns, stopped_at_ns;
    uint64_t phase_budget_ns,
        phase_cpu_ns; /* target running: what the phase may take of processor time, and when it began */
    const struct gmr__thread *standing;
    size_t standing_count;
    size_t pending; /* entries from here on still want their stack copied */

    pid_t read_pid; /* whose memory process_vm_readv takes; 0: none, a core */
    uint64_t read_bytes;
    struct gmr__green_module *symbol_modules; /* symbols.c */
};

void gmr__arena_free(struct gmr__arena *arena);
void *gmr__arena_alloc(struct gmr__arena *arena, size_t bytes);  /* zeroed, 8-aligned */
void gmr__arena_reserve(struct gmr__arena *arena, size_t bytes); /* what is allocated next takes no page fault */

struct gmr__green_entry *gmr__green_entry(const struct gmr__green *green, size_t index);
void gmr__green_memory_init(struct gmr__green *green);
void gmr__green_symbols_free(struct gmr__green *green);
/* Of one that runs: registers and stack become those of the OS thread that carries it, if that is on its stack. */
bool gmr__green_as_carried(const struct gmr__green *green, struct gmr__green_thread *thread);
/* Copies the stacks of entries from green->pending on. */
void gmr__green_copy_pending(struct gmr__green *green);
/* Binary search over stacks; SIZE_MAX if none. */
size_t gmr__green_find_range(struct gmr__green *green, uint64_t address);

#endif
