/*
 * section/findings_threads.c - findings about threads: what very many of them do, in one line, and green threads short of stack.
 *
 * Inspector only, with the target running. Called by cli/walk.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/calls.h"
#include "section/findings.h"
#include "section/green_list.h"
#include "section/lock_waits.h"
#include "section/note.h"
#include "sys/proc.h"

#define MANY_THREADS 32
#define MOST_ACTIVITIES 5

struct activity {
    const char *kind; /* of a lock; NULL: what follows */
    uint64_t address;
    int64_t holder;
    int64_t syscall; /* -1: none */
    char state;      /* D, or where it is in no call; else 0 */
    size_t count;
};

static int compare(const void *a, const void *b)
{
    const struct activity *x = a, *y = b;
    int kinds = strcmp(x->kind ? x->kind : "", y->kind ? y->kind : "");
    if (kinds)
        return kinds;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    if (x->holder != y->holder)
        return x->holder < y->holder ? -1 : 1;
    if (x->syscall != y->syscall)
        return x->syscall < y->syscall ? -1 : 1;
    return x->state - y->state;
}

static int most_first(const void *a, const void *b)
{
    const struct activity *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return compare(a, b);
}

static struct activity activity_of(const struct gmr__thread *thread, const struct gmr__lock_wait *wait)
{
    struct activity activity = {.syscall = -1, .count = 1};
    if (wait && wait->kind) {
        activity.kind = wait->kind;
        activity.address = wait->address;
        activity.holder = wait->holder;
        return activity;
    }
    activity.syscall = thread->syscall < 0 ? -1 : thread->syscall;
    activity.state = thread->state == 'D' || activity.syscall < 0 ? thread->state : '\0';
    return activity;
}

/* Sorted, those that are alike made one: how many are left. */
static size_t unite(struct activity *activities, size_t count)
{
    size_t kept = 0;
    qsort(activities, count, sizeof(*activities), compare);
    for (size_t i = 0; i < count; i++) {
        if (kept && compare(&activities[kept - 1], &activities[i]) == 0)
            activities[kept - 1].count++;
        else
            activities[kept++] = activities[i];
    }
    qsort(activities, kept, sizeof(*activities), most_first);
    return kept;
}

static void put_activity(struct gmr__buf *text, const struct activity *activity)
{
    gmr__buf_uint(text, activity->count);
    if (activity->kind) {
        gmr__buf_str(text, activity->count == 1 ? " waits for " : " wait for ");
        if (strcmp(activity->kind, GMR__WAITS_FOR_MUTEX) == 0) {
            gmr__buf_str(text, "the mutex at 0x");
            gmr__buf_hex(text, activity->address);
            gmr__buf_str(text, ", held by #");
        } else {
            gmr__buf_str(text, "the end of #");
        }
        gmr__buf_int(text, activity->holder);
        return;
    }
    if (activity->state) {
        gmr__buf_char(text, ' ');
        gmr__buf_str(text, gmr__proc_state_name(activity->state));
    }
    if (activity->syscall < 0)
        return;
    const char *name = gmr__arch_call_name((long)activity->syscall);
    gmr__buf_str(text, " in ");
    gmr__buf_str(text, name ? name : "syscall ");
    if (!name)
        gmr__buf_int(text, activity->syscall);
}

void gmr__findings_threads(struct gmr__findings *findings, const struct gmr__analysis *analysis)
{
    const struct gmr__snapshot *snapshot = analysis->snapshot;
    struct gmr__buf text;
    size_t count = 0, told = 0;
    if (snapshot->thread_count < MANY_THREADS)
        return;
    struct activity *activities = malloc(snapshot->thread_count * sizeof(*activities));
    struct gmr__lock_wait *waits = activities ? gmr__lock_waits(analysis) : NULL;
    for (size_t i = 0; activities && i < snapshot->thread_count; i++) {
        const struct gmr__thread *thread = &snapshot->threads[i];
        if (!thread->ended && !gmr__is_own_thread(thread->name))
            activities[count++] = activity_of(thread, waits ? &waits[i] : NULL);
    }
    if (count >= MANY_THREADS) {
        size_t groups = unite(activities, count);
        gmr__finding(findings, "threads", &text);
        gmr__buf_uint(&text, count);
        gmr__buf_str(&text, groups == 1 ? " threads do the same" : " threads");
        for (size_t i = 0; i < groups && i < MOST_ACTIVITIES; i++) {
            gmr__buf_str(&text, i ? "; " : ": ");
            put_activity(&text, &activities[i]);
            told += activities[i].count;
        }
        if (told < count) {
            gmr__buf_str(&text, "; ");
            gmr__buf_uint(&text, count - told);
            gmr__buf_str(&text, " do something else");
        }
    }
    free(waits);
    free(activities);
}

void gmr__findings_green(struct gmr__findings *findings, const struct gmr__green *green)
{
    struct gmr__green_thread first, thread;
    struct gmr__buf text;
    uint64_t used, size;
    size_t tight = 0, total = green ? gmr__green_count(green) : 0;
    for (size_t i = 0; i < total; i++) {
        gmr__green_at(green, i, &thread);
        if (gmr__green_tight(&thread) && tight++ == 0)
            first = thread;
    }
    if (!tight || !gmr__green_stack_use(&first, &used, &size))
        return;
    gmr__finding(findings, "green_stacks", &text);
    gmr__buf_uint(&text, tight);
    gmr__buf_str(&text, tight == 1 ? " green thread is close to the end of its stack: #"
                                   : " green threads are close to the end of their stacks: #");
    gmr__buf_uint(&text, first.id);
    gmr__buf_str(&text, " has ");
    gmr__buf_size(&text, size - used);
    gmr__buf_str(&text, " of ");
    gmr__buf_size(&text, size);
    gmr__buf_str(&text, " left");
}
