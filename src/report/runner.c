/*
 * report/runner.c - the threads on which the program's own generators run.
 *
 * The upper half of the file is the reporter's and async-signal-safe but for living here; the lower half runs on the runner threads, which may
 * use all of libc and may be stuck for ever. Between them: a state word that is a futex, and an arena that the reporter
 * mapped and the reporter alone unmaps.
 *
 *   NONE -> STARTING -> IDLE -> BUSY -> DONE -> IDLE           the usual way
 *                               BUSY -> LATE -> HOME -> IDLE   abandoned at its deadline, came home later
 *                               BUSY -> CRASHED                parked in the signal handler for good
 *
 * Threads are never created by the reporter: pthread_create allocates. Each runner makes sure of a spare before it runs anything.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "config/config.h"
#include "report/crash.h"
#include "report/registry.h"
#include "report/runtime.h"
#include "report/thread.h"
#include "section/secrets.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define RUNNERS 16 /* two, and one for each generator that never returns: none is started again while it runs */
#define STACK_BYTES ((size_t)1 << 20)
#define STRINGS_BYTES (64u << 10)
#define SMALLEST_BUDGET (64u << 10)

enum state { NONE = 0, STARTING, IDLE, BUSY, DONE, LATE, HOME, CRASHED };

struct gmr__runner {
    _Atomic uint32_t state;
    _Atomic int tid;
    struct gmr__job *job;
};
static struct gmr__runner runners[RUNNERS];

static uint32_t *word_of(struct gmr__runner *runner)
{
    return (uint32_t *)&runner->state;
}

/* ---- the reporter's side ---- */

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
    for (int i = 0; i < RUNNERS; i++) {
        struct gmr__runner *runner = &runners[i];
        if (atomic_load(&runner->state) == HOME) {
            unmap_job(runner->job);
            runner->job = NULL;
            atomic_store(&runner->state, IDLE);
        }
        if (!found && atomic_load(&runner->state) == IDLE)
            found = runner;
    }
    return found;
}

static bool one_is_starting(void)
{
    for (int i = 0; i < RUNNERS; i++)
        if (atomic_load(&runners[i].state) == STARTING)
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
        if (state != BUSY)
            return state == CRASHED ? GMR__JOB_CRASHED : GMR__JOB_DONE;
        if (gmr__futex_wait(word_of(runner), BUSY, deadline_ns) != -ETIMEDOUT)
            continue;
        uint32_t busy = BUSY;
        if (atomic_compare_exchange_strong(&runner->state, &busy, LATE))
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
    atomic_store(&runner->state, BUSY);
    gmr__futex_wake(word_of(runner), 1);
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
    if (atomic_load(&runner->state) != DONE)
        return; /* LATE: still written to */
    runner->job = NULL;
    unmap_job(job);
    atomic_store(&runner->state, IDLE);
}

/* ---- the runner's side ---- */

static const char *keep(struct gmr__job *job, const char *text)
{
    if (!text)
        return NULL;
    size_t room = job->strings_cap - job->strings_used;
    if (room == 0)
        return "";
    char *to = job->strings + job->strings_used;
    struct gmr__buf buf;
    gmr__buf_init(&buf, to, room);
    gmr__buf_str(&buf, text);
    job->strings_used += buf.used + 1;
    return to;
}

static void describe(struct gmr__job *job, const struct gmr__entry *entry)
{
    job->flags = entry->flags;
    const char *title = keep(job, entry->title);
    char *const *style = entry->style_text;
    job->head = (struct gmr__section_head){.name = title,
                                           .title = title,
                                           .shape = GMR__SHAPE_MAP,
                                           .flags = GMR__SECTION_OWN,
                                           .style = {keep(job, style[0]), keep(job, style[1]), keep(job, style[2]),
                                                     keep(job, style[3]), keep(job, style[4]), keep(job, style[5]),
                                                     keep(job, style[6])}};
}

static void run_generator(struct gmr__job *job, struct gmr_writer *writer, gmr_generator generator, void *userdata)
{
    job->result = generator(writer, userdata);
    int error = gmr__writer_section_error(writer);
    bool open = gmr__writer_close(writer);
    gmr__writer_flush(writer);
    const char *name = job->result < 0 ? strerrorname_np(-job->result) : NULL;
    if (error == -EMSGSIZE)
        snprintf(job->reason, sizeof(job->reason), "cut short: the section is larger than its budget of %zu bytes",
                 job->events.cap);
    else if (job->result < 0)
        snprintf(job->reason, sizeof(job->reason), "the section's generator failed: %s (%d), %s", name ? name : "error",
                 job->result, name ? strerrordesc_np(-job->result) : "not an errno");
    else if (error)
        snprintf(job->reason, sizeof(job->reason),
                 "the section's generator made a call that does not fit (%s); what followed was left out",
                 strerrorname_np(-error) ? strerrorname_np(-error) : "error");
    else if (open)
        snprintf(job->reason, sizeof(job->reason),
                 "the section's generator left a map, list or table open, which was closed for it");
}

static int write_configuration(struct gmr_writer *writer, void *userdata)
{
    return gmr__config_write(writer);
}

/* What a program writes into its own sections may hold a secret, too: it is masked by its shape. */
static const struct gmr__filter secrets = {.finds = gmr__value_has_secret, .mask = gmr__mask_value};

static void run_job(struct gmr__job *job)
{
    if (job->kind == GMR__JOB_LOG) {
        const struct gmr__settings *s = gmr__rt.settings;
        s->log(s->log_userdata, job->priority, job->text);
        return;
    }
    struct gmr_writer *writer =
        gmr__writer_init(job->writer_place, gmr__writer_size(), GMR__VIEW_WIRE, job->final_view, &job->events.sink);
    if (!writer) {
        job->result = -ENOMEM;
        return;
    }
    gmr__writer_filter(writer, &secrets);
    if (job->kind == GMR__JOB_CONFIGURATION) {
        job->found = true;
        run_generator(job, writer, write_configuration, NULL);
        return;
    }
    struct gmr__entry *entry = gmr__registry_take(job->after, &job->until, job->text, job->wanted_flags);
    if (!entry)
        return;
    describe(job, entry);
    job->after = entry->id;
    __atomic_store_n(&job->found, true, __ATOMIC_RELEASE); /* the head is told even if the generator never returns */
    if (entry->running > 1) {
        job->result = -EBUSY;
        snprintf(job->reason, sizeof(job->reason),
                 "the section's generator is still running since an earlier report; it is not started again");
    } else {
        run_generator(job, writer, entry->generator, entry->userdata);
    }
    gmr__registry_done(entry);
}

static void ensure_spare(const struct gmr__runner *self);

static void *runner_main(void *argument)
{
    struct gmr__runner *self = argument;
    atomic_store(&self->tid, gmr__gettid());
    prctl(PR_SET_NAME, GMR__RUNNER_NAME);
    gmr__crash_stack(); /* a generator that recurses without end is caught on it */
    atomic_store(&self->state, IDLE);
    gmr__futex_wake(word_of(self), 1);
    for (;;) {
        uint32_t state = atomic_load(&self->state);
        if (state != BUSY) {
            gmr__futex_wait(word_of(self), state, 0);
            continue;
        }
        ensure_spare(self);
        gmr__crash_guard_begin();
        run_job(self->job);
        gmr__crash_guard_end();
        uint32_t busy = BUSY;
        if (!atomic_compare_exchange_strong(&self->state, &busy, DONE))
            atomic_store(&self->state, HOME);
        gmr__futex_wake(word_of(self), 1);
    }
    return NULL;
}

static int start_runner(struct gmr__runner *runner)
{
    uint32_t none = NONE;
    if (!atomic_compare_exchange_strong(&runner->state, &none, STARTING))
        return -EBUSY;
    int error = gmr__thread_start(runner_main, runner, STACK_BYTES);
    if (error)
        atomic_store(&runner->state, NONE);
    return error;
}

static void ensure_spare(const struct gmr__runner *self)
{
    for (int i = 0; i < RUNNERS; i++) {
        uint32_t state = atomic_load(&runners[i].state);
        if (&runners[i] != self && (state == IDLE || state == STARTING || state == HOME))
            return;
    }
    for (int i = 0; i < RUNNERS; i++)
        if (start_runner(&runners[i]) == 0)
            return;
}

/* The spare, too: what a thread allocates to create its first one comes from a new arena of malloc's, 64 MiB of address space. */
int gmr__runner_start(void)
{
    for (int i = 0; i < RUNNERS; i++)
        if (atomic_load(&runners[i].state) != NONE)
            return 0;
    int error = start_runner(&runners[0]);
    if (!error)
        start_runner(&runners[1]);
    return error;
}

void gmr__runner_forget(void)
{
    for (int i = 0; i < RUNNERS; i++) {
        if (runners[i].job)
            unmap_job(runners[i].job);
        runners[i] = (struct gmr__runner){0};
    }
    gmr__crash_guard_forget();
}

bool gmr__runner_crashed(int signal, siginfo_t *info, void *context)
{
    int tid = gmr__gettid();
    for (int i = 0; i < RUNNERS; i++) {
        uint32_t state = atomic_load(&runners[i].state);
        if (atomic_load(&runners[i].tid) != tid || (state != BUSY && state != LATE))
            continue;
        runners[i].job->crash_signal = signal;
        runners[i].job->crash_context = context;
        atomic_store(&runners[i].state, CRASHED);
        gmr__futex_wake(word_of(&runners[i]), 1);
        gmr__crash_guard_end();
        for (;;)
            gmr__futex_wait(word_of(&runners[i]), CRASHED, 0);
    }
    return false;
}

bool gmr__runner_is_self(void)
{
    int tid = gmr__gettid();
    for (int i = 0; i < RUNNERS; i++)
        if (atomic_load(&runners[i].state) != NONE && atomic_load(&runners[i].tid) == tid)
            return true;
    return false;
}
