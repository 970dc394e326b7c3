/*
 * cli/report.c - gmr report: a report of any process.
 *
 * The gmr command only. The process is captured by this one; where it carries libgmr, its own half (package, configuration, its own
 * sections) is asked for over its control socket. Exit codes: cli.h.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/process.h"
#include "cli/target.h"
#include "cli/walk.h"
#include "sys/sys.h"

#define DEFAULT_TIMEOUT_MS 30000

struct arguments {
    struct gmr__walk_options walk;
    const char *output; /* NULL: standard output */
    enum gmr_view view;
    long timeout_ms;
};

enum {
    OPT_SECTIONS = 256,
    OPT_ALL_AT_ONCE,
    OPT_EACH_THREAD,
    OPT_GREEN,
    OPT_MAX_STACK_BYTES,
    OPT_MAX_FRAMES,
    OPT_NO_LINES,
    OPT_NO_CACHE,
    OPT_DEBUGINFOD,
    OPT_TIMEOUT,
};

static const struct option options[] = {
    {"format", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'},
    {"sections", required_argument, NULL, OPT_SECTIONS},
    {"all-at-once", no_argument, NULL, OPT_ALL_AT_ONCE},
    {"each-thread", no_argument, NULL, OPT_EACH_THREAD},
    {"green", required_argument, NULL, OPT_GREEN},
    {"max-stack-bytes", required_argument, NULL, OPT_MAX_STACK_BYTES},
    {"max-frames", required_argument, NULL, OPT_MAX_FRAMES},
    {"no-lines", no_argument, NULL, OPT_NO_LINES},
    {"no-cache", no_argument, NULL, OPT_NO_CACHE},
    {"debuginfod", optional_argument, NULL, OPT_DEBUGINFOD},
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

/* A numeric option's value, or a usage error. */
static int number(const char *option, const char *text, long low, long high, long *value)
{
    if (gmr__parse_number(text, low, high, value))
        return 0;
    return gmr__fail(GMR__EXIT_USAGE, NULL, "--%s takes a number from %ld to %ld, not '%s'", option, low, high, text);
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
    long value = 0;
    int status = 0;
    switch (option) {
    case 'f':
        to->view = (enum gmr_view)gmr__parse_view(optarg);
        return to->view ? 0 : gmr__fail(GMR__EXIT_USAGE, NULL, "--format takes text, json or xml, not '%s'", optarg);
    case 'o':
        to->output = optarg;
        return 0;
    case OPT_SECTIONS:
        to->walk.sections = optarg;
        return check_sections(optarg);
    case OPT_ALL_AT_ONCE:
        to->walk.all_at_once = true;
        return 0;
    case OPT_EACH_THREAD:
        to->walk.each_thread = true;
        return 0;
    case OPT_GREEN:
        return take_green(optarg, &to->walk.green);
    case OPT_NO_LINES:
        to->walk.no_lines = true;
        return 0;
    case OPT_NO_CACHE:
        to->walk.no_cache = true;
        return 0;
    case OPT_DEBUGINFOD:
        to->walk.debuginfod_urls = optarg ? optarg : getenv("DEBUGINFOD_URLS");
        if (to->walk.debuginfod_urls && *to->walk.debuginfod_urls)
            return 0;
        return gmr__fail(GMR__EXIT_USAGE, "--debuginfod=URL, or set DEBUGINFOD_URLS", "no debuginfod server is named");
    case OPT_MAX_STACK_BYTES:
        status = number("max-stack-bytes", optarg, 4096, (long)1 << 32, &value);
        to->walk.max_stack_bytes = (size_t)value;
        return status;
    case OPT_MAX_FRAMES:
        status = number("max-frames", optarg, 1, 10000000, &value);
        to->walk.max_frames = (uint32_t)value;
        return status;
    case OPT_TIMEOUT:
        status = number("timeout", optarg, 1, 86400, &value);
        to->timeout_ms = value * 1000;
        return status;
    default:
        return gmr__usage("report");
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
    struct gmr_writer *w =
        gmr__writer_init(place, gmr__writer_size(), (int)arguments->view, (int)arguments->view, &sink.sink);
    gmr__document(&doc, &arguments->walk, half, id, sizeof(id), time_text, sizeof(time_text), host, sizeof(host));
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
    int code = gmr__output_open(&output, arguments->output);
    if (code)
        return code;
    uint64_t started_ns = gmr__now_ns();
    struct gmr__walk *walk = gmr__walk_new(&arguments->walk);
    struct gmr__target_half *half = walk ? gmr__target_half_new(&arguments->walk, arguments->view) : NULL;
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
        .view = GMR_VIEW_TEXT,
        .timeout_ms = DEFAULT_TIMEOUT_MS,
        .walk = {.max_stack_bytes = GMR__DEFAULT_STACK_BYTES, .max_frames = GMR__DEFAULT_MAX_FRAMES},
    };
    struct gmr__process process;
    for (int option; (option = getopt_long(argc, argv, "f:o:", options, NULL)) != -1;) {
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
    arguments.walk.pid = process.pid;
    arguments.walk.deadline_ns = gmr__now_ns() + (uint64_t)arguments.timeout_ms * 1000000;
    return report_process(&arguments, &process);
}
