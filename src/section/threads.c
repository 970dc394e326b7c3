/*
 * section/threads.c - the Threads section: who each thread is, what it does, where it stands.
 *
 * Inspector only. Data: every thread, its stack by number. Text: every distinct stack once, under the first thread that has it, with the
 * ids of the others (options.each_thread: under each). Threads without a stack are grouped by the reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/calls.h"
#include "section/frames.h"
#include "sys/proc.h"

#define NO_INDEX SIZE_MAX
#define LINE_WIDTH 72

/* ---------------------------------------------------------------------------------------- one thread */

static const struct gmr__language_stack *language_of(const struct gmr__analysis *analysis, pid_t tid)
{
    const struct gmr__analysis_options *options = &analysis->options;
    return options->language_of ? options->language_of(options->language_userdata, tid) : NULL;
}

/* The number of its stack in the report; -1: it has none. */
static int64_t stack_of(struct gmr__analysis *analysis, size_t index)
{
    const struct gmr__stack *native = analysis->thread_stacks[index];
    const struct gmr__language_stack *language = language_of(analysis, analysis->snapshot->threads[index].tid);
    return native || language ? gmr__analysis_stack(analysis, native, language) : -1;
}

static const char *call_of(const struct gmr__thread *thread, char number[32])
{
    if (thread->syscall < 0)
        return NULL;
    const char *name = gmr__arch_call_name((long)thread->syscall);
    snprintf(number, 32, "syscall %lld", (long long)thread->syscall);
    return name ? name : number;
}

static void thread_data(struct gmr_writer *w, struct gmr__analysis *analysis, size_t index)
{
    const struct gmr__thread *thread = &analysis->snapshot->threads[index];
    char number[32];
    const char *call = call_of(thread, number);
    int64_t stack = stack_of(analysis, index);
    gmr_begin_map(w, NULL);
    gmr_put_int(w, "id", thread->tid);
    gmr_put_string(w, "name", thread->name);
    gmr_put_string(w, "state", gmr__proc_state_name(thread->state));
    if (call)
        gmr_put_string(w, "syscall", call);
    if (thread->wchan[0])
        gmr_put_string(w, "wait_channel", thread->wchan);
    if (stack >= 0)
        gmr_put_int(w, "stack", stack);
    if (thread->reason)
        gmr_put_string(w, "problem", thread->reason);
    gmr_end_map(w);
}

/* "NAME, sleeping in epoll_wait (ep_poll)" */
static void thread_line(struct gmr_writer *w, const struct gmr__thread *thread)
{
    char number[32];
    const char *call = call_of(thread, number);
    gmr__raw_text(w, thread->name);
    gmr__raw_format(w, ", %s", gmr__proc_state_name(thread->state));
    if (call)
        gmr__raw_format(w, " in %s", call);
    if (thread->wchan[0]) {
        gmr__raw_format(w, " (");
        gmr__raw_text(w, thread->wchan);
        gmr__raw_format(w, ")");
    }
    gmr__raw_format(w, "\n");
}

/* ---------------------------------------------------------------------------------------- groups of threads, in text */

struct groups {
    size_t *next; /* by thread: the next of its group; NO_INDEX: none */
    bool *first;  /* by thread: it stands for its group */
};

struct last {
    size_t thread;
    const char *reason;
};

static bool make_groups(struct gmr__analysis *analysis, struct groups *groups)
{
    size_t count = analysis->snapshot->thread_count, reason_count = 0;
    groups->next = malloc((count + 1) * sizeof(*groups->next));
    groups->first = calloc(count + 1, sizeof(*groups->first));
    size_t *last_of_stack = malloc((count + 1) * sizeof(*last_of_stack));
    struct last *last_of_reason = malloc(16 * sizeof(*last_of_reason));
    bool done = groups->next && groups->first && last_of_stack && last_of_reason;
    for (size_t i = 0; done && i <= count; i++)
        last_of_stack[i] = NO_INDEX;
    for (size_t i = 0; done && i < count; i++) {
        const struct gmr__thread *thread = &analysis->snapshot->threads[i];
        int64_t stack = analysis->options.each_thread ? -1 : stack_of(analysis, i);
        size_t *last = NULL;
        groups->next[i] = NO_INDEX;
        if (stack >= 0 && (size_t)stack < count)
            last = &last_of_stack[stack];
        for (size_t k = 0; stack < 0 && !analysis->options.each_thread && k < reason_count && !last; k++)
            if (last_of_reason[k].reason == thread->reason)
                last = &last_of_reason[k].thread;
        groups->first[i] = !last || *last == NO_INDEX;
        if (!groups->first[i])
            groups->next[*last] = i;
        else if (!last && stack < 0 && reason_count < 16)
            last_of_reason[reason_count++] = (struct last){i, thread->reason};
        if (last)
            *last = i;
    }
    free(last_of_stack);
    free(last_of_reason);
    return done;
}

static void free_groups(struct groups *groups)
{
    free(groups->next);
    free(groups->first);
}

/* "and 3 more with the same stack: #12, #13 (other name), #14" */
static void others(struct gmr_writer *w, const struct gmr__analysis *analysis, const struct groups *groups,
                   size_t first)
{
    const struct gmr__thread *threads = analysis->snapshot->threads;
    size_t count = 0;
    for (size_t i = groups->next[first]; i != NO_INDEX; i = groups->next[i])
        count++;
    if (!count)
        return;
    char text[96];
    int column = snprintf(text, sizeof(text), "and %zu more with the same stack:", count);
    gmr__raw_format(w, "%s", text);
    for (size_t i = groups->next[first]; i != NO_INDEX; i = groups->next[i]) {
        bool named = strcmp(threads[i].name, threads[first].name) != 0;
        int length =
            snprintf(text, sizeof(text), "#%d", threads[i].tid) + (named ? (int)strlen(threads[i].name) + 3 : 0);
        if (column + length + 2 > LINE_WIDTH) {
            gmr__raw_format(w, "\n   ");
            column = 3;
        }
        gmr__raw_format(w, " %s", text);
        if (named) {
            gmr__raw_format(w, " (");
            gmr__raw_text(w, threads[i].name);
            gmr__raw_format(w, ")");
        }
        gmr__raw_format(w, "%s", groups->next[i] == NO_INDEX ? "" : ",");
        column += length + 2;
    }
    gmr__raw_format(w, "\n");
}

static void thread_text(struct gmr_writer *w, struct gmr__analysis *analysis, const struct groups *groups, size_t index)
{
    const struct gmr__thread *thread = &analysis->snapshot->threads[index];
    char title[64];
    snprintf(title, sizeof(title), " Thread #%d ", thread->tid);
    gmr__stack_banner(w, title);
    thread_line(w, thread);
    others(w, analysis, groups, index);
    int64_t stack = stack_of(analysis, index);
    if (stack >= 0) {
        gmr__stack_text(w, analysis, gmr__analysis_stack_at(analysis, (uint32_t)stack));
    } else {
        gmr__raw_format(w, "\nNo Traceback!\n(");
        gmr__raw_text(w, thread->reason ? thread->reason : "its registers could not be read");
        gmr__raw_format(w, ")\n");
    }
    gmr__raw_format(w, "\n");
}

/* ---------------------------------------------------------------------------------------- the section */

static void judge(const struct gmr__analysis *analysis, struct gmr__section_status *status)
{
    const struct gmr__snapshot *snapshot = analysis->snapshot;
    size_t without = 0;
    const char *reason = NULL;
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        if (analysis->thread_stacks[i])
            continue;
        without++;
        reason = reason ? reason : snapshot->threads[i].reason;
    }
    *status = (struct gmr__section_status){.status = GMR__OK};
    if (snapshot->problem) {
        status->status = without == snapshot->thread_count ? GMR__FAILED : GMR__PARTIAL;
        snprintf(status->reason, sizeof(status->reason), "%s", snapshot->problem);
    } else if (without) {
        status->status = without == snapshot->thread_count ? GMR__FAILED : GMR__PARTIAL;
        snprintf(status->reason, sizeof(status->reason), "%zu of %zu threads without a stack: %s", without,
                 snapshot->thread_count, reason ? reason : "their registers could not be read");
    }
}

void gmr__section_threads(struct gmr_writer *w, struct gmr__analysis *analysis, struct gmr__section_status *status)
{
    struct groups groups = {NULL, NULL};
    size_t count = analysis->snapshot->thread_count;
    judge(analysis, status);
    if (!gmr__writer_text(w)) {
        for (size_t i = 0; i < count && !gmr__writer_error(w); i++)
            thread_data(w, analysis, i);
        return;
    }
    if (!make_groups(analysis, &groups)) {
        *status = (struct gmr__section_status){.status = GMR__FAILED, .reason = "gmr ran out of memory"};
        free_groups(&groups);
        return;
    }
    for (size_t i = 0; i < count && !gmr__writer_error(w); i++)
        if (groups.first[i])
            thread_text(w, analysis, &groups, i);
    free_groups(&groups);
}
