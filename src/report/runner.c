/*
 * report/runner.c - the threads on which the program's own generators run.
 *
 * Runner threads, which may use all of libc and may be stuck for ever; started by the thread that sets up. The reporter's half is runner_as.c;
 * what happens between the two is told in runner.h. Threads are never created by the reporter: pthread_create allocates. Each
 * runner makes sure of a spare before it runs anything.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "config/config.h"
#include "report/crash.h"
#include "report/registry.h"
#include "report/runner.h"
#include "report/runtime.h"
#include "report/thread.h"
#include "section/secrets.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define STACK_BYTES ((size_t)1 << 20)

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
    atomic_store(&self->state, GMR__RUNNER_IDLE);
    gmr__futex_wake(gmr__runner_word(self), 1);
    for (;;) {
        uint32_t state = atomic_load(&self->state);
        if (state != GMR__RUNNER_BUSY) {
            gmr__futex_wait(gmr__runner_word(self), state, 0);
            continue;
        }
        ensure_spare(self);
        gmr__crash_guard_begin();
        run_job(self->job);
        gmr__crash_guard_end();
        uint32_t busy = GMR__RUNNER_BUSY;
        if (!atomic_compare_exchange_strong(&self->state, &busy, GMR__RUNNER_DONE))
            atomic_store(&self->state, GMR__RUNNER_HOME);
        gmr__futex_wake(gmr__runner_word(self), 1);
    }
    return NULL;
}

static int start_runner(struct gmr__runner *runner)
{
    uint32_t none = GMR__RUNNER_NONE;
    if (!atomic_compare_exchange_strong(&runner->state, &none, GMR__RUNNER_STARTING))
        return -EBUSY;
    int error = gmr__thread_start(runner_main, runner, STACK_BYTES);
    if (error)
        atomic_store(&runner->state, GMR__RUNNER_NONE);
    return error;
}

static void ensure_spare(const struct gmr__runner *self)
{
    for (int i = 0; i < GMR__RUNNERS; i++) {
        uint32_t state = atomic_load(&gmr__runners[i].state);
        if (&gmr__runners[i] != self &&
            (state == GMR__RUNNER_IDLE || state == GMR__RUNNER_STARTING || state == GMR__RUNNER_HOME))
            return;
    }
    for (int i = 0; i < GMR__RUNNERS; i++)
        if (start_runner(&gmr__runners[i]) == 0)
            return;
}

/* The spare, too: what a thread allocates to create its first one comes from a new arena of malloc's, 64 MiB of address space. */
int gmr__runner_start(void)
{
    for (int i = 0; i < GMR__RUNNERS; i++)
        if (atomic_load(&gmr__runners[i].state) != GMR__RUNNER_NONE)
            return 0;
    int error = start_runner(&gmr__runners[0]);
    if (!error)
        start_runner(&gmr__runners[1]);
    return error;
}
