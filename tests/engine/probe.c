/*
 * tests/engine/probe.c - the engine alone, for tests: captures a process and prints what it got, as JSON lines.
 *
 *     probe capture PID COUNT [all] [stack=BYTES] [deadline=MS, for a thread to stop]   COUNT captures; one line with the sums, thread by thread the last capture
 *     probe unwind PID              what unwinding costs
 *     probe stacks PID [all] [frames=N] [stack=BYTES] [each] [batch=BYTES]   threads and stacks, as the report writes them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"
#include "section/analysis.h"
#include "sys/sys.h"

/* Patient: on a busy machine a thread may wait long for its turn, which is no failure of what is tested here. */
static struct gmr__capture_options capture_options = {.thread_deadline_ms = 5000, .stall_ms = 30000};
static struct gmr__analysis_options analysis_options;

static void parse(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "all") == 0)
            capture_options.stop_all = true;
        else if (strncmp(argv[i], "stack=", 6) == 0)
            capture_options.stack_bytes = strtoul(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "batch=", 6) == 0)
            capture_options.batch_bytes = strtoul(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "frames=", 7) == 0)
            analysis_options.max_frames = (uint32_t)strtoul(argv[i] + 7, NULL, 10);
        else if (strncmp(argv[i], "deadline=", 9) == 0)
            capture_options.thread_deadline_ms = (unsigned)strtoul(argv[i] + 9, NULL, 10);
        else if (strcmp(argv[i], "each") == 0)
            analysis_options.each_thread = true;
    }
}

static int capture(pid_t pid, long count)
{
    uint64_t whole = 0, missing = 0, pause_max = 0, since = gmr__now_ns();
    struct gmr__snapshot *snapshot = NULL;
    for (long i = 0; i < count; i++) {
        gmr__snapshot_free(snapshot);
        int error = gmr__capture_ptrace(pid, &capture_options, &snapshot);
        if (error) {
            printf("{\"error\": %d}\n", error);
            return 1;
        }
        for (size_t k = 0; k < snapshot->thread_count; k++)
            *(snapshot->threads[k].stack.bytes ? &whole : &missing) += 1;
        if (snapshot->pause_max_ns > pause_max)
            pause_max = snapshot->pause_max_ns;
    }
    printf("{\"captures\": %ld, \"whole\": %llu, \"missing\": %llu, \"pause_max_us\": %.1f, \"pause_median_us\": %.1f, "
           "\"wall_ms\": %.1f, \"problem\": \"%s\", \"threads\": [",
           count, (unsigned long long)whole, (unsigned long long)missing, (double)pause_max / 1e3,
           (double)snapshot->pause_median_ns / 1e3, (double)(gmr__now_ns() - since) / 1e6,
           snapshot->problem ? snapshot->problem : "");
    for (size_t k = 0; k < snapshot->thread_count; k++) {
        const struct gmr__thread *thread = &snapshot->threads[k];
        printf(
            "%s{\"id\": %d, \"name\": \"%s\", \"state\": \"%c\", \"syscall\": %lld, \"bytes\": %u, \"reason\": \"%s\"}",
            k ? ", " : "", thread->tid, thread->name, thread->state, (long long)thread->syscall, thread->stack.bytes,
            thread->reason ? thread->reason : "");
    }
    printf("]}\n");
    gmr__snapshot_free(snapshot);
    return 0;
}

static void section(struct gmr_writer *w, struct gmr__analysis *analysis, const struct gmr__section_head *head,
                    void (*write)(struct gmr_writer *, struct gmr__analysis *, struct gmr__section_status *))
{
    struct gmr__section_status status = {.status = GMR__OK};
    gmr__section_begin(w, head);
    write(w, analysis, &status);
    gmr__section_end(w, status.status, status.reason[0] ? status.reason : NULL, NULL);
}

static bool drain(struct gmr__snapshot *snapshot, const struct gmr__thread *thread, void *userdata)
{
    struct gmr__analysis **analysis = userdata;
    if (!*analysis)
        *analysis = gmr__analysis_begin(snapshot, &analysis_options);
    return *analysis && gmr__analysis_take(*analysis, thread);
}

static int stacks(pid_t pid, int view)
{
    static const struct gmr__section_head threads = {.name = "threads", .title = "Threads", .shape = GMR__SHAPE_LIST};
    static const struct gmr__section_head list = {
        .name = "stacks", .title = "Stacks", .shape = GMR__SHAPE_LIST, .flags = GMR__SECTION_STRUCTURED};
    struct gmr__snapshot *snapshot;
    struct gmr__analysis *analysis = NULL;
    if (capture_options.batch_bytes) {
        capture_options.drain = drain;
        capture_options.drain_userdata = &analysis;
    }
    if (gmr__capture_ptrace(pid, &capture_options, &snapshot) != 0)
        return 1;
    analysis = analysis ? gmr__analysis_finish(analysis) : gmr__analysis_new(snapshot, &analysis_options);
    void *place = malloc(gmr__writer_size());
    if (!analysis || !place)
        return 1;
    struct gmr__sink_fd sink;
    struct gmr__doc doc = {.id = "probe", .pid = pid};
    struct gmr__cost cost = {0};
    gmr__sink_fd_init(&sink, 1, 0);
    struct gmr_writer *w = gmr__writer_init(place, gmr__writer_size(), view, view, &sink.sink);
    gmr__doc_begin(w, &doc);
    section(w, analysis, &threads, gmr__section_threads);
    section(w, analysis, &list, gmr__section_stacks);
    gmr__doc_end(w, &doc, &cost);
    gmr__analysis_free(analysis);
    free(place);
    return 0;
}

static int unwind(pid_t pid)
{
    struct gmr__snapshot *snapshot;
    if (gmr__capture_ptrace(pid, &capture_options, &snapshot) != 0)
        return 1;
    struct gmr__modules *modules = gmr__modules_new(snapshot);
    struct gmr__unwinder *unwinder = gmr__unwinder_new(snapshot, modules, 0);
    double first = 0, best = 0;
    for (int round = 0; round < 20; round++) {
        uint64_t frames = 0, since = gmr__now_ns();
        for (size_t i = 0; i < snapshot->thread_count; i++) {
            const struct gmr__thread *thread = &snapshot->threads[i];
            const struct gmr__stack *stack =
                thread->regs.valid ? gmr__unwind(unwinder, &thread->regs, &thread->stack, 0, 0, true) : NULL;
            frames += stack ? stack->frame_count : 0;
        }
        double each = frames ? (double)(gmr__now_ns() - since) / (double)frames : 0;
        first = round ? first : each;
        best = !round || each < best ? each : best;
    }
    printf("{\"warm_ns\": %.1f, \"first_ns\": %.1f, \"pause_us\": %.1f, \"stacks\": %u}\n", best, first,
           (double)snapshot->pause_median_ns / 1e3, gmr__unwinder_stack_count(unwinder));
    gmr__unwinder_free(unwinder);
    gmr__modules_free(modules);
    gmr__snapshot_free(snapshot);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "capture") == 0) {
        parse(argc - 4, argv + 4);
        return capture(atoi(argv[2]), atol(argv[3]));
    }
    if (argc > 2 && (strcmp(argv[1], "stacks") == 0 || strcmp(argv[1], "text") == 0)) {
        parse(argc - 3, argv + 3);
        return stacks(atoi(argv[2]), argv[1][0] == 's' ? GMR_VIEW_JSON : GMR_VIEW_TEXT);
    }
    if (argc > 2 && strcmp(argv[1], "unwind") == 0)
        return unwind(atoi(argv[2]));
    fprintf(stderr, "usage: probe capture PID COUNT [OPTION ...] | probe stacks|text PID [OPTION ...]\n");
    return 2;
}
