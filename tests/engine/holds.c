/*
 * tests/engine/holds.c - a process with one thread in every system call that waits, and a count of what each returned.
 *
 * Prints "ready N" when all N threads have announced their call; then, once its standard input ends, a line of JSON: how often each call
 * ended with EINTR, and how often it ended at all. Nothing ever wakes these calls but a fault of the tracer's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char directory[] = "/tmp/gmr-holds-XXXXXX", path[128];
static const struct timespec hour = {3600, 0};
static int semaphores[8], queues[8]; /* outlive the process unless removed */
static atomic_int semaphore_count, queue_count;

static int epoll_fd(void)
{
    static _Thread_local int fd = -1;
    return fd >= 0 ? fd : (fd = epoll_create1(EPOLL_CLOEXEC));
}

static long hold_epoll_wait(void)
{
    struct epoll_event event;
    return epoll_wait(epoll_fd(), &event, 1, -1);
}

static long hold_epoll_wait_timed(void)
{
    struct epoll_event event;
    return epoll_wait(epoll_fd(), &event, 1, 3600000);
}

static long hold_epoll_pwait(void)
{
    struct epoll_event event;
    sigset_t set;
    sigemptyset(&set);
    return epoll_pwait(epoll_fd(), &event, 1, -1, &set);
}

static long hold_epoll_pwait2(void)
{
    struct epoll_event event;
    return syscall(SYS_epoll_pwait2, epoll_fd(), &event, 1, &hour, NULL, 8);
}

static long hold_poll(void)
{
    return poll(NULL, 0, -1);
}

static long hold_poll_timed(void)
{
    return poll(NULL, 0, 3600000);
}

static long hold_ppoll(void)
{
    return ppoll(NULL, 0, &hour, NULL);
}

static long hold_select(void)
{
    struct timeval timeout = {3600, 0};
    return select(0, NULL, NULL, NULL, &timeout);
}

static long hold_pselect(void)
{
    return pselect(0, NULL, NULL, NULL, &hour, NULL);
}

static long hold_nanosleep(void)
{
    return nanosleep(&hour, NULL);
}

static long hold_clock_nanosleep(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 3600;
    errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    return errno ? -1 : 0;
}

static long hold_pause(void)
{
    return pause();
}

static long hold_sigsuspend(void)
{
    sigset_t set;
    sigemptyset(&set);
    return sigsuspend(&set);
}

static long hold_sigtimedwait(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, NULL, &hour);
}

static long hold_sigwaitinfo(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigwaitinfo(&set, NULL);
}

static int pair(int mine)
{
    static _Thread_local int fds[2] = {-1, -1};
    if (fds[0] < 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return -1;
    return fds[mine];
}

static long hold_recv(void)
{
    char byte;
    return recv(pair(0), &byte, 1, 0);
}

static int timed_pair(int option)
{
    struct timeval timeout = {3600, 0};
    setsockopt(pair(0), SOL_SOCKET, option, &timeout, sizeof(timeout));
    return pair(0);
}

static long hold_recv_timed(void)
{
    char byte;
    return recv(timed_pair(SO_RCVTIMEO), &byte, 1, 0);
}

static long hold_recvmsg_timed(void)
{
    char byte;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    return recvmsg(timed_pair(SO_RCVTIMEO), &message, 0);
}

static long hold_recvmmsg(void)
{
    static _Thread_local int fd = -1;
    char byte;
    struct iovec vector = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
    if (fd < 0) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
            return 1;
    }
    return recvmmsg(fd, &message, 1, 0, NULL);
}

static long hold_send_timed(void)
{
    static _Thread_local bool full;
    static char bytes[65536];
    int fd = timed_pair(SO_SNDTIMEO);
    while (!full)
        full = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0;
    return send(fd, bytes, sizeof(bytes), 0);
}

static long hold_accept(void)
{
    static _Thread_local int fd = -1;
    if (fd < 0) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        listen(fd, 1);
    }
    return accept(fd, NULL, NULL);
}

static long hold_accept_timed(void)
{
    static _Thread_local int fd = -1;
    struct timeval timeout = {3600, 0};
    if (fd < 0) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        listen(fd, 1);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    }
    return accept(fd, NULL, NULL);
}

static int new_pipe(int end, bool fill)
{
    static _Thread_local int fds[2] = {-1, -1};
    static char bytes[65536];
    if (fds[0] < 0 && pipe(fds) == 0 && fill) {
        fcntl(fds[1], F_SETFL, O_NONBLOCK);
        while (write(fds[1], bytes, sizeof(bytes)) > 0)
            ;
        fcntl(fds[1], F_SETFL, 0);
    }
    return fds[end];
}

static long hold_read_pipe(void)
{
    char byte;
    return read(new_pipe(0, false), &byte, 1);
}

static long hold_write_pipe(void)
{
    return write(new_pipe(1, true), "x", 1);
}

static long hold_read_inotify(void)
{
    static _Thread_local int fd = -1;
    char bytes[4096];
    if (fd < 0) {
        fd = inotify_init1(0);
        inotify_add_watch(fd, "/proc/self", IN_MODIFY);
    }
    return read(fd, bytes, sizeof(bytes));
}

static long hold_read_eventfd(void)
{
    static _Thread_local int fd = -1;
    uint64_t value;
    if (fd < 0)
        fd = eventfd(0, 0);
    return read(fd, &value, sizeof(value));
}

static long hold_read_timerfd(void)
{
    static _Thread_local int fd = -1;
    struct itimerspec timer = {.it_value = hour};
    uint64_t value;
    if (fd < 0) {
        fd = timerfd_create(CLOCK_MONOTONIC, 0);
        timerfd_settime(fd, 0, &timer, NULL);
    }
    return read(fd, &value, sizeof(value));
}

static long hold_read_signalfd(void)
{
    static _Thread_local int fd = -1;
    struct signalfd_siginfo info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    if (fd < 0)
        fd = signalfd(-1, &set, 0);
    return read(fd, &info, sizeof(info));
}

static long hold_open_fifo(void)
{
    mkfifo(path, 0600);
    return open(path, O_RDONLY);
}

static int semaphore(void)
{
    static _Thread_local int id = -1;
    if (id < 0)
        semaphores[semaphore_count++] = id = semget(IPC_PRIVATE, 1, 0600);
    return id;
}

static long hold_semop(void)
{
    struct sembuf operation = {0, -1, 0};
    return semop(semaphore(), &operation, 1);
}

static long hold_semtimedop(void)
{
    struct sembuf operation = {0, -1, 0};
    return semtimedop(semaphore(), &operation, 1, &hour);
}

static int message_queue(void)
{
    static _Thread_local int id = -1;
    if (id < 0)
        queues[queue_count++] = id = msgget(IPC_PRIVATE, 0600);
    return id;
}

static long hold_msgrcv(void)
{
    struct {
        long type;
        char text[8];
    } message;
    return msgrcv(message_queue(), &message, sizeof(message.text), 0, 0);
}

static long hold_msgsnd(void)
{
    static const struct {
        long type;
        char text[8192];
    } message = {.type = 1};
    while (msgsnd(message_queue(), &message, sizeof(message.text), IPC_NOWAIT) == 0)
        ;
    return msgsnd(message_queue(), &message, sizeof(message.text), 0);
}

static long hold_mq_timedreceive(void)
{
    static _Thread_local mqd_t queue = -1;
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
    char name[32], bytes[8];
    struct timespec until = {time(NULL) + 3600, 0};
    if (queue < 0) {
        snprintf(name, sizeof(name), "/gmr-holds-%d", getpid());
        queue = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
        mq_unlink(name);
    }
    return queue < 0 ? pause() : mq_timedreceive(queue, bytes, sizeof(bytes), NULL, &until);
}

static long hold_futex(void)
{
    static uint32_t word;
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static long hold_futex_timed(void)
{
    static uint32_t word;
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &hour, NULL, 0);
}

static long hold_mutex(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex); /* nobody unlocks */
    return pthread_mutex_lock(&mutex);
}

static long hold_io_getevents(void)
{
    static _Thread_local aio_context_t context;
    struct io_event event;
    if (!context && syscall(SYS_io_setup, 1, &context) != 0)
        return 1;
    return syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
}

static long hold_io_pgetevents(void)
{
    static _Thread_local aio_context_t context;
    struct io_event event;
    if (!context && syscall(SYS_io_setup, 1, &context) != 0)
        return 1;
    return syscall(SYS_io_pgetevents, context, 1, 1, &event, NULL, NULL);
}

static long hold_io_uring_enter(void)
{
    static _Thread_local int fd = -1;
    struct io_uring_params parameters = {0};
    if (fd < 0)
        fd = (int)syscall(SYS_io_uring_setup, 4, &parameters);
    return fd < 0 ? pause() : syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

static pid_t sleeping_child(void)
{
    static _Thread_local pid_t child;
    if (!child && (child = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return child;
}

static long hold_wait4(void)
{
    return waitpid(sleeping_child(), NULL, 0);
}

static long hold_waitid(void)
{
    siginfo_t info;
    return waitid(P_PID, (id_t)sleeping_child(), &info, WEXITED);
}

static int locked_file(bool whole)
{
    static _Thread_local int fd = -1;
    char name[160];
    if (fd >= 0)
        return fd;
    snprintf(name, sizeof(name), "%s/%s", directory, whole ? "flock" : "record");
    fd = open(name, O_RDWR | O_CREAT, 0600);
    int other = open(name, O_RDWR);
    struct flock lock = {.l_type = F_WRLCK};
    if (whole)
        flock(other, LOCK_EX);
    else
        fcntl(other, F_OFD_SETLK, &lock);
    return fd;
}

static long hold_flock(void)
{
    return flock(locked_file(true), LOCK_EX);
}

static long hold_record_lock(void)
{
    struct flock lock = {.l_type = F_WRLCK};
    return fcntl(locked_file(false), F_OFD_SETLKW, &lock);
}

#define CALL(call)                         \
    {                                      \
        .name = #call, .hold = hold_##call \
    }
static struct {
    const char *name;
    long (*hold)(void);
    atomic_long interrupted, ended;
    int last_error;
} calls[] = {
    CALL(epoll_wait),
    CALL(epoll_wait_timed),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(poll),
    CALL(poll_timed),
    CALL(ppoll),
    CALL(select),
    CALL(pselect),
    CALL(nanosleep),
    CALL(clock_nanosleep),
    CALL(pause),
    CALL(sigsuspend),
    CALL(sigtimedwait),
    CALL(sigwaitinfo),
    CALL(recv),
    CALL(recv_timed),
    CALL(recvmsg_timed),
    CALL(recvmmsg),
    CALL(send_timed),
    CALL(accept),
    CALL(accept_timed),
    CALL(read_pipe),
    CALL(write_pipe),
    CALL(read_inotify),
    CALL(read_eventfd),
    CALL(read_timerfd),
    CALL(read_signalfd),
    CALL(open_fifo),
    CALL(semop),
    CALL(semtimedop),
    CALL(msgrcv),
    CALL(msgsnd),
    CALL(mq_timedreceive),
    CALL(futex),
    CALL(futex_timed),
    CALL(mutex),
    CALL(io_getevents),
    CALL(io_pgetevents),
    CALL(io_uring_enter),
    CALL(wait4),
    CALL(waitid),
    CALL(flock),
    CALL(record_lock),
};
#define CALLS (sizeof(calls) / sizeof(*calls))

static void *run(void *argument)
{
    size_t index = (size_t)argument;
    char name[16];
    snprintf(name, sizeof(name), "%.15s", calls[index].name);
    prctl(PR_SET_NAME, name);
    for (;;) {
        long result = calls[index].hold();
        if (result < 0 && errno == EINTR) {
            calls[index].interrupted++;
            continue;
        }
        calls[index].last_error = result < 0 ? errno : 0;
        calls[index].ended++;
        usleep(1000);
    }
    return NULL;
}

int main(void)
{
    char byte;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!mkdtemp(directory))
        return 1;
    snprintf(path, sizeof(path), "%s/fifo", directory);
    for (size_t i = 0; i < CALLS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, run, (void *)i);
    }
    printf("ready %zu\n", CALLS);
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    printf("{");
    for (size_t i = 0; i < CALLS; i++)
        printf("%s\"%s\": [%ld, %ld, %d]", i ? ", " : "", calls[i].name, (long)calls[i].interrupted,
               (long)calls[i].ended, calls[i].last_error);
    printf("}\n");
    fflush(stdout);
    for (int i = 0; i < semaphore_count; i++)
        semctl(semaphores[i], 0, IPC_RMID);
    for (int i = 0; i < queue_count; i++)
        msgctl(queues[i], IPC_RMID, NULL);
    char name[200];
    snprintf(name, sizeof(name), "%s/flock", directory);
    unlink(name);
    snprintf(name, sizeof(name), "%s/record", directory);
    unlink(name);
    unlink(path);
    rmdir(directory);
    return 0;
}
