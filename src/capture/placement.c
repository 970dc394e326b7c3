/*
 * capture/placement.c - on which processor the capturing process works.
 *
 * Inspector only, in the capturing process. A thread that sleeps wakes up, to stop, on the processor it ran on last. A capturing process on another
 * one pays for it: two interrupts from processor to processor and the locks of both for each thread, which in a virtual machine is half of
 * all the work. So threads are taken in the order of their processors, and this process goes to each of these in turn, where several threads are
 * to be had.
 *
 * A processor may be kept busy by others, at real-time priority for ever: whoever takes too long there is let go anywhere. If this
 * process does not run at all, apart.c frees it, from outside. Under a seccomp filter, which may kill for an unusual call, it stays where it is.
 */
#include <stdlib.h>

#include "capture/tracer.h"

#define LEAST_THREADS 4       /* for fewer a move costs more than it gives */
#define FAIR_NS 250000u       /* for one thread, in the mean of those taken so far */
#define HOPELESS_NS 20000000u /* for one thread */
#define FAIR_AFTER 8
#define GROUPS_END (1u << 20)

static unsigned first_processor; /* of this process's share: by_processor takes no argument */

void gmr__placement_begin(struct gmr__tracer *tracer)
{
    struct gmr__placement *placement = &tracer->placement;
    placement->at = -1;
    placement->group = -2; /* no thread's */
    placement->able = tracer->share->moving &&
                      sched_getaffinity(0, sizeof(placement->before), &placement->before) == 0 &&
                      CPU_COUNT(&placement->before) > 1;
}

static unsigned place_of(const struct gmr__thread *thread)
{
    unsigned processor = thread->processor < 0 ? 0 : (unsigned)thread->processor;
    return processor < first_processor ? processor + GROUPS_END : processor;
}

static int by_processor(const void *a, const void *b)
{
    const struct gmr__thread *x = a, *y = b;
    unsigned of_x = place_of(x), of_y = place_of(y);
    if (of_x != of_y)
        return of_x < of_y ? -1 : 1;
    return x->tid < y->tid ? -1 : x->tid > y->tid;
}

void gmr__placement_sort(struct gmr__tracer *tracer, size_t first)
{
    struct gmr__thread *threads = tracer->state->threads;
    size_t count = tracer->state->thread_count;
    if (!tracer->placement.able || count - first < LEAST_THREADS)
        return;
    int lowest = threads[first].processor, highest = lowest;
    for (size_t i = first; i < count; i++) {
        lowest = threads[i].processor < lowest ? threads[i].processor : lowest;
        highest = threads[i].processor > highest ? threads[i].processor : highest;
    }
    if (lowest < 0 || lowest == highest)
        return;
    /* Each process begins elsewhere, so that they don't get in each other's way. */
    unsigned span = (unsigned)(highest - lowest) + 1;
    first_processor = (unsigned)lowest + span * tracer->share->which / tracer->share->count;
    qsort(threads + first, count - first, sizeof(*threads), by_processor);
    for (size_t i = first; i < count; i++)
        tracer->index_of[threads[i].tid] = (uint32_t)i + 1;
}

static void go(struct gmr__placement *placement, int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    /* Not ours to use (a cpuset of its own): wherever this process may be. */
    if (sched_setaffinity(0, sizeof(set), &set) == 0) {
        placement->at = processor;
        placement->taken = 0;
        placement->taken_ns = 0;
    }
}

void gmr__placement_end(struct gmr__tracer *tracer)
{
    struct gmr__placement *placement = &tracer->placement;
    if (placement->at >= 0)
        sched_setaffinity(0, sizeof(placement->before), &placement->before);
    placement->at = -1;
}

static bool is_worth_it(const struct gmr__tracer *tracer, size_t index)
{
    const struct gmr__thread *threads = tracer->state->threads;
    if (index + LEAST_THREADS > tracer->state->thread_count)
        return false;
    return threads[index].processor == threads[index + LEAST_THREADS - 1].processor;
}

void gmr__placement_next(struct gmr__tracer *tracer, size_t index)
{
    struct gmr__placement *placement = &tracer->placement;
    int processor = tracer->state->threads[index].processor;
    if (!placement->able)
        return;
    if (processor == placement->group)
        return;
    placement->group = processor;
    if (processor >= 0 && processor < CPU_SETSIZE && is_worth_it(tracer, index))
        go(placement, processor);
    else
        gmr__placement_end(tracer);
}

void gmr__placement_took(struct gmr__tracer *tracer, uint64_t one_ns)
{
    struct gmr__placement *placement = &tracer->placement;
    if (placement->at < 0)
        return;
    if (one_ns > HOPELESS_NS)
        placement->able = false;
    placement->taken_ns += one_ns;
    bool slow = ++placement->taken >= FAIR_AFTER && placement->taken_ns > placement->taken * (uint64_t)FAIR_NS;
    if (slow || !placement->able)
        gmr__placement_end(tracer);
}
