/*
 * green/phases.c - drives the sources through find, ahead, collect and finish, and copies the stacks they ask for.
 *
 * Inspector only. Called by the capture layer; each phase has a budget, and what does not fit is said in a note rather than waited
 * for. Must not: stop a thread itself.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "green/set.h"
#include "sys/sys.h"

#define AHEAD_ROUNDS 3

const struct gmr__snapshot *gmr__green_snapshot(const struct gmr__green *green)
{
    return green->snapshot;
}

struct gmr__modules *gmr__green_modules(const struct gmr__green *green)
{
    return green->modules;
}

const struct gmr__thread *gmr__green_stopped(const struct gmr__green *green, size_t *count)
{
    if (green->phase == GMR__PHASE_FINISH) {
        *count = green->snapshot->thread_count;
        return green->snapshot->threads;
    }
    *count = green->standing_count;
    return green->standing;
}

bool gmr__green_as_carried(const struct gmr__green *green, struct gmr__green_thread *thread)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(green, &count);
    for (size_t i = 0; i < count; i++) {
        const struct gmr__regs *regs = &threads[i].regs;
        if (threads[i].tid != thread->carrier || !(regs->valid >> gmr__arch_sp & 1))
            continue;
        uint64_t sp = regs->value[gmr__arch_sp];
        if (sp <= thread->stack_low || sp > thread->stack_high)
            return false;
        thread->regs = *regs;
        thread->activation = true;
        thread->copy = threads[i].stack;
        thread->copy_lasts = true; /* the snapshot's, which outlives the set */
        return true;
    }
    return false;
}

/* With the target running: on an overloaded machine time passes in which nothing is done; up to PATIENCE times the budget is waited for
 * that many nanoseconds of processor time. */
#define PATIENCE 3
bool gmr__green_out_of_time(const struct gmr__green *green)
{
    uint64_t now = gmr__now_ns();
    if (now < green->phase_deadline_ns)
        return false;
    struct timespec cpu;
    return green->phase == GMR__PHASE_COLLECT ||
           now >= green->phase_deadline_ns + (PATIENCE - 1) * green->phase_budget_ns ||
           clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) != 0 ||
           (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec >= green->phase_cpu_ns + green->phase_budget_ns;
}

static void begin_unhurried(struct gmr__green *green)
{
    struct timespec cpu = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    green->phase_cpu_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
    green->phase_budget_ns = green->options.find_budget_ns;
    green->phase_deadline_ns = gmr__now_ns() + green->phase_budget_ns;
}

static void find_all(struct gmr__green *green)
{
    for (size_t i = 0; gmr__green_sources[i] && i < GMR__GREEN_MAX_SOURCES; i++) {
        int found = gmr__green_sources[i]->find(green, &green->state[i]);
        green->found[i] = found > 0;
        if (found < 0)
            gmr__green_note(green, "%s: could not be looked for (%s)", gmr__green_sources[i]->name, strerror(-found));
        if (gmr__green_out_of_time(green)) {
            gmr__green_note(green,
                            "the search for green threads took its whole time: %s and what follows it was left out",
                            gmr__green_sources[i + 1] ? gmr__green_sources[i + 1]->name : "nothing");
            return;
        }
    }
}

enum gmr__green_stop gmr__green_prepare(struct gmr__green *green)
{
    green->phase = GMR__PHASE_FIND;
    begin_unhurried(green);
    find_all(green);
    enum gmr__green_stop stop = GMR__GREEN_STOP_NONE;
    for (size_t i = 0; gmr__green_sources[i] && i < GMR__GREEN_MAX_SOURCES; i++) {
        const struct gmr__green_source *source = gmr__green_sources[i];
        if (!green->found[i])
            continue;
        for (int round = 0; source->ahead && round < AHEAD_ROUNDS && !gmr__green_out_of_time(green); round++)
            if (source->ahead(green, green->state[i]) <= 0)
                break;
        if (source->together && !(source->apart && source->apart(green, green->state[i])))
            stop = GMR__GREEN_STOP_TOGETHER;
        else if (stop == GMR__GREEN_STOP_NONE && source->collect)
            stop = GMR__GREEN_STOP_EACH;
    }
    gmr__green_stack_end(green, 0); /* puts the ranges in order, which the stop has no time for */
    green->stop = stop;
    return stop;
}

bool gmr__green_concerns(const struct gmr__green *green, pid_t tid)
{
    for (size_t i = 0; gmr__green_sources[i] && i < GMR__GREEN_MAX_SOURCES; i++) {
        const struct gmr__green_source *source = gmr__green_sources[i];
        if (green->found[i] && source->collect && (!source->carries || source->carries(green->state[i], tid)))
            return true;
    }
    return false;
}

bool gmr__green_any(const struct gmr__green *green)
{
    for (size_t i = 0; gmr__green_sources[i] && i < GMR__GREEN_MAX_SOURCES; i++)
        if (green->found[i])
            return true;
    return false;
}

void gmr__green_collect(struct gmr__green *green, const struct gmr__thread *standing, size_t count)
{
    uint64_t start = gmr__now_ns(), budget = green->options.stop_budget_ns;
    green->phase = GMR__PHASE_COLLECT;
    green->phase_deadline_ns = start + (budget > green->stop_used_ns ? budget - green->stop_used_ns : 0);
    green->standing = standing;
    green->standing_count = count;
    green->stopped_at_ns = green->read_pid ? start : 0;
    for (size_t i = 0; gmr__green_sources[i] && i < GMR__GREEN_MAX_SOURCES; i++) {
        const struct gmr__green_source *source = gmr__green_sources[i];
        if (!green->found[i] || !source->collect)
            continue;
        int error = source->collect(green, green->state[i]);
        if (error < 0)
            gmr__green_note(green, "%s: not all could be copied (%s)", source->name, strerror(-error));
    }
    gmr__green_copy_pending(green);
    green->stop_used_ns += gmr__now_ns() - start;
    green->standing = NULL;
    green->standing_count = 0;
}

void gmr__green_finish(struct gmr__green *green)
{
    green->phase = GMR__PHASE_FINISH;
    if (!green->stopped_at_ns && green->read_pid)
        green->stopped_at_ns = gmr__now_ns();
    begin_unhurried(green);
    for (size_t i = 0; gmr__green_sources[i] && i < GMR__GREEN_MAX_SOURCES; i++) {
        const struct gmr__green_source *source = gmr__green_sources[i];
        if (!green->found[i] || !source->finish)
            continue;
        int error = source->finish(green, green->state[i]);
        if (error < 0)
            gmr__green_note(green, "%s: not all could be read (%s)", source->name, strerror(-error));
    }
    gmr__green_copy_pending(green);
    if (green->dropped)
        gmr__green_note(green, "%llu green threads more than a report takes were left out",
                        (unsigned long long)green->dropped);
    if (green->dropped_stacks)
        gmr__green_note(
            green, "the stacks of %llu green threads were left out: all copies together are limited to %llu MiB",
            (unsigned long long)green->dropped_stacks, (unsigned long long)(green->options.max_stack_bytes >> 20));
    green->snapshot->copied_bytes += green->read_bytes;
}

/* Where the copy of a stack begins and ends; 0 bytes if there is nothing to copy. */
static uint32_t wanted_bytes(const struct gmr__green *green, const struct gmr__green_entry *e, uint64_t *start)
{
    if (e->copy || !(e->regs_valid >> gmr__arch_sp & 1))
        return 0;
    uint64_t sp = e->regs[__builtin_popcountll(e->regs_valid & (((uint64_t)1 << gmr__arch_sp) - 1))];
    uint64_t end = e->stack_high;
    if (e->stack_low < e->stack_high && (sp < e->stack_low || sp >= e->stack_high))
        return 0;
    if (!end) {
        const struct gmr__map *map = gmr__snapshot_map(green->snapshot, sp);
        end = map ? map->end : sp;
    }
    *start = sp;
    uint64_t bytes = end > sp ? end - sp : 0;
    return bytes < green->options.stack_bytes ? (uint32_t)bytes : green->options.stack_bytes;
}

#define AT_ONCE 1024
void gmr__green_copy_pending(struct gmr__green *green)
{
    struct gmr__green_piece pieces[AT_ONCE];
    size_t indexes[AT_ONCE];
    while (green->pending < green->count) {
        size_t n = 0;
        for (; n < AT_ONCE && green->pending < green->count; green->pending++) {
            uint64_t start = 0;
            uint32_t bytes = wanted_bytes(green, gmr__green_entry(green, green->pending), &start);
            if (!bytes)
                continue;
            unsigned char *to = green->stack_total + bytes <= green->options.max_stack_bytes
                                    ? gmr__arena_alloc(&green->arena, bytes)
                                    : NULL;
            if (!to) {
                green->dropped_stacks++;
                continue;
            }
            green->stack_total += bytes;
            indexes[n] = green->pending;
            pieces[n++] = (struct gmr__green_piece){.address = start, .to = to, .bytes = bytes};
        }
        gmr__green_read_many(green, pieces, n);
        for (size_t i = 0; i < n; i++) {
            struct gmr__green_entry *e = gmr__green_entry(green, indexes[i]);
            e->copy = pieces[i].to;
            e->copy_address = pieces[i].address;
            e->copy_bytes = pieces[i].got;
            if (!pieces[i].got && !e->problem)
                e->problem = "its stack can't be read";
            if (green->phase != GMR__PHASE_COLLECT)
                e->approximate = true;
        }
        if (green->phase == GMR__PHASE_COLLECT && gmr__green_out_of_time(green))
            return; /* the rest follows in finish, marked approximate */
    }
}
