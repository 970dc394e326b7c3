/*
 * report/runner_as.c - the reporter's half of the threads on which the program's own generators run: jobs are given out, waited for and read.
 *
 * The reporter thread, and the handler of a crash in a generator; async-signal-safe. The other half, which may use all of libc, is runner.c;
 * what happens between the two is told in runner.h.
 */
#include <errno.h>

#include "report/crash.h"
#include "report/registry.h"
#include "report/runner.h"
#include "report/runtime.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define STRINGS_BYTES (64u << 10)
#define SMALLEST_BUDGET (64u << 10)

struct gmr__runner gmr__runners[GMR__RUNNERS];

/* For a process that is out of address space; in .bss it costs nothing until it is used. */
static GMR__APART unsigned char reserve[256u << 10];
static bool reserve_used;

static void unmap_job(struct gmr__job *job)
{
    if ((unsigned char *)job != reserve) {
        gmr__unmap_memory(job, job->arena_bytes);
        return;
    }
    gmr__memset(reserve, 0, sizeof(*job));
    reserve_used = false;
}

static struct gmr__job *map_job(size_t max_bytes)
{
    size_t place = (gmr__writer_size() + 63) & ~(size_t)63;
    for (size_t budget = max_bytes;; budget /= 2) {
        size_t bytes = sizeof(struct gmr__job) + 64 + place + STRINGS_BYTES + budget;
        unsigned char *base = gmr__map_memory(bytes);
        if (!base && budget > SMALLEST_BUDGET)
            continue; /* RLIMIT_AS: better a short section than none */
        if (!base && !reserve_used) {
            base = reserve;
            bytes = sizeof(reserve);
            budget = bytes - (sizeof(struct gmr__job) + 64 + place + STRINGS_BYTES);
            reserve_used = true;
        }
        if (!base)
            return NULL;
        struct gmr__job *job = (struct gmr__job *)base;
        job->arena_bytes = bytes;
        job->writer_place = base + ((sizeof(*job) + 63) & ~(size_t)63);
        job->strings = (char *)job->writer_place + place;
        job->strings_cap = STRINGS_BYTES;
        gmr__sink_mem_init(&job->events, job->strings + STRINGS_BYTES, budget);
        return job;
    }
}

static struct gmr__runner *idle_runner(void)
{
    struct gmr__runner *found = NULL;
    for (int i = 0; i < GMR__RUNNERS; i++) {
        struct gmr__runner *runner = &gmr__runners[i];
        if (atomic_load(&runner->state) == GMR__RUNNER_HOME) {
            unmap_job(runner->job);
            runner->job = NULL;
            atomic_store(&runner->state, GMR__RUNNER_IDLE);
        }
        if (!found && atomic_load(&runner->state) == GMR__RUNNER_IDLE)
            found = runner;
    }
    return found;
}

static bool one_is_starting(void)
{
    for (int i = 0; i < GMR__RUNNERS; i++)
        if (atomic_load(&gmr__runners[i].state) == GMR__RUNNER_STARTING)
            return true;
    return false;
}

/* One that is being started is worth the wait, one about to end its job a short one. */
static struct gmr__runner *wait_for_runner(uint64_t deadline_ns)
{
    uint64_t until = gmr__now_ns() + 200000000u;
    for (;;) {
        struct gmr__runner *runner = idle_runner();
        uint64_t now = gmr__now_ns();
        if (runner || now >= deadline_ns || (now >= until && !one_is_starting()))
            return runner;
        gmr__sleep_ns(1000000);
    }
}

static enum gmr__job_outcome wait_for_job(struct gmr__runner *runner, uint64_t deadline_ns)
{
    for (;;) {
        uint32_t state = atomic_load(&runner->state);
        if (state != GMR__RUNNER_BUSY)
            return state == GMR__RUNNER_CRASHED ? GMR__JOB_CRASHED : GMR__JOB_DONE;
        if (gmr__futex_wait(gmr__runner_word(runner), GMR__RUNNER_BUSY, deadline_ns) != -ETIMEDOUT)
            continue;
        uint32_t busy = GMR__RUNNER_BUSY;
        if (atomic_compare_exchange_strong(&runner->state, &busy, GMR__RUNNER_LATE))
            return GMR__JOB_LATE;
    }
}

enum gmr__job_outcome gmr__runner_run(const struct gmr__job *wanted, const char *text, size_t max_bytes,
                                      uint64_t deadline_ns, struct gmr__job **out)
{
    *out = NULL;
    struct gmr__runner *runner = wait_for_runner(deadline_ns);
    if (!runner)
        return GMR__JOB_NO_RUNNER;
    struct gmr__job *job = map_job(max_bytes);
    if (!job)
        return GMR__JOB_NO_MEMORY;
    job->kind = wanted->kind;
    job->after = wanted->after;
    job->until = wanted->until;
    job->final_view = wanted->final_view;
    job->priority = wanted->priority;
    job->wanted_flags = wanted->wanted_flags;
    job->runner = runner;
    if (text) {
        struct gmr__buf buf;
        gmr__buf_init(&buf, job->strings, job->strings_cap / 2);
        gmr__buf_str(&buf, text);
        job->text = job->strings;
        job->strings_used = buf.used + 1;
    }
    runner->job = job;
    atomic_store(&runner->state, GMR__RUNNER_BUSY);
    gmr__futex_wake(gmr__runner_word(runner), 1);
    *out = job;
    return wait_for_job(runner, deadline_ns);
}

void gmr__runner_log(int priority, const char *text, uint64_t deadline_ns)
{
    const struct gmr__job wanted = {.kind = GMR__JOB_LOG, .priority = priority};
    struct gmr__job *job;
    gmr__runner_run(&wanted, text, SMALLEST_BUDGET, deadline_ns, &job);
    if (job)
        gmr__runner_release(job);
}

pid_t gmr__runner_tid(const struct gmr__job *job)
{
    return atomic_load(&job->runner->tid);
}

void gmr__runner_release(struct gmr__job *job)
{
    struct gmr__runner *runner = job->runner;
    if (atomic_load(&runner->state) != GMR__RUNNER_DONE)
        return; /* GMR__RUNNER_LATE: still written to */
    runner->job = NULL;
    unmap_job(job);
    atomic_store(&runner->state, GMR__RUNNER_IDLE);
}

void gmr__runner_forget(void)
{
    for (int i = 0; i < GMR__RUNNERS; i++) {
        if (gmr__runners[i].job)
            unmap_job(gmr__runners[i].job);
        gmr__runners[i] = (struct gmr__runner){0};
    }
    gmr__crash_guard_forget();
}

bool gmr__runner_crashed(int signal, siginfo_t *info, void *context)
{
    int tid = gmr__gettid();
    for (int i = 0; i < GMR__RUNNERS; i++) {
        uint32_t state = atomic_load(&gmr__runners[i].state);
        if (atomic_load(&gmr__runners[i].tid) != tid || (state != GMR__RUNNER_BUSY && state != GMR__RUNNER_LATE))
            continue;
        gmr__runners[i].job->crash_signal = signal;
        gmr__runners[i].job->crash_context = context;
        atomic_store(&gmr__runners[i].state, GMR__RUNNER_CRASHED);
        gmr__futex_wake(gmr__runner_word(&gmr__runners[i]), 1);
        gmr__crash_guard_end();
        for (;;)
            gmr__futex_wait(gmr__runner_word(&gmr__runners[i]), GMR__RUNNER_CRASHED, 0);
    }
    return false;
}

bool gmr__runner_is_self(void)
{
    int tid = gmr__gettid();
    for (int i = 0; i < GMR__RUNNERS; i++)
        if (atomic_load(&gmr__runners[i].state) != GMR__RUNNER_NONE && atomic_load(&gmr__runners[i].tid) == tid)
            return true;
    return false;
}
