/*
 * cli/process.c - which process the user means, and whether a report of it can be made at all.
 *
 * The gmr command only. Reads /proc; what it reads may be gone a moment later. So the process that is found is pinned: from then on nobody who
 * comes to have its number is taken for it.
 */
#include "cli/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "section/secrets.h"
#include "sys/buf.h"
#include "sys/grow.h"
#include "sys/pin.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define PF_KTHREAD \
    0x00200000 /* include/linux/sched.h; field 9 of /proc/PID/stat, which the kernel keeps stable in practice */
#define CAP_NUMBER_SYS_PTRACE 19
#define MATCHES_SHOWN 20

/* comm may hold blanks and parentheses: the last ')' ends it. */
static int parse_stat(const char *text, struct gmr__process *process)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    unsigned flags;
    int parent;
    if (!open || !close || close < open)
        return -ENOENT;
    size_t bytes = (size_t)(close - open - 1);
    if (bytes >= sizeof(process->comm))
        bytes = sizeof(process->comm) - 1;
    memcpy(process->comm, open + 1, bytes);
    process->comm[bytes] = '\0';
    gmr__tame(process->comm); /* only messages show it */
    int got = sscanf(close + 1, " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u %*d %llu",
                     &process->state, &parent, &flags, &process->threads, &process->start_ticks);
    if (got < 5)
        return -ENOENT;
    process->parent = parent;
    process->kernel_thread = (flags & PF_KTHREAD) != 0;
    return 0;
}

/* A number behind "Key:" in /proc/PID/status. */
static bool status_number(const char *status, const char *key, unsigned long *value, int base)
{
    const char *at = strstr(status, key);
    if (!at)
        return false;
    *value = strtoul(at + strlen(key), NULL, base);
    return true;
}

int gmr__process_read(pid_t pid, struct gmr__process *process)
{
    char text[4096];
    unsigned long uid;
    memset(process, 0, sizeof(*process));
    process->pid = pid;
    if (gmr__proc_read("/proc", pid, 0, "stat", text, sizeof(text)) <= 0 || parse_stat(text, process) < 0)
        return -ENOENT;
    if (gmr__proc_read("/proc", pid, 0, "status", text, sizeof(text)) <= 0 ||
        !status_number(text, "\nUid:\t", &uid, 10))
        return -ENOENT;
    process->uid = (uid_t)uid;
    return 0;
}

int gmr__process_each(int (*each)(void *userdata, pid_t pid), void *userdata)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return -errno;
    int status = 0;
    for (struct dirent *entry; status == 0 && (entry = readdir(proc));) {
        long pid;
        if (gmr__parse_number(entry->d_name, 1, INT_MAX, &pid))
            status = each(userdata, (pid_t)pid);
    }
    closedir(proc);
    return status;
}

static bool is_named(pid_t pid, const char *name)
{
    char text[PATH_MAX];
    ssize_t got = gmr__proc_read("/proc", pid, 0, "comm", text, sizeof(text));
    if (got > 0) {
        text[strcspn(text, "\n")] = '\0';
        if (strcmp(text, name) == 0)
            return true;
    }
    got = gmr__proc_readlink("/proc", pid, 0, "exe", text, sizeof(text));
    if (got > 0) {
        const char *slash = strrchr(text, '/');
        if (slash && strcmp(slash + 1, name) == 0)
            return true;
    }
    /* The name it was started by: "python3" with exe python3.11, or what setproctitle wrote ("nginx: master ..."). */
    if (gmr__proc_read("/proc", pid, 0, "cmdline", text, sizeof(text)) <= 0)
        return false;
    text[strcspn(text, ": ")] = '\0';
    const char *slash = strrchr(text, '/');
    return strcmp(slash ? slash + 1 : text, name) == 0;
}

/* What it calls itself comes first: redis-server's executable is a link to redis-check-rdb. */
void gmr__process_name(pid_t pid, char *to, size_t cap)
{
    char text[PATH_MAX];
    if (gmr__proc_read("/proc", pid, 0, "cmdline", text, sizeof(text)) > 0)
        text[strcspn(text, ": ")] = '\0';
    else
        text[0] = '\0';
    const char *slash = strrchr(text, '/'), *name = slash ? slash + 1 : text;
    if (!*name) {
        if (gmr__proc_read("/proc", pid, 0, "comm", text, sizeof(text)) <= 0)
            text[0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        name = text;
    }
    snprintf(to, cap, "%s", *name == '-' ? name + 1 : name); /* a login shell's */
}

struct matches {
    const char *name;
    pid_t *pids;
    size_t count, cap;
};

static int match(void *userdata, pid_t pid)
{
    struct matches *matches = userdata;
    struct gmr__process process;
    if (pid == getpid() || !is_named(pid, matches->name))
        return 0;
    if (gmr__process_read(pid, &process) < 0 || process.kernel_thread || process.state == 'Z')
        return 0;
    if (!GMR__GROW(matches->pids, matches->cap, matches->count + 1))
        return -ENOMEM;
    matches->pids[matches->count++] = pid;
    return 0;
}

/* Joined by blanks; a terminal must not see control bytes, nor anybody a password. */
static void add_argument(void *userdata, const char *text, size_t bytes)
{
    struct gmr__buf *line = userdata;
    for (size_t i = 0; i < bytes; i++)
        gmr__buf_char(line, isprint((unsigned char)text[i]) ? text[i] : '?');
    gmr__buf_char(line, ' ');
}

static void show_match(pid_t pid)
{
    char text[1024], shown[1024];
    struct gmr__process process;
    struct gmr__buf line;
    if (gmr__process_read(pid, &process) < 0)
        return;
    ssize_t got = gmr__proc_read("/proc", pid, 0, "cmdline", text, sizeof(text));
    gmr__buf_init(&line, shown, sizeof(shown));
    if (got > 0)
        gmr__each_argument(text, (size_t)got, got == sizeof(text) - 1, add_argument, &line);
    fprintf(stderr, "     %8d  parent %-8d uid %-6u %.60s\n", (int)pid, (int)process.parent, process.uid,
            got > 0 ? shown : process.comm);
}

static int find_by_name(const char *name, struct gmr__process *process)
{
    struct matches matches = {.name = name};
    int code = GMR__EXIT_NO_PROCESS;
    int status = gmr__process_each(match, &matches);
    if (status < 0) {
        code = gmr__fail(GMR__EXIT_FAILED, "is /proc mounted?", "can't list the processes: %s", strerror(-status));
    } else if (matches.count == 0) {
        gmr__fail(GMR__EXIT_NO_PROCESS, "see: ps -e", "no process is named '%s'", name);
    } else if (matches.count > 1) {
        gmr__fail(GMR__EXIT_NO_PROCESS, NULL, "%zu processes are named '%s'; name one by its pid:", matches.count,
                  name);
        for (size_t i = 0; i < matches.count && i < MATCHES_SHOWN; i++)
            show_match(matches.pids[i]);
        if (matches.count > MATCHES_SHOWN)
            fprintf(stderr, "     ... and %zu more\n", matches.count - MATCHES_SHOWN);
    } else if (gmr__pin(matches.pids[0]) == -ESRCH || !is_named(matches.pids[0], name) ||
               gmr__process_read(matches.pids[0], process) < 0) {
        gmr__fail(GMR__EXIT_NO_PROCESS, NULL, "process %d (%s) has just ended", (int)matches.pids[0], name);
    } else {
        code = GMR__EXIT_WHOLE;
    }
    free(matches.pids);
    return code;
}

/* /proc/TID exists for every thread although no listing shows it. */
static pid_t thread_group_of(pid_t tid)
{
    char text[4096];
    unsigned long group;
    if (gmr__proc_read("/proc", tid, 0, "status", text, sizeof(text)) <= 0 ||
        !status_number(text, "\nTgid:\t", &group, 10))
        return tid;
    return (pid_t)group;
}

int gmr__process_find(const char *text, struct gmr__process *process)
{
    long pid;
    if (!*text)
        return gmr__fail(GMR__EXIT_USAGE, NULL, "an empty text is no process");
    if (text[strspn(text, "-0123456789")])
        return find_by_name(text, process);
    if (!gmr__parse_number(text, 1, INT_MAX, &pid))
        return gmr__fail(GMR__EXIT_USAGE, "a pid is a number from 1 to 2147483647", "'%s' is no pid", text);
    pid_t group = thread_group_of((pid_t)pid);
    if (gmr__pin(group) == -ESRCH || gmr__pinned_gone(group, (pid_t)pid) || gmr__process_read(group, process) < 0)
        return gmr__fail(GMR__EXIT_NO_PROCESS, "see: ps -e", "there is no process %ld", pid);
    if (group != (pid_t)pid)
        gmr__note("%ld is a thread of process %d (%s); reporting the process", pid, (int)group, process->comm);
    return GMR__EXIT_WHOLE;
}

bool gmr__capable(int capability)
{
    char text[4096];
    unsigned long effective;
    if (gmr__read_file("/proc/self/status", text, sizeof(text)) <= 0 ||
        !status_number(text, "\nCapEff:\t", &effective, 16))
        return geteuid() == 0;
    return (effective >> capability) & 1;
}

int gmr__process_check(const struct gmr__process *process)
{
    if (process->kernel_thread)
        return gmr__fail(GMR__EXIT_NOT_POSSIBLE, "its kernel stack, as root: cat /proc/PID/stack",
                         "%d (%s) is a kernel thread: it has no program to report", (int)process->pid, process->comm);
    if ((process->state == 'Z' && process->threads < 2) || process->state == 'X')
        return gmr__fail(GMR__EXIT_NOT_POSSIBLE, "ask its parent: it has not yet fetched the exit status",
                         "%d (%s) has ended already (a zombie); its parent is %d", (int)process->pid, process->comm,
                         (int)process->parent);
    if (process->pid == getpid())
        return gmr__fail(GMR__EXIT_NOT_POSSIBLE, NULL, "%d is gmr itself", (int)process->pid);
    if (process->uid != getuid() && !gmr__capable(CAP_NUMBER_SYS_PTRACE))
        return gmr__fail(GMR__EXIT_NOT_PERMITTED, "run gmr as that user or as root: sudo gmr ...",
                         "process %d (%s) belongs to another user (uid %u)", (int)process->pid, process->comm,
                         process->uid);
    return GMR__EXIT_WHOLE;
}
