/*
 * cli/report.c - gmr report: a report of any process.
 *
 * The gmr command only. The process is captured by this one; where it carries libgmr, its own half (package, configuration, its own
 * sections) is asked for over its control socket. Exit codes: cli.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/process.h"
#include "cli/target.h"
#include "cli/walk.h"
#include "sys/sys.h"

#define DEFAULT_TIMEOUT_MS 30000

struct arguments {
    struct gmr__report_options shared;
    long timeout_ms;
};

enum {
    OPT_SECTIONS = GMR__OPT_OWN,
    OPT_ALL_AT_ONCE,
    OPT_GREEN,
    OPT_MAX_STACK_BYTES,
    OPT_TIMEOUT,
};

static const struct option options[] = {
    GMR__SHARED_OPTIONS,
    {"sections", required_argument, NULL, OPT_SECTIONS},
    {"all-at-once", no_argument, NULL, OPT_ALL_AT_ONCE},
    {"green", required_argument, NULL, OPT_GREEN},
    {"max-stack-bytes", required_argument, NULL, OPT_MAX_STACK_BYTES},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {NULL, 0, NULL, 0},
};

static int check_sections(const char *list)
{
    const char *unknown;
    size_t bytes;
    if (gmr__walk_sections_known(list, &unknown, &bytes))
        return 0;
    return gmr__fail(GMR__EXIT_USAGE, "see: gmr report --help", "there is no section '%.*s'", (int)bytes, unknown);
}

static int take_green(const char *text, struct gmr__green_filter *filter)
{
    char problem[512];
    if (gmr__green_filter_parse(text, filter, problem, sizeof(problem)))
        return 0;
    return gmr__fail(GMR__EXIT_USAGE, "see: gmr report --help", "%s", problem);
}

static int take_option(struct arguments *to, int option)
{
    struct gmr__walk_options *walk = &to->shared.walk;
    long value = 0;
    int status = 0;
    switch (option) {
    case OPT_SECTIONS:
        walk->sections = optarg;
        return check_sections(optarg);
    case OPT_ALL_AT_ONCE:
        walk->all_at_once = true;
        return 0;
    case OPT_GREEN:
        return take_green(optarg, &walk->green);
    case OPT_MAX_STACK_BYTES:
        status = gmr__take_number("max-stack-bytes", 4096, (long)1 << 32, &value);
        walk->max_stack_bytes = (size_t)value;
        return status;
    case OPT_TIMEOUT:
        status = gmr__take_number("timeout", 1, 86400, &value);
        to->timeout_ms = value * 1000;
        return status;
    default:
        return gmr__take_shared_option("report", &to->shared, option);
    }
}

/* Puts the report together. *partial: a section is not whole. 0 or the error of the output. */
static int write_report(const struct arguments *arguments, struct gmr__walk *walk, struct gmr__target_half *half,
                        struct gmr__output *output, uint64_t started_ns, bool *partial)
{
    struct gmr__doc doc;
    struct gmr__cost cost;
    struct gmr__sink_fd sink;
    char id[64], time_text[64], host[256];
    void *place = malloc(gmr__writer_size());
    if (!place)
        return -ENOMEM;
    gmr__sink_fd_init(&sink, output->fd, 0); /* a pager may take its time */
    struct gmr_writer *w = gmr__writer_init(place, gmr__writer_size(), (int)arguments->shared.view,
                                            (int)arguments->shared.view, &sink.sink);
    gmr__document(&doc, &arguments->shared.walk, half, id, sizeof(id), time_text, sizeof(time_text), host,
                  sizeof(host));
    doc.method = gmr__walk_method(walk);
    int status = gmr__doc_begin(w, &doc);
    if (status == 0)
        status = gmr__walk_sections(walk, w, gmr__target_half_write, half, partial);
    gmr__walk_cost(walk, started_ns, &cost);
    if (status == 0)
        status = gmr__doc_end(w, &doc, &cost);
    if (status == 0)
        status = gmr__writer_flush(w);
    free(place);
    return status;
}

static int report_process(const struct arguments *arguments, const struct gmr__process *process)
{
    struct gmr__output output;
    struct gmr__process still;
    bool partial = false;
    int code = gmr__output_open(&output, arguments->shared.output);
    if (code)
        return code;
    uint64_t started_ns = gmr__now_ns();
    struct gmr__walk *walk = gmr__walk_new(&arguments->shared.walk);
    struct gmr__target_half *half = walk ? gmr__target_half_new(&arguments->shared.walk, arguments->shared.view) : NULL;
    if (!half) {
        code = gmr__fail(GMR__EXIT_FAILED, NULL, "no memory for the report");
    } else if (!gmr__walk_captured(walk) &&
               (gmr__process_read(process->pid, &still) < 0 || still.start_ticks != process->start_ticks ||
                (still.state == 'Z' && still.threads < 2))) {
        code = gmr__fail(GMR__EXIT_NOT_POSSIBLE, NULL, "process %d (%s) ended before its report could be made",
                         (int)process->pid, process->comm);
    } else {
        int status = write_report(arguments, walk, half, &output, started_ns, &partial);
        code = status < 0 ? gmr__output_failed(&output, status) : partial ? GMR__EXIT_PARTIAL : GMR__EXIT_WHOLE;
    }
    gmr__target_half_free(half);
    gmr__walk_free(walk);
    bool keep = code == GMR__EXIT_WHOLE || code == GMR__EXIT_PARTIAL;
    int closing = gmr__output_close(&output, keep);
    return closing ? closing : code;
}

int gmr__cmd_report(int argc, char **argv)
{
    struct arguments arguments = {
        .timeout_ms = DEFAULT_TIMEOUT_MS,
        .shared = {.view = GMR_VIEW_TEXT,
                   .walk = {.max_stack_bytes = GMR__DEFAULT_STACK_BYTES, .max_frames = GMR__DEFAULT_MAX_FRAMES}},
    };
    struct gmr__process process;
    for (int option; (option = getopt_long(argc, argv, GMR__SHARED_SHORT_OPTIONS, options, NULL)) != -1;) {
        int code = take_option(&arguments, option);
        if (code)
            return code;
    }
    if (optind + 1 != argc)
        return gmr__usage("report");
    int code = gmr__process_find(argv[optind], &process);
    if (code == 0)
        code = gmr__process_check(&process);
    if (code)
        return code;
    arguments.shared.walk.pid = process.pid;
    arguments.shared.walk.deadline_ns = gmr__now_ns() + (uint64_t)arguments.timeout_ms * 1000000;
    return report_process(&arguments, &process);
}
