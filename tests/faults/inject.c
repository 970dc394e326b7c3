/*
 * tests/faults/inject.c - makes the nth system call of a program, or of a library within one, fail with an error that it may fail with.
 *
 *     inject LOG N[+] ERRNO COMMAND ...    runs COMMAND; N+: that call and all that follow; writes what was done to LOG, ends as COMMAND does
 *                                          ERRNO 0: the nth call of its child processes is never answered: it hangs until somebody kills it
 *                                          ERRNO wait: before the nth call everything waits, from when there is LOG.at until there is LOG.go
 *     inject PID FD                        supervises the filter that PID has installed for a part of itself (puppet's "supervise")
 *
 * In the second form lines on standard input are orders: "fail N[+] ERRNO" counts from 0 anew, "stop" lets everything pass; each is answered with
 * what was done since the one before: "COUNT NAME-OF-THE-CALL" (calls that may fail so; "-" if none failed).
 *
 * The calls are answered through seccomp's user notification (Linux 5.5), so the program may be traced meanwhile. Only errors that the call can
 * have are made up (may_fail): a call that never fails, or whose failure the kernel would not report, passes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "../targets/listener.h"
#include "arch/calls.h"

struct plan {
    long at; /* -1: nothing fails */
    bool and_after;
    int error;
    const char *wait; /* LOG, where the nth call is to wait; else NULL */
    pid_t hang_but;   /* error 0: calls of other processes than this hang; 0: none does */
    long count;
    char failed[40];
};

static bool in(const char *list, const char *name)
{
    size_t bytes = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += bytes)
        if ((at == list || at[-1] == ' ') && (at[bytes] == ' ' || at[bytes] == '\0'))
            return true;
    return false;
}

/* The kernel's own word: these end, change nothing or say so by another value than an error's. brk answers with the former end. */
static const char never[] =
    "exit exit_group rt_sigreturn brk close getpid gettid getppid getuid geteuid getgid getegid sched_yield "
    "clock_gettime arch_prctl "
    "set_tid_address set_robust_list rseq restart_syscall rt_sigprocmask umask gettimeofday time munmap seccomp";

static bool may_fail(const struct seccomp_notif *notice, const char *name, int error)
{
    unsigned operation = (unsigned)notice->data.args[1] & 0x7f;
    if (in(never, name))
        return false;
    /* The puppet's own conversation with its test. */
    if ((strcmp(name, "read") == 0 && notice->data.args[0] == 0) ||
        (strcmp(name, "write") == 0 && notice->data.args[0] == 1))
        return false;
    if (strcmp(name, "futex") == 0)
        return (operation == 0 || operation == 9) && (error == EINTR || error == EAGAIN);
    if (in("wait4 waitid", name))
        return error == EINTR;
    switch (error) {
    case EINTR:
        return in(
            "read write pread64 pwrite64 readv writev pwritev2 preadv2 open openat poll ppoll select pselect6 "
            "epoll_wait epoll_pwait nanosleep "
            "clock_nanosleep connect accept accept4 recvfrom recvmsg sendto sendmsg flock rt_sigtimedwait getrandom",
            name);
    case EMFILE:
        return in("open openat openat2 pipe2 socket socketpair accept4 dup dup3 fcntl signalfd4 pidfd_open pidfd_getfd "
                  "memfd_create "
                  "inotify_init1 epoll_create1 eventfd2",
                  name);
    case ENOMEM:
        return !in("rt_sigaction rt_sigtimedwait kill tgkill lseek nanosleep clock_nanosleep getrandom dup3 prlimit64 "
                   "setitimer write writev",
                   name);
    case EAGAIN:
        return in("read write pread64 pwritev2 clone clone3 fork vfork mmap sendto recvfrom sendmsg recvmsg accept4 "
                  "connect fcntl ppoll poll "
                  "rt_sigtimedwait tgkill ptrace",
                  name);
    case EIO:
        return in("open openat openat2 read write pread64 pwrite64 pwritev2 readv writev readlink readlinkat "
                  "getdents64 fstat newfstatat lstat "
                  "stat statx lseek ioctl execve execveat mmap fcntl ptrace process_vm_readv unlinkat mkdirat renameat "
                  "rename mkdir chmod "
                  "fchmod ftruncate",
                  name);
    default:
        return true;
    }
}

static void wait_for_go(const char *log)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s.at", log);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    snprintf(path, sizeof(path), "%s.go", log);
    for (int i = 0; fd >= 0 && access(path, F_OK) != 0 && i < 60000; i++)
        usleep(1000);
}

/* One call: fails it or lets it pass. False: nobody is behind the filter any more. */
static bool decide(int listener, struct plan *plan)
{
    struct seccomp_notif notice;
    struct seccomp_notif_resp answer;
    memset(&notice, 0, sizeof(notice));
    memset(&answer, 0, sizeof(answer));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice) != 0)
        return errno == ENOENT || errno == EINTR;
    const char *name = gmr__arch_call_name(notice.data.nr);
    name = name ? name : "?";
    answer.id = notice.id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    if (plan->hang_but && (pid_t)notice.pid != plan->hang_but && !in(never, name) && plan->count++ == plan->at) {
        snprintf(plan->failed, sizeof(plan->failed), "%s", name);
        return true;
    }
    if (plan->wait && !in(never, name) && plan->count++ == plan->at) {
        snprintf(plan->failed, sizeof(plan->failed), "%s", name);
        wait_for_go(plan->wait);
    }
    if (plan->error && may_fail(&notice, name, plan->error)) {
        long number = plan->count++;
        if (plan->at >= 0 && (number == plan->at || (plan->and_after && number > plan->at))) {
            answer.flags = 0;
            answer.error = -plan->error;
            if (!plan->failed[0])
                snprintf(plan->failed, sizeof(plan->failed), "%s", name);
        }
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* ENOENT: it was killed meanwhile */
    return true;
}

static void make_plan(struct plan *plan, const char *at, const char *error)
{
    char *end;
    *plan = (struct plan){.at = strtol(at, &end, 10), .error = atoi(error)};
    plan->and_after = *end == '+';
}

static int fetch(pid_t pid, int fd)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int got = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    int saved = errno;
    if (pidfd >= 0)
        close(pidfd);
    errno = saved;
    return got;
}

/* ---- a part of a process that is there ---- */

static void obey(struct plan *plan)
{
    char line[128], at[32], error[32];
    ssize_t bytes = read(0, line, sizeof(line) - 1);
    if (bytes <= 0)
        exit(0);
    line[bytes] = '\0';
    printf("%ld %s\n", plan->count, plan->failed[0] ? plan->failed : "-");
    fflush(stdout);
    if (sscanf(line, "fail %31s %31s", at, error) == 2)
        make_plan(plan, at, error);
    else
        *plan = (struct plan){.at = -1};
}

static int supervise(pid_t pid, int fd)
{
    struct plan plan = {.at = -1};
    int listener = fetch(pid, fd);
    /* It tells its number before it installs the filter: afterwards it could not tell anything without us. */
    for (int i = 0; listener < 0 && errno == EBADF && i < 10000; i++) {
        usleep(1000);
        listener = fetch(pid, fd);
    }
    if (listener < 0) {
        perror("inject: the listener");
        return 2;
    }
    printf("ready\n");
    fflush(stdout);
    struct pollfd wait[2] = {{.fd = listener, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    for (;;) {
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            return 2;
        if (wait[1].revents)
            obey(&plan);
        if (wait[0].revents & POLLIN)
            decide(listener, &plan);
        else if (wait[0].revents)
            wait[0].fd = -1; /* the process has ended */
    }
}

/* ---- a command ---- */

static _Noreturn void start(int tell, char **argv)
{
    /* The next descriptor is the lowest that is free. */
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    if (write(tell, &next, sizeof(next)) != sizeof(next) || install_listener(0, 0) != next)
        _exit(125);
    execv(argv[0], argv);
    _exit(127);
}

static int end_of(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static int run(const char *log, const char *at, const char *error, char **argv)
{
    struct plan plan;
    int ends[2], number, listener = -1;
    siginfo_t ended = {0};
    make_plan(&plan, at, error);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return 125;
    pid_t child = fork();
    if (child == 0)
        start(ends[1], argv);
    close(ends[1]);
    if (strcmp(error, "wait") == 0)
        plan.wait = log;
    else if (!plan.error)
        plan.hang_but = child;
    if (child < 0 || read(ends[0], &number, sizeof(number)) != sizeof(number))
        return 125;
    while (listener < 0 && waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0)
        listener = fetch(child, number);
    /* What the command was given is the command's alone: whoever reads from it must see its end. */
    for (int fd = 0; fd < 64; fd++)
        if (fd != listener && fd != 2)
            close(fd);
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    struct plan pass = {.at = -1}, *now = &pass; /* until it has been executed */
    while (listener >= 0 && (poll(&wait, 1, -1) > 0 || errno == EINTR)) {
        if (wait.revents & POLLIN)
            decide(listener, now);
        else if (wait.revents)
            break;
        now = &plan;
    }
    int status = end_of(child);
    FILE *file = fopen(log, "w");
    if (file) {
        fprintf(file, "%ld %s\n", plan.count, plan.failed[0] ? plan.failed : "-");
        fclose(file);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return supervise(atoi(argv[1]), atoi(argv[2]));
    if (argc < 5) {
        fprintf(stderr, "usage: inject LOG N[+] ERRNO|0|wait COMMAND ... | inject PID FD\n");
        return 2;
    }
    return run(argv[1], argv[2], argv[3], argv + 4);
}
