/*
 * cli/walk.c - the one walk over a report's sections that `gmr report` and the inspector share.
 *
 * The gmr command only. The process is copied first, in one go, so that all that follows - questions to the target, unwinding,
 * symbols - sees it as it was and leaves it alone.
 */
#include "cli/walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"
#include "green/attach.h"
#include "report/order.h"
#include "section/analysis.h"
#include "section/findings.h"
#include "symbol/cache.h"
#include "sys/pin.h"
#include "sys/sys.h"

#define DEBUGINFOD_TIMEOUT_MS 10000
#define DEBUGINFOD_TOTAL_MS 20000

struct gmr__walk {
    struct gmr__walk_options options;
    struct gmr__snapshot *snapshot;
    struct gmr__analysis *analysis;
    bool analysed;            /* it is finished, not only begun */
    struct gmr__green *green; /* NULL: not looked for, or no memory */
    char problem[256];
    char cache_directory[512];
};

static bool name_in_list(const char *list, const char *name)
{
    size_t bytes = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, bytes) == 0 && (at[bytes] == ',' || at[bytes] == '\0'))
            return true;
    return false;
}

bool gmr__walk_wants(const struct gmr__walk_options *options, const char *name)
{
    /* Stacks hold what threads and green threads refer to: one without the other can't be read. */
    if (options->sections && strcmp(name, "stacks") == 0)
        return name_in_list(options->sections, "stacks") || name_in_list(options->sections, "threads") ||
               name_in_list(options->sections, "green_threads");
    return !options->sections || name_in_list(options->sections, name);
}

bool gmr__walk_sections_known(const char *list, const char **unknown, size_t *bytes)
{
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        bool known = false;
        *unknown = at;
        *bytes = strcspn(at, ",");
        for (const struct gmr__order_entry *entry = gmr__report_order; entry->name && !known; entry++)
            known = strlen(entry->name) == *bytes && strncmp(entry->name, at, *bytes) == 0;
        if (!known)
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------ capture */

static const struct gmr__language_stack *language_of(void *userdata, pid_t tid)
{
    const struct gmr__walk *walk = userdata;
    return gmr__green_os_thread(walk->green, tid);
}

static struct gmr__analysis_options analysis_options(struct gmr__walk *walk)
{
    const char *cache = NULL;
    if (!walk->options.no_cache)
        cache = gmr__symbol_cache_directory(walk->cache_directory, sizeof(walk->cache_directory));
    return (struct gmr__analysis_options){
        .max_frames = walk->options.max_frames,
        .each_thread = walk->options.each_thread,
        .all_frames = walk->options.all_frames,
        .language_of = language_of,
        .language_userdata = walk,
        .crashed_tid = walk->options.crashed_tid,
        .symbols = {.no_lines = walk->options.no_lines,
                    .cache_directory = cache,
                    .debuginfod_urls = walk->options.debuginfod_urls,
                    .debuginfod_timeout_ms = DEBUGINFOD_TIMEOUT_MS,
                    .debuginfod_total_ms = DEBUGINFOD_TOTAL_MS},
    };
}

/* More stacks than memory should take: unwound while others are being copied. */
static bool drain(struct gmr__snapshot *snapshot, const struct gmr__thread *thread, void *userdata)
{
    struct gmr__walk *walk = userdata;
    if (!walk->analysis) {
        struct gmr__analysis_options options = analysis_options(walk);
        walk->analysis = gmr__analysis_begin(snapshot, &options);
    }
    return walk->analysis && gmr__analysis_take(walk->analysis, thread);
}

static struct gmr__snapshot *capture(struct gmr__walk *walk)
{
    const struct gmr__walk_options *options = &walk->options;
    struct gmr__snapshot *snapshot = NULL;
    struct gmr__capture_options capture = {
        .stack_bytes = options->max_stack_bytes,
        .deadline_ns = options->deadline_ns,
        .stop_all = options->all_at_once,
        .drain = drain,
        .drain_userdata = walk,
    };
    /* Also for the threads: those of an interpreter have frames of its language. */
    struct gmr__green_attach *green = NULL;
    if (gmr__walk_wants(options, "green_threads") || gmr__walk_wants(options, "threads") ||
        gmr__walk_wants(options, "findings"))
        green = gmr__green_attach(&capture, NULL);
    int status = gmr__capture_ptrace(options->pid, &capture, &snapshot);
    walk->green = gmr__green_take(green, snapshot);
    if (!snapshot) {
        gmr__analysis_free(walk->analysis);
        walk->analysis = NULL;
    }
    if (status < 0)
        snprintf(walk->problem, sizeof(walk->problem), "the process could not be captured: %s", strerror(-status));
    return snapshot;
}

static bool wants_capture(const struct gmr__walk_options *options)
{
    for (const struct gmr__order_entry *entry = gmr__report_order; entry->name; entry++)
        if ((entry->half == GMR__HALF_INSPECTOR || entry->half == GMR__HALF_FINDINGS) &&
            gmr__walk_wants(options, entry->name))
            return true;
    return false;
}

struct gmr__walk *gmr__walk_new(const struct gmr__walk_options *options)
{
    struct gmr__walk *walk = calloc(1, sizeof(*walk));
    if (!walk)
        return NULL;
    walk->options = *options;
    if (!gmr__pinned_path("/proc", options->pid))
        gmr__pin(options->pid); /* the inspector: where it can't be pinned, it goes by its number */
    if (!wants_capture(options))
        return walk;
    walk->snapshot = capture(walk);
    return walk;
}

void gmr__walk_save(struct gmr__walk *walk)
{
    if (walk->analysis)
        gmr__symbolizer_save(walk->analysis->symbolizer);
}

void gmr__walk_free(struct gmr__walk *walk)
{
    if (!walk)
        return;
    gmr__green_free(walk->green);
    gmr__analysis_free(walk->analysis);
    if (!walk->analysed)
        gmr__snapshot_free(walk->snapshot);
    free(walk);
}

bool gmr__walk_captured(const struct gmr__walk *walk)
{
    return walk->snapshot && walk->snapshot->thread_count > 0;
}

const char *gmr__walk_method(const struct gmr__walk *walk)
{
    return walk->snapshot && walk->snapshot->method ? walk->snapshot->method : "none";
}

void gmr__walk_cost(const struct gmr__walk *walk, uint64_t started_ns, struct gmr__cost *cost)
{
    memset(cost, 0, sizeof(*cost));
    cost->wall_ns = gmr__now_ns() - started_ns;
    if (!walk->snapshot)
        return;
    cost->known_pause = true;
    cost->pause_max_ns = walk->snapshot->pause_max_ns;
    cost->pause_median_ns = walk->snapshot->pause_median_ns;
    cost->copied_bytes = walk->snapshot->copied_bytes;
}

/* ------------------------------------------------------------------------------------------------ sections */

static int end_section(struct gmr_writer *w, const struct gmr__section_status *status, bool *partial)
{
    if (status->status == GMR__PARTIAL || status->status == GMR__FAILED)
        *partial = true;
    return gmr__section_end(w, status->status, status->reason[0] ? status->reason : NULL,
                            status->next_step[0] ? status->next_step : NULL);
}

int gmr__walk_proc_section(const struct gmr__walk_options *options, struct gmr_writer *w,
                           const struct gmr__proc_section *section, bool *partial)
{
    struct gmr__target target = {.pid = options->pid, .proc = "/proc", .deadline_ns = options->deadline_ns};
    struct gmr__section_status status = {.status = GMR__OK};
    gmr__section_begin(w, &section->head);
    section->run(w, &target, &status);
    if (gmr__pinned_gone(options->pid, 0)) /* what was not there any more is no sign of anything else */
        status = (struct gmr__section_status){GMR__PARTIAL, "the process ended before all of this could be read", ""};
    return end_section(w, &status, partial);
}

static const struct gmr__section_head *inspector_head(const char *name)
{
    static const struct gmr__section_head heads[] = {
        {.name = "threads", .title = "Threads", .shape = GMR__SHAPE_LIST},
        {.name = "green_threads", .title = "Green Threads", .shape = GMR__SHAPE_LIST},
        {.name = "stacks", .title = "Stacks", .shape = GMR__SHAPE_LIST, .flags = GMR__SECTION_STRUCTURED},
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (strcmp(heads[i].name, name) == 0)
            return &heads[i];
    return NULL;
}

/* Made when the first section needs it: the target runs on, whatever this takes. */
static bool analyse(struct gmr__walk *walk)
{
    if (walk->analysed || !walk->snapshot)
        return walk->analysed;
    if (walk->analysis) {
        walk->analysis = gmr__analysis_finish(walk->analysis);
    } else {
        struct gmr__analysis_options options = analysis_options(walk);
        walk->analysis = gmr__analysis_new(walk->snapshot, &options);
    }
    walk->analysed = walk->analysis != NULL;
    walk->snapshot = walk->analysed ? walk->analysis->snapshot : NULL;
    if (!walk->analysed)
        snprintf(walk->problem, sizeof(walk->problem), "no memory for the analysis");
    return walk->analysed;
}

static void run_inspector_section(struct gmr__walk *walk, struct gmr_writer *w, const char *name,
                                  struct gmr__section_status *status)
{
    if (!analyse(walk)) {
        status->status = GMR__FAILED;
        snprintf(status->reason, sizeof(status->reason), "%s", walk->problem);
    } else if (strcmp(name, "threads") == 0) {
        gmr__section_threads(w, walk->analysis, status);
    } else if (strcmp(name, "green_threads") == 0) {
        struct gmr__green_filter filter = walk->options.green;
        filter.each = filter.each || walk->options.each_thread;
        gmr__section_green(w, walk->analysis, walk->green, &filter, status);
    } else if (strcmp(name, "stacks") == 0) {
        gmr__section_stacks(w, walk->analysis, status);
    }
}

static bool any_stack(const struct gmr__snapshot *snapshot)
{
    for (size_t i = 0; snapshot && i < snapshot->thread_count; i++)
        if (snapshot->threads[i].regs.valid)
            return true;
    return false;
}

static int inspector_section(struct gmr__walk *walk, struct gmr_writer *w, const char *name, bool *partial)
{
    struct gmr__section_status status = {.status = GMR__OK};
    const struct gmr__section_head *head = inspector_head(name);
    if (!head)
        return 0;
    if (walk->options.leave_missing && !any_stack(walk->snapshot)) {
        char slot[sizeof(walk->problem) + 32];
        const char *why = walk->snapshot && walk->snapshot->problem ? walk->snapshot->problem : walk->problem;
        snprintf(slot, sizeof(slot), "%s: %s", name, why);
        *partial = true;
        return gmr__slot(w, slot);
    }
    gmr__section_begin(w, head);
    run_inspector_section(walk, w, name, &status);
    return end_section(w, &status, partial);
}

static int findings_section(struct gmr__walk *walk, struct gmr_writer *w, bool *partial)
{
    static const struct gmr__section_head head = {.name = "findings", .title = "Findings", .shape = GMR__SHAPE_LIST};
    struct gmr__target target = {.pid = walk->options.pid, .proc = "/proc", .deadline_ns = walk->options.deadline_ns};
    struct gmr__section_status status = {.status = GMR__OK};
    struct gmr__findings findings = {.count = 0};
    gmr__findings_process(&findings, &target, walk->snapshot && gmr__findings_stopped(walk->snapshot));
    if (analyse(walk))
        gmr__findings_threads(&findings, walk->analysis);
    gmr__findings_green(&findings, walk->green);
    if (!findings.count)
        return 0;
    gmr__section_begin(w, &head);
    gmr__section_findings(w, &findings);
    return end_section(w, &status, partial);
}

int gmr__walk_sections(struct gmr__walk *walk, struct gmr_writer *w, gmr__walk_target_half target_half, void *userdata,
                       bool *partial)
{
    int status = 0;
    for (const struct gmr__order_entry *entry = gmr__report_order; entry->name && status == 0; entry++) {
        if (!gmr__walk_wants(&walk->options, entry->name))
            continue;
        if (entry->half == GMR__HALF_TARGET)
            status = target_half(userdata, w, entry->name, partial);
        else if (entry->half == GMR__HALF_PROC)
            status = gmr__walk_proc_section(&walk->options, w, entry->proc, partial);
        else if (entry->half == GMR__HALF_FINDINGS)
            status = findings_section(walk, w, partial);
        else
            status = inspector_section(walk, w, entry->name, partial);
    }
    return status ? status : gmr__writer_error(w);
}
