/*
 * green/pth.c - the source of GNU Pth's threads, told exactly by the library's own queues.
 *
 * Inspector only. Debian's libpth exports its internal variables, so programs need not know of gmr. Offsets are those of struct pth_st in Pth 2.0.7
 * (pth_tcb.c, pth_pqueue.c) built for x86-64 with ucontext as its machine context; what stands there must make sense (state,
 * stack, name) or the thread is counted as damaged. All of Pth runs on one OS thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/addrmap.h"
#include "green/green.h"
#include "sys/word.h"

#define MAX_THREADS 1000000u

enum {
    NEXT = 0,
    NAME = 24,
    NAME_BYTES = 40,
    DISPATCHES = 64,
    STATE = 68,
    EVENTS = 120,
    CONTEXT = 264,
    CONTEXT_BYTES = 424,
    STACK = 1376,
    STACK_BYTES = 1384,
    START = 1408,
    THREAD_BYTES = 1416
};

enum { STATE_SCHEDULER, STATE_NEW, STATE_READY, STATE_WAITING, STATE_DEAD };

struct pth {
    struct gmr__green *green;
    uint64_t queues[5]; /* struct { pth_t head; int count; } */
    uint64_t current, scheduler, main;
    struct gmr__addrmap seen;
    size_t damaged;
};

/* A program that names one of the library's variables has it itself (a copy relocation): the library uses that one, too. */
static int variable(struct gmr__green *green, const char *name, uint64_t *address)
{
    return gmr__green_symbol(green, "", name, address, NULL) == 0
               ? 0
               : gmr__green_symbol(green, "libpth", name, address, NULL);
}

static int find(struct gmr__green *green, void **state)
{
    static const char *const names[] = {"__pth_NQ", "__pth_RQ", "__pth_WQ", "__pth_SQ", "__pth_DQ"};
    uint64_t current;
    if (gmr__arch_pc != 16 || gmr__green_symbol(green, "libpth", "__pth_current", &current, NULL) != 0 ||
        variable(green, "__pth_current", &current) != 0)
        return 0;
    struct pth *pth = calloc(1, sizeof(*pth));
    if (!pth)
        return -ENOMEM;
    pth->green = green;
    pth->current = current;
    gmr__addrmap_init(&pth->seen, MAX_THREADS);
    *state = pth;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (variable(green, names[i], &pth->queues[i]) != 0)
            return 0;
    if (variable(green, "__pth_sched", &pth->scheduler) != 0 || variable(green, "__pth_main", &pth->main) != 0)
        return 0;
    return 1;
}

static const char *wait_reason(struct pth *pth, uint64_t event)
{
    static const char *const names[] = {NULL,      "fd",    "select",    "signals", "time",
                                        "message", "mutex", "condition", "thread",  "function"};
    unsigned char bytes[24];
    uint32_t type;
    if (event == 0 || gmr__green_read(pth->green, event, bytes, sizeof(bytes)) != 0)
        return NULL;
    memcpy(&type, bytes + 20, sizeof(type));
    for (unsigned i = 1; i < sizeof(names) / sizeof(names[0]); i++)
        if (type >> i & 1)
            return names[i];
    return NULL;
}

static bool makes_sense(const unsigned char *bytes)
{
    uint32_t state;
    memcpy(&state, bytes + STATE, sizeof(state));
    uint64_t stack = gmr__word(bytes, STACK), size = (uint32_t)gmr__word(bytes, STACK_BYTES);
    return state <= STATE_DEAD && memchr(bytes + NAME, 0, NAME_BYTES) != NULL && stack + size >= stack;
}

static pid_t carrier(struct pth *pth)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(pth->green, &count);
    return count == 1 ? threads[0].tid : gmr__green_snapshot(pth->green)->pid;
}

static void emit(struct pth *pth, uint64_t address, uint64_t running, bool suspended)
{
    static const enum gmr__green_state states[] = {GMR__GREEN_SUSPENDED, GMR__GREEN_NEW, GMR__GREEN_RUNNABLE,
                                                   GMR__GREEN_WAITING, GMR__GREEN_DONE};
    unsigned char bytes[THREAD_BYTES];
    uint32_t state;
    if (address == 0 || gmr__addrmap_get(&pth->seen, address, NULL) || !gmr__addrmap_put(&pth->seen, address, 1))
        return;
    if (gmr__green_read(pth->green, address, bytes, sizeof(bytes)) != 0 || !makes_sense(bytes)) {
        pth->damaged++;
        return;
    }
    memcpy(&state, bytes + STATE, sizeof(state));
    struct gmr__green_thread thread = {.address = address,
                                       .kind = "pth",
                                       .name = (const char *)bytes + NAME,
                                       .state = states[state],
                                       .carrier = carrier(pth),
                                       .entry = gmr__word(bytes, START),
                                       .stack_low = gmr__word(bytes, STACK),
                                       .stack_high = gmr__word(bytes, STACK) + (uint32_t)gmr__word(bytes, STACK_BYTES)};
    memcpy(&state, bytes + DISPATCHES, sizeof(state));
    thread.switches = state;
    if (thread.stack_low == 0)
        thread.stack_low = thread.stack_high = 0; /* the main thread's: the process's own stack */
    if (thread.state == GMR__GREEN_WAITING)
        thread.wait_reason = wait_reason(pth, gmr__word(bytes, EVENTS));
    if (suspended && thread.state != GMR__GREEN_DONE) {
        thread.state = GMR__GREEN_SUSPENDED;
        thread.wait_reason = "suspended";
    }
    if (address == running)
        thread.state = GMR__GREEN_RUNNING;
    else if (thread.state != GMR__GREEN_DONE)
        gmr__arch_regs_from_ucontext(&thread.regs, bytes + CONTEXT, sizeof(bytes) - CONTEXT);
    thread.activation = thread.state == GMR__GREEN_NEW;
    gmr__green_emit(pth->green, &thread);
}

static int collect(struct gmr__green *green, void *state)
{
    struct pth *pth = state;
    uint64_t running = 0, address, queue[2];
    gmr__green_read(green, pth->current, &running, sizeof(running));
    const uint64_t roots[] = {pth->main, pth->current, pth->scheduler};
    for (size_t i = 0; i < 2; i++)
        if (gmr__green_read(green, roots[i], &address, sizeof(address)) == 0)
            emit(pth, address, running, false);
    for (size_t i = 0; i < 5; i++) {
        if (gmr__green_read(green, pth->queues[i], queue, sizeof(queue)) != 0)
            continue;
        uint64_t at = queue[0];
        for (uint32_t steps = 0; at != 0 && steps < MAX_THREADS; steps++) {
            emit(pth, at, running, i == 3);
            if (gmr__green_read(green, at + NEXT, &at, sizeof(at)) != 0 || at == queue[0])
                break;
            if (gmr__green_out_of_time(green)) {
                gmr__green_note(green, "the time for the stop was used up before all of Pth's threads were read");
                return 0;
            }
        }
    }
    if (gmr__green_read(green, roots[2], &address, sizeof(address)) == 0)
        emit(pth, address, running, false);
    if (pth->damaged)
        gmr__green_note(green, "%zu of Pth's threads are damaged", pth->damaged);
    return 0;
}

static void release(void *state)
{
    struct pth *pth = state;
    if (!pth)
        return;
    gmr__addrmap_free(&pth->seen);
    free(pth);
}

const struct gmr__green_source gmr__green_source_pth = {
    .name = "pth",
    .find = find,
    .collect = collect,
    .release = release,
    .together = true,
};
