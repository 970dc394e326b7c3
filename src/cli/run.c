/*
 * cli/run.c - gmr run: starts an unmodified program with libgmr in it.
 *
 * The gmr command only. Sets LD_PRELOAD and libgmr's environment variables and becomes the program (exec): no process of gmr's stays between it
 * and whoever started it. What the loader would silently ignore (a static or set-uid program) is refused with a word.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/preload.h"
#include "gmr/gmr.h"

enum { OPT_LOG_DIR = 256, OPT_SERVICE, OPT_WATCH, OPT_CONFIG, OPT_ON_CRASH, OPT_NO_SOCKET, OPT_FOLLOW };

static const struct option options[] = {
    {"signal", required_argument, NULL, 's'},
    {"log-dir", required_argument, NULL, OPT_LOG_DIR},
    {"service", required_argument, NULL, OPT_SERVICE},
    {"view", required_argument, NULL, 'f'},
    {"format", required_argument, NULL, 'f'},
    {"watch-file", required_argument, NULL, OPT_WATCH},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"on-crash", no_argument, NULL, OPT_ON_CRASH},
    {"no-socket", no_argument, NULL, OPT_NO_SOCKET},
    {"follow", no_argument, NULL, OPT_FOLLOW},
    {NULL, 0, NULL, 0},
};

static int set(const char *name, const char *value)
{
    if (setenv(name, value, 1) == 0)
        return 0;
    return gmr__fail(GMR__EXIT_FAILED, NULL, "no memory for the environment");
}

/* The program may change its directory before it opens the path. */
static int set_path(const char *name, const char *path)
{
    char full[PATH_MAX * 2], directory[PATH_MAX];
    if (*path == '/')
        return set(name, path);
    if (!getcwd(directory, sizeof(directory)))
        return gmr__fail(GMR__EXIT_USAGE, "name it by its full path", "can't tell where '%s' is: %s", path,
                         strerror(errno));
    snprintf(full, sizeof(full), "%s/%s", directory, path);
    return set(name, full);
}

static int set_signal(const char *text)
{
    char number[16];
    int signo = gmr__parse_signal(text);
    if (signo == 0 || signo == SIGKILL || signo == SIGSTOP)
        return gmr__fail(GMR__EXIT_USAGE, "a name such as USR2, HUP or RTMIN+3, a number, or none",
                         "'%s' is no signal that can be handled", text);
    if (signo == GMR_SIGNAL_NONE)
        return set("GMR_SIGNAL", "none");
    snprintf(number, sizeof(number), "%d", signo);
    return set("GMR_SIGNAL", number);
}

static int take_option(int option)
{
    switch (option) {
    case 's':
        return set_signal(optarg);
    case OPT_LOG_DIR:
        return set_path("GMR_LOG_DIR", optarg);
    case OPT_SERVICE:
        return set("GMR_SERVICE", optarg);
    case 'f':
        if (!gmr__parse_view(optarg))
            return gmr__fail(GMR__EXIT_USAGE, NULL, "--view takes text, json or xml, not '%s'", optarg);
        return set("GMR_VIEW", optarg);
    case OPT_WATCH:
        return set_path("GMR_WATCH_FILE", optarg);
    case OPT_CONFIG:
        return set_path("GMR_CONFIG", optarg);
    case OPT_ON_CRASH:
        return set("GMR_CRASH", "on");
    case OPT_NO_SOCKET:
        return set("GMR_CONTROL_SOCKET", "off");
    case OPT_FOLLOW:
        return set("GMR_FOLLOW", "on");
    default:
        return gmr__usage("run");
    }
}

static int preload(const char *library)
{
    const char *others = getenv("LD_PRELOAD");
    char *value;
    if (!others || !*others)
        return set("LD_PRELOAD", library);
    if (asprintf(&value, "%s:%s", library, others) < 0)
        return gmr__fail(GMR__EXIT_FAILED, NULL, "no memory for the environment");
    int code = set("LD_PRELOAD", value);
    free(value);
    return code;
}

int gmr__cmd_run(int argc, char **argv)
{
    char program[PATH_MAX], library[PATH_MAX], self[PATH_MAX];
    for (int option; (option = getopt_long(argc, argv, "+s:f:", options, NULL)) != -1;) {
        int code = take_option(option);
        if (code)
            return code;
    }
    if (optind >= argc)
        return gmr__usage("run");
    int code = gmr__preload_check(argv[optind], program, sizeof(program));
    if (code == 0)
        code = gmr__preload_library(library, sizeof(library));
    if (code == 0)
        code = preload(library);
    ssize_t got = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (code == 0 && got > 0) {
        self[got] = '\0';
        code = set("GMR_INSPECTOR", self);
    }
    if (code)
        return code;
    signal(SIGPIPE, SIG_DFL); /* gmr's own choice is not the program's */
    execv(program, argv + optind);
    return gmr__fail(errno == ENOENT ? GMR__EXIT_NOT_FOUND : GMR__EXIT_CANNOT_EXECUTE, NULL, "can't start %s: %s",
                     program, strerror(errno));
}
