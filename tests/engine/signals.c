/*
 * tests/engine/signals.c - real signals under a tracer: none may get lost, none may stop interrupting.
 *
 *     signals queued COUNT      COUNT real-time signals with a payload each are queued to this process, whose thread waits in epoll_wait;
 *                               prints "done RECEIVED IN_ORDER": how many came, and how many with the payload that was next
 *     signals interrupts COUNT  COUNT times a signal without SA_RESTART must end an epoll_wait with EINTR; the next is sent only then;
 *                               prints "done INTERRUPTED"
 *
 * Prints "ready" first and begins when a line comes on standard input.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

static atomic_long received, in_order, interrupted;

static void handler(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    long expected = received++;
    if (info->si_value.sival_int == (int)expected)
        in_order++;
}

static void *wait_for_events(void *argument)
{
    struct epoll_event event;
    int fd = epoll_create1(0);
    sigset_t set;
    (void)argument;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    for (;;)
        if (epoll_wait(fd, &event, 1, -1) < 0 && errno == EINTR)
            interrupted++;
    return NULL;
}

static void send_one(int value)
{
    while (sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = value}) != 0)
        usleep(200); /* the queue is bounded: RLIMIT_SIGPENDING */
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    sigset_t set;
    char line[16];
    if (argc < 3)
        return 2;
    long count = atol(argv[2]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGRTMIN, &action, NULL);
    pthread_create(&thread, NULL, wait_for_events, NULL);
    printf("ready\n");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        return 1;
    for (long i = 0; i < count; i++) {
        long before = interrupted;
        send_one((int)i);
        while (strcmp(argv[1], "interrupts") == 0 && interrupted == before)
            usleep(50);
    }
    while (received < count)
        usleep(1000);
    if (strcmp(argv[1], "queued") == 0)
        printf("done %ld %ld\n", (long)received, (long)in_order);
    else
        printf("done %ld\n", (long)interrupted);
    return 0;
}
