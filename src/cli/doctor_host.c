/*
 * cli/doctor_host.c - gmr doctor's look at the machine: may this user trace at all, what does /proc show, where would sockets be.
 *
 * The gmr command only. The trial runs on a child that does nothing else and ends with us.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/doctor.h"
#include "sys/sys.h"

#define TRIAL_NS 3000000000u
#define CAP_SYS_PTRACE_BIT 19

/* ------------------------------------------------------------------------------------------------ the trial */

static volatile long trial_word = 0x676d72;

/* Waits until the child has stopped, at most TRIAL_NS. */
static bool stops(pid_t child)
{
    uint64_t until = gmr__now_ns() + TRIAL_NS;
    for (;;) {
        int status;
        pid_t got = waitpid(child, &status, __WALL | WNOHANG);
        if (got == child)
            return WIFSTOPPED(status);
        if (got < 0 || gmr__now_ns() > until)
            return false;
        gmr__sleep_ns(1000000);
    }
}

/* "" if all of it works, else what does not. */
static const char *try_to_trace(pid_t child, int *error)
{
    unsigned char registers[2048];
    struct iovec set = {registers, sizeof(registers)};
    long word = 0;
    struct iovec local = {&word, sizeof(word)}, remote = {(void *)&trial_word, sizeof(word)};
    const char *what = "PTRACE_SEIZE";
    if (ptrace(PTRACE_SEIZE, child, 0, 0) == 0) {
        what = "PTRACE_INTERRUPT";
        if (ptrace(PTRACE_INTERRUPT, child, 0, 0) == 0 && stops(child)) {
            what = "PTRACE_GETREGSET";
            if (ptrace(PTRACE_GETREGSET, child, (void *)1L /* NT_PRSTATUS */, &set) == 0) {
                what = "process_vm_readv";
                if (process_vm_readv(child, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(word) && word == trial_word)
                    what = "";
            }
        }
    }
    *error = errno;
    return what;
}

static bool trial(const char **what, int *error)
{
    pid_t parent = getpid();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    *what = "fork";
    *error = errno;
    if (child < 0)
        return false;
    *what = try_to_trace(child, error);
    kill(child, SIGKILL);
    while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR) {
    }
    return !**what;
}

/* ------------------------------------------------------------------------------------------------ what the machine says */

static int read_number(const char *path, int otherwise)
{
    char text[32];
    return gmr__read_file(path, text, sizeof(text)) > 0 ? atoi(text) : otherwise;
}

static void look_at_capability(struct gmr__doctor_host *host)
{
    struct gmr__proc_status status;
    host->capable = gmr__capable(CAP_SYS_PTRACE_BIT);
    if (host->capable)
        gmr__doctor_good("CAP_SYS_PTRACE: processes of other users and those that are not dumpable can be traced");
    else if (gmr__proc_status("/proc", getpid(), 0, &status) == 0 && !(status.cap_bounding >> CAP_SYS_PTRACE_BIT & 1))
        gmr__doctor_bad("start the container with it: docker run --cap-add SYS_PTRACE, or "
                        "securityContext.capabilities.add in Kubernetes",
                        "CAP_SYS_PTRACE is taken from everything here (a container?), from root, too");
    else
        gmr__doctor_bad("sudo gmr report PID",
                        "no CAP_SYS_PTRACE: only dumpable processes of one's own user can be traced");
}

static void look_at_yama(struct gmr__doctor_host *host)
{
    host->yama = read_number("/proc/sys/kernel/yama/ptrace_scope", 0);
    if (host->yama == 0)
        gmr__doctor_good("no Yama restriction (kernel.yama.ptrace_scope = 0, or no Yama)");
    else if (host->yama == 1 && host->capable)
        gmr__doctor_good("kernel.yama.ptrace_scope = 1 does not hold us: CAP_SYS_PTRACE");
    else if (host->yama == 1)
        gmr__doctor_bad("sudo gmr report PID; or sysctl kernel.yama.ptrace_scope=0; a process with libgmr names its "
                        "inspector itself and is not concerned",
                        "kernel.yama.ptrace_scope = 1: only one's own descendants can be traced");
    else if (host->yama == 2 && host->capable)
        gmr__doctor_good("kernel.yama.ptrace_scope = 2 does not hold us: CAP_SYS_PTRACE");
    else if (host->yama == 2)
        gmr__doctor_bad("run as root, or sysctl kernel.yama.ptrace_scope=1",
                        "kernel.yama.ptrace_scope = 2: only root can trace");
    else
        gmr__doctor_bad("it can't be lowered: set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d and reboot",
                        "kernel.yama.ptrace_scope = %d: nobody can trace", host->yama);
}

/* hidepid and subset=pid among the options of the mount at /proc. */
static void look_at_proc(void)
{
    struct gmr__lines lines;
    char options[512] = "";
    if (gmr__lines_open(&lines, "/proc/self/mountinfo")) {
        gmr__doctor_bad("mount -t proc proc /proc", "/proc is not there: hardly anything works without it");
        return;
    }
    for (char *line; (line = gmr__lines_next(&lines, NULL));) {
        const char *last = strrchr(line, ' ');
        if (strstr(line, " /proc ") && strstr(line, " - proc ") && last)
            snprintf(options, sizeof(options), "%s", last + 1);
    }
    gmr__lines_close(&lines);
    bool hides = strstr(options, "hidepid=") && !strstr(options, "hidepid=0") && !strstr(options, "hidepid=off");
    if (hides && !gmr__capable(CAP_SYS_PTRACE_BIT))
        gmr__doctor_bad("run as root, or as a member of the mount's gid= group",
                        "/proc is mounted with %s: other users' processes are hidden", options);
    else if (strstr(options, "subset=pid"))
        gmr__doctor_note("/proc is mounted with subset=pid: the Host section will be poor");
    else
        gmr__doctor_good("/proc shows the processes%s%s", options[0] ? ", options: " : "", options);
}

static void look_at_namespace(void)
{
    char text[256];
    unsigned inside, outside, count;
    struct gmr__proc_status status;
    if (gmr__read_file("/proc/self/uid_map", text, sizeof(text)) > 0 &&
        sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && (outside != 0 || count != 4294967295u))
        gmr__doctor_note(
            "in a user namespace (uid %u here is %u outside): only processes of this namespace can be traced", inside,
            outside);
    if (gmr__proc_status("/proc", getpid(), 0, &status) == 0 && status.seccomp == 2)
        gmr__doctor_note(
            "a seccomp filter is on this shell (a container's?): the trial above tells whether it denies tracing");
}

static bool usable_directory(const char *path)
{
    char parent[2048];
    struct stat st;
    if (lstat(path, &st) == 0)
        return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && access(path, W_OK) == 0;
    snprintf(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    *(slash == parent ? slash + 1 : slash) = '\0';
    return access(parent, W_OK) == 0;
}

static void look_at_socket_directories(void)
{
    char choice[4][512];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    snprintf(choice[0], sizeof(choice[0]), "%s", geteuid() == 0 ? "/run/gmr" : "");
    choice[1][0] = '\0';
    if (runtime && *runtime == '/')
        snprintf(choice[1], sizeof(choice[1]), "%s/gmr", runtime);
    snprintf(choice[2], sizeof(choice[2]), "/run/user/%u/gmr", geteuid());
    snprintf(choice[3], sizeof(choice[3]), "/tmp/gmr-%u", geteuid());
    for (int i = 0; i < 4; i++) {
        if (choice[i][0] && usable_directory(choice[i])) {
            gmr__doctor_good("control sockets of this user's processes can be in %s", choice[i]);
            return;
        }
    }
    gmr__doctor_bad("set XDG_RUNTIME_DIR to a directory of one's own; the signal works without a socket",
                    "there is no place for control sockets: /run/gmr, $XDG_RUNTIME_DIR/gmr, /run/user/%u/gmr and "
                    "/tmp/gmr-%u can't be written",
                    geteuid(), geteuid());
}

void gmr__doctor_host(struct gmr__doctor_host *host)
{
    struct utsname names;
    const char *what;
    int error;
    char self[512];
    if (uname(&names) == 0)
        gmr__doctor_good("%s %s on %s", names.sysname, names.release, names.machine);
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0)
        gmr__doctor_good("the inspector is this gmr: %.*s", (int)n, self);
    host->can_trace = trial(&what, &error);
    if (host->can_trace)
        gmr__doctor_good("tracing was tried on a child: stopped, its registers and memory read");
    else
        gmr__doctor_bad(
            "in a container: --cap-add SYS_PTRACE and a seccomp profile that allows ptrace and process_vm_readv",
            "tracing was tried on a child and failed: %s: %s", what, strerror(error));
    look_at_capability(host);
    look_at_yama(host);
    look_at_proc();
    look_at_namespace();
    look_at_socket_directories();
}
