/*
 * report/slots_as.c - the sections that only the target can fill: package, configuration, the program's own.
 *
 * Reporter thread; async-signal-safe. The program's code runs on a runner, never here; what it wrote is replayed from an arena, sorted
 * as oslo.reports sorts.
 */
#include <errno.h>

#include "config/config.h"
#include "report/assemble.h"
#include "report/crash.h"
#include "report/fallback.h"
#include "report/registry.h"
#include "report/runtime.h"
#include "section/section.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

static bool in_list(const char *list, const char *name)
{
    size_t length = gmr__strlen(name);
    for (const char *at = list; *at;) {
        const char *end = at;
        while (*end && *end != ',')
            end++;
        if ((size_t)(end - at) == length && gmr__memcmp(at, name, length) == 0)
            return true;
        at = *end ? end + 1 : end;
    }
    return false;
}

static void fill_package(struct gmr_writer *writer, const struct gmr__wish *wish)
{
    static const struct gmr__section_head head = {.name = "package", .title = "Package", .shape = GMR__SHAPE_MAP};
    const struct gmr__settings *s = gmr__rt.settings;
    struct gmr__section_status status = {0};
    struct gmr__target target = {.pid = gmr__getpid(), .proc = "/proc", .deadline_ns = wish->deadline_ns};
    struct gmr__package package = {
        .vendor = s->vendor, .product = s->product, .version = s->version, .libgmr = GMR_BUILD_VERSION};
    if (gmr__section_begin(writer, &head))
        return;
    gmr__section_package(writer, &target, &package, &status);
    gmr__section_end(writer, status.status, status.reason[0] ? status.reason : NULL,
                     status.next_step[0] ? status.next_step : NULL);
}

/* Of an abandoned job, what was there when we looked. */
static void replay(struct gmr_writer *writer, const struct gmr__job *job)
{
    size_t bytes = __atomic_load_n(&job->events.used, __ATOMIC_ACQUIRE);
    if (!bytes)
        return;
    if (job->flags & GMR_SECTION_KEEP_ORDER) {
        gmr__replay(writer, job->events.base, bytes);
        return;
    }
    size_t scratch_bytes = bytes * 4 + 4096;
    void *scratch = gmr__map_memory(scratch_bytes);
    gmr__replay_sorted(writer, job->events.base, bytes, scratch, scratch ? scratch_bytes : 0);
    if (scratch)
        gmr__unmap_memory(scratch, scratch_bytes);
}

static void end_section(struct gmr_writer *writer, const struct gmr__job *job, enum gmr__job_outcome outcome,
                        const char *next_step)
{
    char reason[160];
    struct gmr__buf buf;
    gmr__buf_init(&buf, reason, sizeof(reason));
    enum gmr__status status = GMR__PARTIAL;
    switch (outcome) {
    case GMR__JOB_DONE:
        gmr__section_end(writer,
                         !job->reason[0]         ? GMR__OK
                         : job->events.used == 0 ? GMR__FAILED
                                                 : GMR__PARTIAL,
                         job->reason[0] ? job->reason : NULL, NULL);
        return;
    case GMR__JOB_LATE:
        gmr__buf_str(&buf, "cut short: it did not finish within ");
        gmr__buf_uint(&buf, gmr__rt.settings->section_timeout_ms);
        gmr__buf_str(&buf, " ms and was abandoned");
        break;
    case GMR__JOB_CRASHED:
        gmr__buf_str(&buf, "cut short: its generator crashed (");
        gmr__buf_str(&buf, gmr__crash_signal_name(job->crash_signal));
        gmr__buf_str(&buf, "); it is not run again, and what it held stays held");
        break;
    case GMR__JOB_NO_RUNNER:
        gmr__buf_str(
            &buf,
            "every thread that could run it is stuck in a section of an earlier report, or none could be started");
        status = GMR__FAILED;
        break;
    case GMR__JOB_NO_MEMORY:
        gmr__buf_str(&buf, "no memory to run it in");
        status = GMR__FAILED;
        break;
    }
    gmr__section_end(writer, job && job->events.used ? status : GMR__FAILED, reason, next_step);
}

static uint64_t job_deadline(const struct gmr__wish *wish)
{
    uint64_t until = gmr__now_ns() + (uint64_t)gmr__rt.settings->section_timeout_ms * 1000000u;
    return until < wish->deadline_ns ? until : wish->deadline_ns;
}

static int final_view(const struct gmr__wish *wish)
{
    return wish->view == GMR__VIEW_WIRE ? wish->final_view : wish->view;
}

static void fill_configuration(struct gmr_writer *writer, const struct gmr__wish *wish)
{
    const struct gmr__section_head head = {
        .name = "configuration", .title = "Configuration", .shape = GMR__SHAPE_MAP, .style = gmr__config_style};
    struct gmr__job *job;
    if (wish->crash) {
        if (gmr__section_begin(writer, &head) == 0)
            gmr__section_end(writer, GMR__ABSENT, "the program's code is not run in a crash", NULL);
        return;
    }
    const struct gmr__job wanted = {.kind = GMR__JOB_CONFIGURATION, .final_view = final_view(wish)};
    enum gmr__job_outcome outcome =
        gmr__runner_run(&wanted, NULL, gmr__rt.settings->section_max_bytes, job_deadline(wish), &job);
    if (gmr__section_begin(writer, &head) == 0) {
        if (job)
            replay(writer, job);
        end_section(writer, job, outcome, NULL);
    }
    if (job)
        gmr__runner_release(job);
}

/* A job that failed before the section's title was known. */
static void nameless(struct gmr_writer *writer, const struct gmr__wish *wish, enum gmr__job_outcome outcome)
{
    const char *title = wish->only_title ? wish->only_title : "Sections";
    struct gmr__section_head head = {.name = title, .title = title, .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_OWN};
    if (gmr__section_begin(writer, &head) == 0)
        end_section(writer, NULL, outcome, "see the stacks of the threads named " GMR__RUNNER_NAME);
}

/* Where a generator that was abandoned, or that crashed, is. */
static void put_stack(struct gmr_writer *writer, struct gmr__fallback *fallback, const struct gmr__job *job,
                      enum gmr__job_outcome outcome)
{
    if (!fallback || (outcome != GMR__JOB_LATE && outcome != GMR__JOB_CRASHED))
        return;
    pid_t tid = gmr__runner_tid(job);
    if (outcome == GMR__JOB_CRASHED)
        gmr__fallback_crashed(fallback, tid, job->crash_context);
    gmr__fallback_put_thread(fallback, writer, outcome == GMR__JOB_CRASHED ? "crashed in" : "abandoned in", tid);
}

static int fill_own(struct gmr_writer *writer, const struct gmr__wish *wish)
{
    uint64_t after = 0, until = 0;
    int written = 0;
    for (;;) {
        struct gmr__job *job;
        const struct gmr__job wanted = {.kind = GMR__JOB_SECTION,
                                        .after = after,
                                        .until = until,
                                        .final_view = final_view(wish),
                                        .wanted_flags = wish->crash ? GMR_SECTION_CRASH_SAFE : 0};
        enum gmr__job_outcome outcome =
            gmr__runner_run(&wanted, wish->only_title, gmr__rt.settings->section_max_bytes, job_deadline(wish), &job);
        bool found = job && __atomic_load_n(&job->found, __ATOMIC_ACQUIRE);
        if (!found && outcome != GMR__JOB_DONE)
            nameless(writer, wish, outcome);
        if (!found) {
            if (job)
                gmr__runner_release(job);
            return outcome == GMR__JOB_DONE ? written : written + 1;
        }
        after = job->after;
        until = job->until;
        if (gmr__section_begin(writer, &job->head) == 0) {
            replay(writer, job);
            put_stack(writer, wish->fallback, job, outcome);
            end_section(writer, job, outcome, NULL);
        }
        gmr__runner_release(job);
        written++;
        int error = gmr__writer_error(writer);
        if (error)
            return error;
        if (wish->only_title)
            return written;
    }
}

int gmr__fill_slot(struct gmr_writer *writer, const char *name, const struct gmr__wish *wish)
{
    if (wish->only_names && !in_list(wish->only_names, name))
        return 0;
    if (gmr__streq(name, "package")) {
        fill_package(writer, wish);
        if (wish->crash)
            gmr__crash_section(writer, wish->fallback);
        return 1;
    }
    if (gmr__streq(name, "configuration")) {
        fill_configuration(writer, wish);
        return 1;
    }
    if (!gmr__streq(name, "own"))
        return 0;
    int written = fill_own(writer, wish);
    if (wish->crash && written >= 0)
        gmr__crash_map(writer);
    return written;
}
