/*
 * cli/list.c - gmr list: the processes that answer; gmr trigger: asks one for a report where it writes them.
 *
 * The gmr command only. A process that does not answer is waited for shortly and listed as such; it never holds up the others for longer.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/hello.h"
#include "cli/process.h"
#include "report/client.h"
#include "sys/grow.h"
#include "sys/pin.h"
#include "sys/sys.h"

#define LIST_NS 300000000ull
#define TRIGGER_NS 35000000000ull /* the report's own deadline, and a little */

/* ------------------------------------------------------------------------------------------------ list */

struct row {
    pid_t pid;
    int status;
    struct gmr__hello hello;
    char name[64];
};

struct rows {
    struct row *rows;
    size_t count, cap;
};

/* How long libgmr has been set up in it. */
static void age_text(long seconds, char *to, size_t cap)
{
    if (seconds < 0)
        snprintf(to, cap, "-");
    else if (seconds < 120)
        snprintf(to, cap, "%lds", seconds);
    else if (seconds < 7200)
        snprintf(to, cap, "%ldm", seconds / 60);
    else if (seconds < 172800)
        snprintf(to, cap, "%ldh", seconds / 3600);
    else
        snprintf(to, cap, "%ldd", seconds / 86400);
}

static int add_row(void *userdata, const char *path, pid_t pid)
{
    struct rows *rows = userdata;
    uint64_t deadline_ns = gmr__now_ns() + LIST_NS;
    pid_t found = 0;
    if (gmr__pin(pid) == -ESRCH)
        return 0;
    int fd = gmr__client_connect_path(path, pid, deadline_ns, &found);
    if (fd < 0 && fd != -ETIMEDOUT)
        return 0; /* left behind, or another user's */
    if (!GMR__GROW(rows->rows, rows->cap, rows->count + 1)) {
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    struct row *row = &rows->rows[rows->count++];
    memset(row, 0, sizeof(*row));
    row->pid = pid;
    row->status = fd < 0 ? fd : gmr__hello_ask(fd, deadline_ns, &row->hello);
    gmr__process_name(pid, row->name, sizeof(row->name));
    gmr__tame(row->name);
    rows->count -= gmr__pinned_gone(pid, 0);
    return 0;
}

static int by_pid(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static void print_rows(const struct rows *rows)
{
    if (!rows->count)
        return;
    printf("%8s  %-20s %-9s %7s  %s\n", "PID", "SERVICE", "LIBGMR", "ARMED", "TRIGGERS");
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->rows[i];
        char age[32];
        if (i && row->pid == rows->rows[i - 1].pid)
            continue;
        age_text(row->status == 0 ? row->hello.armed_seconds : -1, age, sizeof(age));
        if (row->status == 0)
            printf("%8d  %-20s %-9s %7s  %s\n", (int)row->pid, row->hello.service, row->hello.version, age,
                   row->hello.triggers);
        else
            printf("%8d  %-20s %-9s %7s  %s\n", (int)row->pid, row->name, "-", age,
                   row->status == -ETIMEDOUT ? "does not answer (busy, stopped or stuck): gmr report still works"
                                             : "answers nonsense");
    }
}

int gmr__cmd_list(int argc, char **argv)
{
    static const struct option options[] = {{NULL, 0, NULL, 0}};
    struct rows rows = {0};
    if (getopt_long(argc, argv, "", options, NULL) != -1 || optind != argc)
        return gmr__usage("list");
    int status = gmr__client_each_socket(add_row, &rows);
    if (status < 0)
        return gmr__fail(GMR__EXIT_FAILED, NULL, "no memory for the list");
    if (rows.count)
        qsort(rows.rows, rows.count, sizeof(*rows.rows), by_pid);
    else
        gmr__note("no process answers; `gmr run -- COMMAND` starts one with libgmr in it, `gmr report PID` needs none");
    print_rows(&rows);
    free(rows.rows);
    if (fflush(stdout) == EOF)
        return gmr__fail(GMR__EXIT_OUTPUT, NULL, "can't write to standard output: %s", strerror(errno));
    return GMR__EXIT_WHOLE;
}

/* ------------------------------------------------------------------------------------------------ trigger */

/* Without an answer: say what else there is. */
static int cannot_trigger(const struct gmr__process *process, int status)
{
    int pid = (int)process->pid;
    char next[128];
    snprintf(next, sizeof(next), "gmr report %d makes one from outside", pid);
    if (status == -ENOENT)
        return gmr__fail(GMR__EXIT_NOT_POSSIBLE, next, "process %d (%s) has no control socket of libgmr", pid,
                         process->comm);
    if (status == -EACCES || status == -EPERM)
        return gmr__fail(GMR__EXIT_NOT_PERMITTED, "run gmr as that user or as root",
                         "process %d (%s) does not admit you", pid, process->comm);
    snprintf(next, sizeof(next), "kill -USR2 %d if the signal is armed (gmr list), or gmr report %d", pid, pid);
    return gmr__fail(GMR__EXIT_NOT_POSSIBLE, next, "process %d (%s) does not answer: %s", pid, process->comm,
                     strerror(-status));
}

int gmr__cmd_trigger(int argc, char **argv)
{
    static const struct option options[] = {{NULL, 0, NULL, 0}};
    static char answer[8192];
    struct gmr__process process;
    if (getopt_long(argc, argv, "", options, NULL) != -1 || optind + 1 != argc)
        return gmr__usage("trigger");
    int code = gmr__process_find(argv[optind], &process);
    if (code == 0)
        code = gmr__process_check(&process);
    if (code)
        return code;
    uint64_t deadline_ns = gmr__now_ns() + TRIGGER_NS;
    int fd = gmr__client_connect(process.pid, deadline_ns);
    ssize_t got = fd < 0 ? fd : gmr__client_send(fd, "gmr/1 trigger\n", deadline_ns);
    if (got == 0)
        got = gmr__client_read(fd, answer, sizeof(answer), deadline_ns);
    if (fd >= 0)
        close(fd);
    if (got == 0)
        got = -EPIPE;
    if (got < 0)
        return cannot_trigger(&process, (int)got);
    answer[strcspn(answer, "\n")] = '\0';
    gmr__tame(answer);
    if (strncmp(answer, "error ", 6) == 0)
        return gmr__fail(GMR__EXIT_NOT_POSSIBLE, NULL, "process %d (%s): %s", (int)process.pid, process.comm,
                         answer + 6);
    if (printf("%s\n", answer) < 0 || fflush(stdout) == EOF)
        return gmr__fail(GMR__EXIT_OUTPUT, NULL, "can't write to standard output: %s", strerror(errno));
    return GMR__EXIT_WHOLE;
}
