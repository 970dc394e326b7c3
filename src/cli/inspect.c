/*
 * cli/inspect.c - the inspector: the process that libgmr starts beside a target to look at it from outside.
 *
 * Started as `gmr-inspector --stream-fd N --pid PID --view VIEW --deadline-ms N [--sections LIST] [--crashed-tid TID]`, by an intermediate of libgmr's, with nothing
 * open but that descriptor. Writes the report as wire events, with slots where the target's half belongs, and says nothing else
 * anywhere. It may be killed at any moment; it must end by itself when its reader has gone, when its time is over, and before it
 * takes more than its share of the machine.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/walk.h"
#include "sys/sys.h"

#define ADDRESS_SPACE_BYTES ((rlim_t)8 << 30) /* a million green threads take under two */
#define GRACE_MS 1000                         /* past the deadline the reader has closed the stream */
#define NICE_WHILE_ANALYSING 5

struct arguments {
    struct gmr__walk_options walk;
    long stream_fd, pid, deadline_ms, crashed_tid;
    int view;
};

static void limit(int resource, rlim_t value)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < value)
        value = limit.rlim_max;
    limit.rlim_cur = value;
    limit.rlim_max = value;
    setrlimit(resource, &limit);
}

/* The signals and limits of the target were inherited, and may be anything. */
static void fence_in(long deadline_ms)
{
    sigset_t none;
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    limit(RLIMIT_CORE, 0); /* a core of it would hold the target's stacks */
    limit(RLIMIT_CPU, (rlim_t)(deadline_ms + GRACE_MS) / 1000 + 1);
#ifndef GMR_SANITIZED /* whose shadow memory takes terabytes of addresses */
    limit(RLIMIT_AS, ADDRESS_SPACE_BYTES);
#endif
    struct itimerval timer = {0};
    timer.it_value.tv_sec = (deadline_ms + GRACE_MS) / 1000 + 1;
    setitimer(ITIMER_REAL, &timer, NULL); /* SIGALRM's default action ends it */

    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, "1000", 4); /* the first to go when memory is short */
        (void)ignored;
        close(fd);
    }
}

static bool parse(int argc, char **argv, struct arguments *to)
{
    static const struct option options[] = {
        {"stream-fd", required_argument, NULL, 's'},
        {"pid", required_argument, NULL, 'p'},
        {"view", required_argument, NULL, 'v'},
        {"deadline-ms", required_argument, NULL, 'd'},
        {"sections", required_argument, NULL, 'l'},
        {"crashed-tid", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = false;
        switch (option) {
        case 's':
            good = gmr__parse_number(optarg, 0, INT_MAX, &to->stream_fd);
            break;
        case 'p':
            good = gmr__parse_number(optarg, 1, INT_MAX, &to->pid);
            break;
        case 'd':
            good = gmr__parse_number(optarg, 1, 86400000, &to->deadline_ms);
            break;
        case 'c':
            good = gmr__parse_number(optarg, 1, INT_MAX, &to->crashed_tid);
            break;
        case 'v':
            good = (to->view = gmr__parse_view(optarg)) != 0;
            break;
        case 'l':
            good = true;
            to->walk.sections = optarg;
            break;
        default:
            break;
        }
        if (!good)
            return false;
    }
    return optind == argc && to->stream_fd >= 0 && to->pid > 0 && to->deadline_ms > 0;
}

static int leave_a_slot(void *userdata, struct gmr_writer *w, const char *name, bool *partial)
{
    return gmr__slot(w, name);
}

/* The stream's end is told by its end mark, hence no message on a failure: nobody could read one. */
static int stream(struct arguments *arguments, struct gmr__walk *walk, uint64_t started_ns)
{
    struct gmr__sink_fd sink;
    struct gmr__cost cost;
    bool partial = false;
    void *place = malloc(gmr__writer_size());
    if (!place)
        return GMR__EXIT_FAILED;
    gmr__sink_fd_init(&sink, (int)arguments->stream_fd, arguments->walk.deadline_ns + GRACE_MS * 1000000ull);
    struct gmr_writer *w = gmr__writer_init(place, gmr__writer_size(), GMR__VIEW_WIRE, arguments->view, &sink.sink);
    struct gmr__doc doc = {.pid = arguments->walk.pid, .method = gmr__walk_method(walk)};
    int status = gmr__doc_begin(w, &doc);
    if (status == 0)
        status = gmr__walk_sections(walk, w, leave_a_slot, NULL, &partial);
    gmr__walk_cost(walk, started_ns, &cost);
    if (status == 0)
        status = gmr__wire_cost(w, &cost, doc.method);
    if (status == 0)
        status = gmr__doc_end(w, &doc, &cost);
    free(place);
    return status < 0 ? GMR__EXIT_OUTPUT : partial ? GMR__EXIT_PARTIAL : GMR__EXIT_WHOLE;
}

int gmr__inspector_main(int argc, char **argv)
{
    struct arguments arguments = {
        .stream_fd = -1,
        .view = GMR_VIEW_TEXT,
        .deadline_ms = 30000,
        .walk = {.leave_missing = true,
                 .max_stack_bytes = GMR__DEFAULT_STACK_BYTES,
                 .max_frames = GMR__DEFAULT_MAX_FRAMES},
    };
    uint64_t started_ns = gmr__now_ns();
    if (!parse(argc, argv, &arguments))
        return GMR__EXIT_USAGE;
    fence_in(arguments.deadline_ms);
    arguments.walk.pid = (pid_t)arguments.pid;
    arguments.walk.crashed_tid = (pid_t)arguments.crashed_tid;
    arguments.walk.deadline_ns = started_ns + (uint64_t)arguments.deadline_ms * 1000000;
    struct gmr__walk *walk = gmr__walk_new(&arguments.walk);
    if (!walk)
        return GMR__EXIT_FAILED;
    /* Only now: while a thread is held, hurry is kindness. */
    setpriority(PRIO_PROCESS, 0, NICE_WHILE_ANALYSING);
    int code = stream(&arguments, walk, started_ns);
    gmr__walk_save(walk);
    fflush(NULL);
    _exit(code); /* the kernel frees faster than we could */
}
