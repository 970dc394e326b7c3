/*
 * green/interpose.c - green threads of unmodified programs that use makecontext: a record for each stack a context is made on.
 *
 * libgmr-preload only (`gmr run`); runs on the program's threads, within their calls of makecontext, which arch/ARCH_interpose.c leads
 * here. Nothing is done at a switch. Nobody tells when a context ends: a new one on the same stack replaces the record, past a limit the
 * oldest make room, and the reader (reader_unowned.c) judges by the stack whether one is still there. The records' layout says so by
 * GMR__LAYOUT_UNOWNED.
 * Must not: fail a makecontext, read memory of the program's, wait for long.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "arch/interpose.h"
#include "gmr/green.h"
#include "green/registry.h"
#include "sys/sys.h"

#define MOST (1u << 18)  /* records: 16 MiB of them */
#define SLOTS (2 * MOST) /* of the table, open addressing */
#define PATIENCE 1000    /* looks at a lock that somebody holds for some hundred instructions */

struct made {
    uint64_t key; /* the stack's end; 0: free */
    struct gmr_green *green;
};

static struct {
    void *(*real)(void);
    struct gmr_layout layout;
    struct made *table; /* SLOTS, mapped at the first use */
    uint64_t *in_order; /* the keys, a ring of MOST; its oldest is at `oldest` */
    uint32_t count, oldest;
    uint32_t sequence;
    uint32_t busy;
} all;

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The forking thread doesn't hold it; another may have, in the middle of a change: then what there is is forgotten. */
static void in_child(void)
{
    if (all.busy) {
        all.table = NULL;
        all.count = all.oldest = 0;
        all.busy = 0;
    }
}

/* What stands where a context's function returns to, from one made for the purpose. */
static void learn_return(void)
{
    static char stack[4096] __attribute__((aligned(16)));
    ucontext_t context;
    memset(&context, 0, sizeof(context));
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = sizeof(stack);
    ((void (*)(ucontext_t *, void (*)(void), int, ...))(void *)all.real)(&context, in_child, 0);
    uint64_t address = gmr__context_return(&context);
    all.layout.entry_low = (void *)(uintptr_t)address;
    all.layout.entry_high = (void *)(uintptr_t)(address ? address + 1 : 0);
}

static void prepare(void)
{
    *(void **)&all.real = dlsym(RTLD_NEXT, "makecontext");
    all.layout = *gmr_green_layout(GMR_LAYOUT_UCONTEXT);
    all.layout.flags |= GMR_LAYOUT_MIGRATES | GMR__LAYOUT_UNOWNED;
    if (all.real)
        learn_return();
    pthread_atfork(NULL, NULL, in_child);
}

static bool lock(void)
{
    for (int i = 0; i < PATIENCE; i++) {
        uint32_t nobody = 0;
        if (__atomic_compare_exchange_n(&all.busy, &nobody, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return true;
        sched_yield();
    }
    return false;
}

static bool map_table(void)
{
    if (all.table)
        return true;
    char *memory = gmr__map_memory(SLOTS * sizeof(struct made) + MOST * sizeof(uint64_t));
    if (!memory)
        return false;
    all.in_order = (uint64_t *)(void *)(memory + SLOTS * sizeof(struct made));
    all.table = (struct made *)(void *)memory;
    return true;
}

/* Where `key` stands, or the free place where it would. There is always one: the table is twice as large as it may be full. */
static struct made *place_of(uint64_t key)
{
    uint64_t at = key * 0x9e3779b97f4a7c15u >> 40;
    while (all.table[at % SLOTS].key && all.table[at % SLOTS].key != key)
        at++;
    return &all.table[at % SLOTS];
}

/* Takes one out; those behind it that would no longer be found move up (Knuth, 6.4, algorithm R). */
static void take_out(struct made *place)
{
    uint64_t hole = (uint64_t)(place - all.table);
    for (uint64_t at = (hole + 1) % SLOTS; all.table[at].key; at = (at + 1) % SLOTS) {
        uint64_t home = (all.table[at].key * 0x9e3779b97f4a7c15u >> 40) % SLOTS;
        if ((at - home) % SLOTS >= (at - hole) % SLOTS) {
            all.table[hole] = all.table[at];
            hole = at;
        }
    }
    all.table[hole] = (struct made){0};
}

static struct made *make_place(uint64_t key)
{
    struct made *place = place_of(key);
    if (place->key)
        return place;
    if (all.count == MOST) {
        struct made *oldest = place_of(all.in_order[all.oldest]);
        gmr_green_del(oldest->green);
        take_out(oldest);
        place = place_of(key);
    } else {
        all.count++;
    }
    place->key = key;
    all.in_order[all.oldest] = key;
    all.oldest = (all.oldest + 1) % MOST;
    return place;
}

static void remember(ucontext_t *context, void (*function)(void), int arguments, uint64_t first)
{
    stack_t *stack = &context->uc_stack;
    if (!stack->ss_sp || stack->ss_size < 256 || !lock())
        return;
    if (map_table()) {
        struct made *made = make_place((uint64_t)(uintptr_t)stack->ss_sp + stack->ss_size);
        gmr_green_del(made->green);
        made->green = gmr_green_add(&all.layout, stack->ss_sp, stack->ss_size, context, (void *)function,
                                    (void *)(uintptr_t)(arguments > 0 ? first : 0));
        struct gmr__record *record = (struct gmr__record *)made->green;
        if (record) {
            record->switches = ++all.sequence; /* not counted here: which of two that overlap is the later */
            record->saved_sp = gmr__context_mark(context, arguments);
        }
    }
    __atomic_store_n(&all.busy, 0, __ATOMIC_RELEASE);
}

void *gmr__context_made(ucontext_t *context, void (*function)(void), int arguments, uint64_t first)
{
    pthread_once(&once, prepare);
    if (all.real)
        remember(context, function, arguments, first);
    return (void *)all.real;
}
