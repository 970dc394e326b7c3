/*
 * report/spawn_as.c - see report/spawn.h.
 *
 * Reporter thread of the target, plus two moments of a child that shares its memory; async-signal-safe, raw system calls only. Must never
 * take a lock, allocate, or let the program learn of the child:
 *
 *   reporter --clone(VM, exit signal 0)--> intermediate --clone(VM|VFORK, SIGCHLD)--> execve: the inspector
 *            <------ wait4(__WALL) ------               <----------- wait4 ---------
 *
 * The kernel tells nobody when a child with exit signal 0 ends, and waitpid(-1) without __WALL or __WCLONE passes it by. execve sets the exit
 * signal back to SIGCHLD (de_thread/begin_new_exec), hence the intermediate, which never executes anything. fork() would run atfork handlers.
 * CLONE_UNTRACED: a debugger of the target would take a child with exit signal 0 for one more thread of it.
 * Both children die with their parent (PR_SET_PDEATHSIG): a target that is killed leaves nothing behind.
 */
#include "report/spawn.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "arch/target.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define STACK_BYTES (32u << 10)
#define LAST_SIGNAL 64

/* Ready beforehand: the process may be out of address space. One inspector at a time. */
static GMR__APART unsigned char stack[STACK_BYTES];
static bool stack_lost; /* to a child that could not be ended */

struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static void default_signals(void)
{
    struct kernel_sigaction action = {0};
    for (int s = 1; s <= LAST_SIGNAL; s++)
        GMR__SYS(SYS_rt_sigaction, s, &action, NULL, sizeof(action.mask), 0, 0);
}

static void unlimit(int resource)
{
    struct rlimit64 {
        uint64_t soft, hard;
    } limit;
    if (GMR__SYS(SYS_prlimit64, 0, resource, NULL, &limit, 0, 0) == 0) {
        limit.soft = limit.hard;
        GMR__SYS(SYS_prlimit64, 0, resource, &limit, NULL, 0, 0);
    }
}

static void set_limits(const struct gmr__spawn *spawn)
{
    struct {
        uint64_t soft, hard;
    } limit = {0, 0};
    GMR__SYS(SYS_prlimit64, 0, RLIMIT_CORE, &limit, NULL, 0, 0);
    if (spawn->cpu_seconds) {
        limit.soft = spawn->cpu_seconds;
        limit.hard = spawn->cpu_seconds + 2;
        GMR__SYS(SYS_prlimit64, 0, RLIMIT_CPU, &limit, NULL, 0, 0);
    }
    /* The target's limits are what the report is about, not what it should fail by. */
    unlimit(RLIMIT_AS);
    unlimit(RLIMIT_DATA);
    unlimit(RLIMIT_NOFILE);
    unlimit(RLIMIT_FSIZE);
    unlimit(RLIMIT_STACK);
}

/* A daemon that keeps some capabilities under another uid would lose them by execve, and with them the right to be traced by the inspector:
 * ptrace asks the tracer to have at least the tracee's. Ambient capabilities survive execve. */
static void keep_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (GMR__SYS(SYS_geteuid, 0, 0, 0, 0, 0, 0) == 0 || GMR__SYS(SYS_capget, &header, data, 0, 0, 0, 0) != 0)
        return;
    if (!data[0].permitted && !data[1].permitted)
        return;
    data[0].inheritable = data[0].permitted;
    data[1].inheritable = data[1].permitted;
    if (GMR__SYS(SYS_capset, &header, data, 0, 0, 0, 0) != 0)
        return;
    for (unsigned cap = 0; cap < 64; cap++)
        if (data[cap / 32].permitted >> (cap % 32) & 1)
            GMR__SYS(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0, 0);
}

/* The table may have anything at 0..3, and descriptors may sit in each other's places: move ours up, then into place. */
static int arrange_descriptors(const struct gmr__spawn *spawn)
{
    int stream = (int)GMR__SYS(SYS_fcntl, spawn->write_end, F_DUPFD_CLOEXEC, 10, 0, 0, 0);
    int null = gmr__open("/dev/null", O_RDWR);
    if (null < 0)
        null = gmr__open("/", O_PATH);
    int high = null < 0 ? null : (int)GMR__SYS(SYS_fcntl, null, F_DUPFD_CLOEXEC, 10, 0, 0, 0);
    if (stream < 0)
        return stream;
    for (int fd = 0; fd <= 2; fd++)
        if (high < 0 || GMR__SYS(SYS_dup3, high, fd, 0, 0, 0, 0) < 0)
            gmr__close(fd);
    long moved = GMR__SYS(SYS_dup3, stream, GMR__STREAM_FD, 0, 0, 0, 0);
    return moved < 0 ? (int)moved : 0;
}

/* In the target's memory until execve: only *spawn and this stack may be written. */
static int inspector_start(void *argument)
{
    struct gmr__spawn *spawn = argument;
    GMR__SYS(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
    set_limits(spawn);
    keep_capabilities();
    int exec_fd = spawn->exec_fd < 0 ? -1 : (int)GMR__SYS(SYS_fcntl, spawn->exec_fd, F_DUPFD_CLOEXEC, 10, 0, 0, 0);
    int error = arrange_descriptors(spawn);
    if (error) {
        spawn->error = error;
        return 127;
    }
    /* Where the table is the program's (it could not be left), nothing of it may reach the inspector. */
    if (GMR__SYS(SYS_close_range, GMR__STREAM_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC, 0, 0, 0) != 0)
        for (int fd = GMR__STREAM_FD + 1; fd < 4096; fd++)
            GMR__SYS(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC, 0, 0, 0);
    uint64_t none = 0;
    GMR__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none), 0, 0);
    long failed = -ENOENT;
    if (exec_fd >= 0)
        failed = GMR__SYS(SYS_execveat, exec_fd, "", spawn->argv, spawn->envp, AT_EMPTY_PATH, 0);
    if (spawn->path)
        failed = GMR__SYS(SYS_execve, spawn->path, spawn->argv, spawn->envp, 0, 0, 0);
    spawn->error = (int)failed;
    return 127;
}

/* Only its parent can kill it without fear of a pid that was reused. And it is reaped here: orphaned, it would become a child of a target that
 * is PID 1 or a subreaper, with SIGCHLD and all. */
static void watch_inspector(struct gmr__spawn *spawn, pid_t pid)
{
    uint64_t wanted = (uint64_t)1 << (SIGCHLD - 1) | (uint64_t)1 << (SIGUSR1 - 1);
    bool killed = false;
    for (;;) {
        int status = 0;
        long got = GMR__SYS(SYS_wait4, pid, &status, __WALL | WNOHANG, NULL, 0, 0);
        if (got == pid) {
            spawn->wait_status = status;
            spawn->seen = true;
        }
        if (got == pid || got == -ECHILD)
            return;
        uint64_t now = gmr__now_ns();
        if (!killed && (spawn->stop || now >= spawn->deadline_ns)) {
            GMR__SYS(SYS_kill, pid, SIGKILL, 0, 0, 0, 0);
            killed = true;
        }
        uint64_t wait_ns = killed ? 100000000u : spawn->deadline_ns - now;
        struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000u), .tv_nsec = (long)(wait_ns % 1000000000u)};
        GMR__SYS(SYS_rt_sigtimedwait, &wanted, NULL, &timeout, sizeof(wanted), 0, 0);
    }
}

static int intermediate(void *argument)
{
    struct gmr__spawn *spawn = argument;
    GMR__SYS(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
    GMR__SYS(SYS_setsid, 0, 0, 0, 0, 0, 0); /* no terminal's ^C, no job control */
    default_signals(); /* SIGCHLD ignored would reap the inspector unseen; ignored signals outlive execve */
    char *top = (char *)spawn->stack + STACK_BYTES;
    /* CLONE_VFORK: its stack, the upper half, is free again once this returns. The lower half is this function's. */
    long pid = gmr__clone(CLONE_VM | CLONE_VFORK | CLONE_UNTRACED | SIGCHLD, top, inspector_start, spawn, NULL);
    if (pid < 0) {
        spawn->error = (int)pid;
        return 126;
    }
    spawn->inspector = (pid_t)pid;
    /* The reader must see the stream's end. */
    long error = GMR__SYS(SYS_close_range, 0, ~0u, 0, 0, 0, 0);
    for (int fd = 0; error && fd < 4096; fd++)
        gmr__close(fd);
    gmr__close(spawn->write_end);
    watch_inspector(spawn, (pid_t)pid);
    return 0;
}

int gmr__spawn_begin(struct gmr__spawn *spawn)
{
    int ends[2];
    spawn->error = 0;
    spawn->inspector = 0;
    spawn->seen = false;
    spawn->stop = false;
    spawn->stream = -1;
    spawn->pid = 0;
    long error = GMR__SYS(SYS_pipe2, ends, O_CLOEXEC, 0, 0, 0, 0);
    if (error < 0)
        return (int)error;
    GMR__SYS(SYS_fcntl, ends[0], F_SETFL, O_RDONLY | O_NONBLOCK, 0, 0, 0);
    GMR__SYS(SYS_fcntl, ends[1], F_SETPIPE_SZ, 1 << 20, 0, 0, 0); /* best effort: fewer switches */
    spawn->stream = ends[0];
    spawn->write_end = ends[1];
    spawn->stack = stack_lost ? NULL : stack;
    if (!spawn->stack) {
        gmr__close(ends[0]);
        gmr__close(ends[1]);
        return -ENOMEM;
    }
    /* The child must not run a handler of the program's: everything is blocked until it has none. */
    uint64_t all = ~(uint64_t)0, old = 0;
    GMR__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all), 0, 0);
    long pid = gmr__clone(CLONE_VM | CLONE_UNTRACED, (char *)spawn->stack + STACK_BYTES / 2, intermediate, spawn, NULL);
    GMR__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old), 0, 0);
    gmr__close(ends[1]);
    if (pid < 0) {
        gmr__close(ends[0]);
        return (int)pid;
    }
    spawn->pid = (pid_t)pid;
    /* Yama's exception holds for descendants of the one named. It replaces one that the program may have made. */
    if (spawn->yama)
        GMR__SYS(SYS_prctl, PR_SET_PTRACER, pid, 0, 0, 0, 0);
    return 0;
}

static bool reaped(pid_t pid)
{
    long got = GMR__SYS(SYS_wait4, pid, NULL, __WALL | WNOHANG, NULL, 0, 0);
    return got == pid || got == -ECHILD;
}

bool gmr__spawn_end(struct gmr__spawn *spawn, bool now)
{
    if (spawn->stream >= 0)
        gmr__close(spawn->stream);
    spawn->stream = -1;
    if (now) {
        spawn->stop = true;
        GMR__SYS(SYS_kill, spawn->pid, SIGUSR1, 0, 0, 0, 0); /* blocked there: it only ends its wait */
    }
    uint64_t start = gmr__now_ns(), until = now ? start : spawn->deadline_ns;
    uint64_t kill_ns = (until > start ? until : start) + 2000000000u, give_up_ns = kill_ns + 1000000000u;
    uint64_t pause_ns = 200000;
    while (!reaped(spawn->pid)) {
        if (gmr__now_ns() > give_up_ns) {
            stack_lost = true; /* in an uninterruptible sleep: its stack must stay */
            return false;
        }
        if (gmr__now_ns() > kill_ns)
            GMR__SYS(SYS_kill, spawn->pid, SIGKILL, 0, 0, 0, 0);
        gmr__sleep_ns(pause_ns);
        if (pause_ns < 10000000)
            pause_ns *= 2;
    }
    return true;
}
