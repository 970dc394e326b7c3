/*
 * tests/targets/interrupted.c - makes every blocking call that SA_RESTART does not cover, while somebody sends the trigger's signal.
 *
 * Usage: interrupted LOGDIR. Prints "begin NAME" before each call, then "fine NAME", or "EINTR NAME" if it failed so. The "real" ones
 * are interrupted by a handler of the program's own, whose EINTR has to get through.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gmr/gmr.h>

#define WAIT_MS 400

static int ends[2], sockets[2], epoll_fd, messages, semaphores;

static int do_poll(void)
{
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    return poll(&p, 1, WAIT_MS);
}

static int do_ppoll(void)
{
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    struct timespec timeout = {0, WAIT_MS * 1000000L};
    sigset_t none;
    sigemptyset(&none);
    return ppoll(&p, 1, &timeout, &none);
}

static int do_select(void)
{
    fd_set set;
    struct timeval timeout = {0, WAIT_MS * 1000L};
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    return select(ends[0] + 1, &set, NULL, NULL, &timeout);
}

static int do_pselect(void)
{
    fd_set set;
    struct timespec timeout = {0, WAIT_MS * 1000000L};
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    return pselect(ends[0] + 1, &set, NULL, NULL, &timeout, NULL);
}

static int do_epoll_wait(void)
{
    struct epoll_event event;
    return epoll_wait(epoll_fd, &event, 1, WAIT_MS);
}

static int do_epoll_pwait(void)
{
    struct epoll_event event;
    sigset_t none;
    sigemptyset(&none);
    return epoll_pwait(epoll_fd, &event, 1, WAIT_MS, &none);
}

static int do_nanosleep(void)
{
    struct timespec time = {0, WAIT_MS * 1000000L};
    return nanosleep(&time, NULL);
}

static int do_nanosleep_rest(void)
{
    struct timespec time = {0, WAIT_MS * 1000000L}, rest;
    return nanosleep(&time, &rest);
}

static int do_clock_nanosleep(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += WAIT_MS * 1000000L;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
    return errno ? -1 : 0;
}

static int do_usleep(void)
{
    return usleep(WAIT_MS * 1000);
}

static int do_sigtimedwait(void)
{
    sigset_t set;
    struct timespec timeout = {0, WAIT_MS * 1000000L};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, NULL, &timeout);
}

static int do_recv_timeout(void)
{
    char byte;
    return (int)recv(sockets[0], &byte, 1, 0);
}

static int do_read_timeout(void)
{
    char byte;
    return (int)read(sockets[0], &byte, 1);
}

static int do_accept_timeout(void)
{
    static int listener = -1;
    if (listener < 0) {
        struct timeval timeout = {0, WAIT_MS * 1000L};
        listener = socket(AF_UNIX, SOCK_STREAM, 0);
        bind(listener, (struct sockaddr *)&(struct sockaddr){.sa_family = AF_UNIX},
             sizeof(sa_family_t)); /* an abstract name */
        listen(listener, 1);
        setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    }
    return accept(listener, NULL, NULL);
}

static int do_semtimedop(void)
{
    struct sembuf operation = {0, -1, 0};
    struct timespec timeout = {0, WAIT_MS * 1000000L};
    return semtimedop(semaphores, &operation, 1, &timeout);
}

static int do_sem_timedwait(void)
{
    sem_t semaphore;
    struct timespec until;
    sem_init(&semaphore, 0, 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return sem_timedwait(&semaphore, &until);
}

/* Those without a timeout are ended by another thread. */
static pthread_t main_thread;
static volatile int ending;

static void nothing(int signal)
{
}

static void *end_it(void *unused)
{
    struct {
        long type;
        char text[1];
    } message = {1, "x"};
    usleep(WAIT_MS * 1000);
    if (ending == 1)
        msgsnd(messages, &message, 1, 0);
    else
        pthread_kill(main_thread, SIGUSR1); /* a real handler's EINTR has to get through */
    return NULL;
}

static int do_msgrcv(void)
{
    struct {
        long type;
        char text[1];
    } message;
    pthread_t thread;
    ending = 1;
    pthread_create(&thread, NULL, end_it, NULL);
    int result = (int)msgrcv(messages, &message, 1, 0, 0);
    int error = errno;
    pthread_join(thread, NULL);
    errno = error;
    return result;
}

static int really_interrupted(int (*call)(void))
{
    pthread_t thread;
    struct sigaction old, action = {.sa_handler = nothing};
    sigaction(SIGUSR1, &action, &old);
    ending = 2;
    pthread_create(&thread, NULL, end_it, NULL);
    int result = call(), error = errno;
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &old, NULL);
    /* The other way round: here EINTR is what has to come. */
    errno = result < 0 && error == EINTR ? 0 : EINTR;
    return errno ? -1 : 0;
}

static int endless_poll(void)
{
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    return poll(&p, 1, -1);
}

static int endless_epoll(void)
{
    struct epoll_event event;
    return epoll_wait(epoll_fd, &event, 1, -1);
}

static int do_real_poll(void)
{
    return really_interrupted(endless_poll);
}

static int do_real_epoll(void)
{
    return really_interrupted(endless_epoll);
}

static int do_real_pause(void)
{
    return really_interrupted(pause);
}

static const struct {
    const char *name;
    int (*call)(void);
} calls[] = {{"poll", do_poll},
             {"ppoll", do_ppoll},
             {"select", do_select},
             {"pselect", do_pselect},
             {"epoll_wait", do_epoll_wait},
             {"epoll_pwait", do_epoll_pwait},
             {"nanosleep", do_nanosleep},
             {"nanosleep-rest", do_nanosleep_rest},
             {"clock_nanosleep", do_clock_nanosleep},
             {"usleep", do_usleep},
             {"sigtimedwait", do_sigtimedwait},
             {"recv-timeout", do_recv_timeout},
             {"read-timeout", do_read_timeout},
             {"accept-timeout", do_accept_timeout},
             {"semtimedop", do_semtimedop},
             {"sem_timedwait", do_sem_timedwait},
             {"msgrcv", do_msgrcv},
             {"real-poll", do_real_poll},
             {"real-epoll", do_real_epoll},
             {"real-pause", do_real_pause}};

int main(int argc, char **argv)
{
    struct gmr_options options = {.size = sizeof(options), .min_interval_ms = 1, .log_dir = argc > 1 ? argv[1] : NULL};
    struct timeval timeout = {0, WAIT_MS * 1000L};
    struct epoll_event event = {.events = EPOLLIN};
    if (gmr_setup_autorun(&options) != 0 || pipe(ends) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
        return 2;
    main_thread = pthread_self();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ends[0], &event);
    setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    messages = msgget(IPC_PRIVATE, 0600);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        printf("begin %s\n", calls[i].name);
        fflush(stdout);
        errno = 0;
        int result = calls[i].call();
        printf("%s %s\n", result < 0 && errno == EINTR ? "EINTR" : "fine", calls[i].name);
        fflush(stdout);
    }
    msgctl(messages, IPC_RMID, NULL);
    semctl(semaphores, 0, IPC_RMID);
    printf("done\n");
    return 0;
}
