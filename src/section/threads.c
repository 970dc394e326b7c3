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
#include "section/thread_text.h"
#include "sys/proc.h"

/* ---------------------------------------------------------------------------------------- one thread */

static const struct gmr__language_stack *language_of(const struct gmr__analysis *analysis, pid_t tid)
{
    const struct gmr__analysis_options *options = &analysis->options;
    return options->language_of ? options->language_of(options->language_userdata, tid) : NULL;
}

/* What its language calls it, beside its name for the kernel. */
static const char *language_name(const struct gmr__analysis *analysis, pid_t tid)
{
    const struct gmr__language_stack *language = language_of(analysis, tid);
    return language ? language->thread_name : NULL;
}

/* The number of its stack in the report; -1: it has none. */
static int64_t stack_of(struct gmr__analysis *analysis, size_t index)
{
    const struct gmr__stack *native = analysis->thread_stacks[index];
    const struct gmr__language_stack *language = language_of(analysis, analysis->snapshot->threads[index].tid);
    return native || language ? gmr__analysis_stack(analysis, native, language) : -1;
}

static const char *problem_of(const struct gmr__analysis *analysis, size_t index, int64_t stack)
{
    const char *reason = analysis->snapshot->threads[index].reason;
    return reason || stack >= 0 || !analysis->thread_stacks[index] ? reason : "gmr ran out of memory";
}

static const char *call_of(const struct gmr__thread *thread, char number[32])
{
    if (thread->syscall < 0)
        return NULL;
    const char *name = gmr__arch_call_name((long)thread->syscall);
    snprintf(number, 32, "syscall %lld", (long long)thread->syscall);
    return name ? name : number;
}

static bool has_crashed(const struct gmr__analysis *analysis, const struct gmr__thread *thread)
{
    return analysis->options.crashed_tid && thread->tid == analysis->options.crashed_tid;
}

static void wait_data(struct gmr_writer *w, const struct gmr__lock_wait *wait)
{
    if (!wait || !wait->kind)
        return;
    gmr_begin_map(w, "waits_for");
    gmr_put_string(w, "kind", wait->kind);
    if (wait->address)
        gmr_put_format(w, "address", "0x%llx", (unsigned long long)wait->address);
    gmr_put_int(w, "thread", wait->holder);
    if (wait->timed)
        gmr_put_bool(w, "timed", true);
    if (wait->deadlock)
        gmr_put_bool(w, "deadlock", true);
    gmr_end_map(w);
}

static void thread_data(struct gmr_writer *w, struct gmr__analysis *analysis, size_t index,
                        const struct gmr__lock_wait *wait)
{
    const struct gmr__thread *thread = &analysis->snapshot->threads[index];
    char number[32];
    bool crashed = has_crashed(analysis, thread);
    const char *call = crashed ? NULL : call_of(thread, number); /* the handler's */
    int64_t stack = stack_of(analysis, index);
    gmr_begin_map(w, NULL);
    gmr_put_int(w, "id", thread->tid);
    gmr_put_string(w, "name", thread->name);
    const char *own = language_name(analysis, thread->tid);
    if (own)
        gmr_put_string(w, "language_name", own);
    gmr_put_string(w, "state", gmr__proc_state_name(thread->state));
    if (call)
        gmr_put_string(w, "syscall", call);
    if (thread->wchan[0] && !crashed)
        gmr_put_string(w, "wait_channel", thread->wchan);
    wait_data(w, wait);
    if (stack >= 0)
        gmr_put_int(w, "stack", stack);
    if (problem_of(analysis, index, stack))
        gmr_put_string(w, "problem", problem_of(analysis, index, stack));
    if (crashed)
        gmr_put_bool(w, "crashed", true);
    gmr_end_map(w);
}

/* ---------------------------------------------------------------------------------------- the section */

static void judge(const struct gmr__analysis *analysis, struct gmr__section_status *status)
{
    const struct gmr__snapshot *snapshot = analysis->snapshot;
    size_t without = 0, ended = 0;
    const char *reason = NULL;
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        if (analysis->thread_stacks[i])
            continue;
        if (snapshot->threads[i].ended) {
            ended++;
            continue;
        }
        without++;
        reason = reason ? reason : snapshot->threads[i].reason;
    }
    enum gmr__status worst = without + ended == snapshot->thread_count ? GMR__FAILED : GMR__PARTIAL;
    *status = (struct gmr__section_status){.status = GMR__OK};
    if (snapshot->problem) {
        status->status = worst;
        snprintf(status->reason, sizeof(status->reason), "%s", snapshot->problem);
    } else if (!snapshot->thread_count) {
        *status = (struct gmr__section_status){.status = GMR__FAILED, .reason = "no thread could be listed"};
    } else if (without || (ended && worst == GMR__FAILED)) {
        status->status = worst;
        snprintf(status->reason, sizeof(status->reason), "%zu of %zu threads without a stack: %s", without + ended,
                 snapshot->thread_count, reason ? reason : "their registers could not be read");
    }
}

static void put_stack(struct gmr_writer *w, void *userdata, int64_t stack)
{
    struct gmr__analysis *analysis = userdata;
    gmr__stack_text(w, analysis, gmr__analysis_stack_at(analysis, (uint32_t)stack));
}

/* numbers: room for the names of calls that have none. */
static bool as_text(struct gmr_writer *w, struct gmr__analysis *analysis, const struct gmr__lock_wait *waits)
{
    size_t count = analysis->snapshot->thread_count;
    struct gmr__thread_text *threads = malloc((count + 1) * sizeof(*threads));
    char(*numbers)[32] = malloc((count + 1) * sizeof(*numbers));
    for (size_t i = 0; threads && numbers && i < count; i++) {
        const struct gmr__thread *thread = &analysis->snapshot->threads[i];
        threads[i] = (struct gmr__thread_text){
            .tid = thread->tid,
            .name = thread->name,
            .language_name = language_name(analysis, thread->tid),
            .state = gmr__proc_state_name(thread->state),
            .call = call_of(thread, numbers[i]),
            .wait_channel = thread->wchan[0] ? thread->wchan : NULL,
            .stack = stack_of(analysis, i),
            .crashed = has_crashed(analysis, thread),
        };
        threads[i].reason = problem_of(analysis, i, threads[i].stack);
        if (waits)
            threads[i].wait = waits[i];
    }
    bool done =
        threads && numbers && gmr__threads_text(w, threads, count, analysis->options.each_thread, put_stack, analysis);
    free(threads);
    free(numbers);
    return done;
}

void gmr__section_threads(struct gmr_writer *w, struct gmr__analysis *analysis, struct gmr__section_status *status)
{
    size_t count = analysis->snapshot->thread_count;
    judge(analysis, status);
    struct gmr__lock_wait *waits = gmr__lock_waits(analysis);
    if (gmr__writer_text(w) && !as_text(w, analysis, waits))
        *status = (struct gmr__section_status){.status = GMR__FAILED, .reason = "gmr ran out of memory"};
    for (int crashed = 1; crashed >= 0 && !gmr__writer_text(w); crashed--)
        for (size_t i = 0; i < count && !gmr__writer_error(w); i++)
            if (has_crashed(analysis, &analysis->snapshot->threads[i]) == crashed)
                thread_data(w, analysis, i, waits ? &waits[i] : NULL);
    if (analysis->stacks_lost && status->status == GMR__OK)
        *status = (struct gmr__section_status){.status = GMR__PARTIAL, .reason = "gmr ran out of memory"};
    free(waits);
}
