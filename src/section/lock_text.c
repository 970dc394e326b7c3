/*
 * section/lock_text.c - who waits for whom, as text: what stands on the first screen of a report of a process that is stuck.
 *
 * Inspector only. Of a process or of a stored report, which is anybody's: it may tell of circles that do not close.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "section/frames.h"
#include "section/thread_text.h"

#define MOST_NAMED 8
#define MOST_LINES 20

static const struct gmr__thread_text *find(const struct gmr__thread_text *threads, size_t count, int64_t tid)
{
    for (size_t i = 0; i < count; i++)
        if (threads[i].tid == tid)
            return &threads[i];
    return NULL;
}

static void name(struct gmr_writer *w, const struct gmr__thread_text *threads, size_t count, int64_t tid)
{
    const struct gmr__thread_text *thread = find(threads, count, tid);
    gmr__raw_format(w, "#%lld", (long long)tid);
    if (!thread || !thread->name)
        return;
    gmr__raw_format(w, " (");
    gmr__raw_text(w, thread->name);
    gmr__raw_format(w, ")");
}

static void what(struct gmr_writer *w, const struct gmr__lock_wait *wait)
{
    if (strcmp(wait->kind, GMR__WAITS_FOR_MUTEX) == 0)
        gmr__raw_format(w, "the mutex at 0x%llx, held by ", (unsigned long long)wait->address);
    else
        gmr__raw_format(w, "the end of ");
}

void gmr__lock_line(struct gmr_writer *w, const struct gmr__lock_wait *wait)
{
    if (!wait->kind)
        return;
    gmr__raw_format(w, "waits%s for ", wait->timed ? ", for a limited time," : "");
    what(w, wait);
    gmr__raw_format(w, "#%lld%s\n", (long long)wait->holder, wait->deadlock ? ": a deadlock" : "");
}

/* The circle that `first` is in. told: by index of threads. */
static void deadlock(struct gmr_writer *w, const struct gmr__thread_text *threads, size_t count, size_t first,
                     bool *told)
{
    size_t at = first;
    gmr__raw_format(w, "DEADLOCK: ");
    while (!told[at]) {
        const struct gmr__lock_wait *wait = &threads[at].wait;
        told[at] = true;
        gmr__raw_format(w, "%s", at == first ? "thread " : ",\n    which waits for ");
        if (at == first) {
            name(w, threads, count, threads[at].tid);
            gmr__raw_format(w, " waits for ");
        }
        what(w, wait);
        if (wait->holder == threads[at].tid)
            gmr__raw_format(w, "itself");
        else
            name(w, threads, count, wait->holder);
        const struct gmr__thread_text *next = find(threads, count, wait->holder);
        if (!next || !next->wait.kind || !next->wait.deadlock)
            break;
        at = (size_t)(next - threads);
    }
    gmr__raw_format(w, "\n");
}

static bool same_thing(const struct gmr__lock_wait *a, const struct gmr__lock_wait *b)
{
    return a->kind && b->kind && strcmp(a->kind, b->kind) == 0 && a->address == b->address && a->holder == b->holder;
}

/* All who wait for the same; those in a circle have been told of. */
static void crowd(struct gmr_writer *w, const struct gmr__thread_text *threads, size_t count, size_t first, bool *told)
{
    size_t waiting = 0;
    for (size_t i = first; i < count; i++)
        waiting += !told[i] && same_thing(&threads[i].wait, &threads[first].wait);
    gmr__raw_format(w, "%zu thread%s for ", waiting, waiting == 1 ? " waits" : "s wait");
    what(w, &threads[first].wait);
    name(w, threads, count, threads[first].wait.holder);
    gmr__raw_format(w, ":");
    size_t named = 0;
    for (size_t i = first; i < count; i++) {
        if (told[i] || !same_thing(&threads[i].wait, &threads[first].wait))
            continue;
        told[i] = true;
        if (named++ < MOST_NAMED)
            gmr__raw_format(w, "%s#%lld", named == 1 ? " " : ", ", (long long)threads[i].tid);
    }
    if (named > MOST_NAMED)
        gmr__raw_format(w, " and %zu more", named - MOST_NAMED);
    gmr__raw_format(w, "\n");
}

void gmr__lock_findings(struct gmr_writer *w, const struct gmr__thread_text *threads, size_t count)
{
    bool *told = calloc(count + 1, sizeof(*told));
    size_t lines = 0, left = 0;
    for (int pass = 0; told && pass < 2; pass++) {
        for (size_t i = 0; i < count && !gmr__writer_error(w); i++) {
            if (told[i] || !threads[i].wait.kind || (pass == 0 && !threads[i].wait.deadlock))
                continue;
            if (lines++ >= MOST_LINES)
                left++;
            else if (pass == 0)
                deadlock(w, threads, count, i, told);
            else
                crowd(w, threads, count, i, told);
        }
    }
    if (left)
        gmr__raw_format(w, "(more threads wait for others: see below)\n");
    if (lines)
        gmr__raw_format(w, "\n");
    free(told);
}
