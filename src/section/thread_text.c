/*
 * section/thread_text.c - the Threads section as text.
 *
 * Inspector only. Every distinct stack stands once, under the first thread that has it, with the ids of the others; threads without a stack
 * are grouped by the reason. Called by threads.c for a process or core, by cli/show*.c for a stored report: both look the same.
 */
#include "section/thread_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "section/frames.h"
#include "sys/proc.h"

#define NO_INDEX SIZE_MAX
#define LINE_WIDTH 72
#define MAX_REASONS 16

/* "NAME, sleeping in epoll_wait (ep_poll)" */
static void thread_line(struct gmr_writer *w, const struct gmr__thread_text *thread)
{
    gmr__raw_text(w, thread->name ? thread->name : "?");
    if (thread->language_name) {
        gmr__raw_format(w, " \"");
        gmr__raw_text(w, thread->language_name);
        gmr__raw_format(w, "\"");
    }
    gmr__raw_format(w, ", ");
    gmr__raw_text(w, thread->crashed ? "crashed" : thread->state ? thread->state : "unknown");
    if (thread->call && !thread->crashed) {
        gmr__raw_format(w, " in ");
        gmr__raw_text(w, thread->call);
    }
    if (thread->wait_channel && !thread->crashed) {
        gmr__raw_format(w, " (");
        gmr__raw_text(w, thread->wait_channel);
        gmr__raw_format(w, ")");
    }
    gmr__raw_format(w, "\n");
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

struct last {
    size_t thread;
    const char *reason;
};

/* Where the last thread of the group stands that `thread` belongs to; NULL: it has a group of its own. */
static size_t *group_of(const struct gmr__thread_text *thread, size_t *last_of_stack, size_t stacks,
                        struct last *reasons, size_t *reason_count)
{
    if (thread->stack >= 0)
        return (size_t)thread->stack < stacks ? &last_of_stack[thread->stack] : NULL;
    for (size_t i = 0; i < *reason_count; i++) {
        if (same_text(reasons[i].reason, thread->reason))
            return &reasons[i].thread;
    }
    if (*reason_count == MAX_REASONS)
        return NULL;
    reasons[*reason_count] = (struct last){NO_INDEX, thread->reason};
    return &reasons[(*reason_count)++].thread;
}

static bool make_groups(struct gmr__thread_text *threads, size_t count, bool each)
{
    struct last reasons[MAX_REASONS];
    size_t reason_count = 0;
    size_t *last_of_stack = malloc((count + 1) * sizeof(*last_of_stack));
    if (!last_of_stack)
        return false;
    for (size_t i = 0; i <= count; i++)
        last_of_stack[i] = NO_INDEX;
    for (size_t i = 0; i < count; i++) {
        size_t *last = each ? NULL : group_of(&threads[i], last_of_stack, count, reasons, &reason_count);
        threads[i].next = NO_INDEX;
        threads[i].first = !last || *last == NO_INDEX;
        if (!threads[i].first)
            threads[*last].next = i;
        if (last)
            *last = i;
    }
    free(last_of_stack);
    return true;
}

/* "and 3 more with the same stack: #12, #13 (other name), #14" */
static void others(struct gmr_writer *w, const struct gmr__thread_text *threads, size_t first)
{
    size_t count = 0;
    for (size_t i = threads[first].next; i != NO_INDEX; i = threads[i].next)
        count++;
    if (!count)
        return;
    char text[96];
    int column = snprintf(text, sizeof(text), "and %zu more with the same stack:", count);
    gmr__raw_format(w, "%s", text);
    for (size_t i = threads[first].next; i != NO_INDEX; i = threads[i].next) {
        const char *name = threads[i].language_name ? threads[i].language_name : threads[i].name;
        bool named = name && !same_text(name, threads[first].name);
        int length = snprintf(text, sizeof(text), "#%lld", (long long)threads[i].tid);
        length += named ? (int)strlen(name) + 3 : 0;
        if (column + length + 2 > LINE_WIDTH) {
            gmr__raw_format(w, "\n   ");
            column = 3;
        }
        gmr__raw_format(w, " %s", text);
        if (named) {
            gmr__raw_format(w, " (");
            gmr__raw_text(w, name);
            gmr__raw_format(w, ")");
        }
        gmr__raw_format(w, "%s", threads[i].next == NO_INDEX ? "" : ",");
        column += length + 2;
    }
    gmr__raw_format(w, "\n");
}

/* A report is about the program: what libgmr brought into it stands below. */
static int rank(const struct gmr__thread_text *thread)
{
    return thread->crashed ? 0 : gmr__is_own_thread(thread->name) ? 2 : 1;
}

static bool put_in_order(struct gmr__thread_text *threads, size_t count)
{
    struct gmr__thread_text *from = malloc((count + 1) * sizeof(*from));
    size_t to = 0;
    if (!from)
        return false;
    memcpy(from, threads, count * sizeof(*from));
    for (int wanted = 0; wanted <= 2; wanted++)
        for (size_t i = 0; i < count; i++)
            if (rank(&from[i]) == wanted)
                threads[to++] = from[i];
    free(from);
    return true;
}

bool gmr__threads_text(struct gmr_writer *w, struct gmr__thread_text *threads, size_t count, bool each,
                       void (*put_stack)(struct gmr_writer *w, void *userdata, int64_t stack), void *userdata)
{
    if (!put_in_order(threads, count) || !make_groups(threads, count, each))
        return false;
    gmr__lock_findings(w, threads, count);
    for (size_t i = 0; i < count && !gmr__writer_error(w); i++) {
        char title[64];
        if (!threads[i].first)
            continue;
        snprintf(title, sizeof(title), " Thread #%lld ", (long long)threads[i].tid);
        gmr__stack_banner(w, title);
        thread_line(w, &threads[i]);
        if (threads[i].next == NO_INDEX) /* several may wait for different ones: the lines above tell */
            gmr__lock_line(w, &threads[i].wait);
        others(w, threads, i);
        if (threads[i].stack >= 0) {
            put_stack(w, userdata, threads[i].stack);
        } else {
            gmr__raw_format(w, "\nNo Traceback!\n(");
            gmr__raw_text(w, threads[i].reason ? threads[i].reason : "its registers could not be read");
            gmr__raw_format(w, ")\n");
        }
        gmr__raw_format(w, "\n");
    }
    return true;
}
