/*
 * tests/bench/load.c - the benchmark's load: load THREADS DEPTH.
 *
 * THREADS threads, DEPTH calls deep (and as many inlined ones), wait in turn in epoll_wait, poll, nanosleep, read, a mutex and a condition variable; one more spins and
 * measures the longest time it was kept from running, but for what it waited for a processor. Prints "ready PID"; then answers each line
 * on standard input: "reset" with "ok", "stats" with "EINTRS PAUSE_US" since the reset. Ends with its standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define LEAST_PAUSE_NS 5000 /* shorter ones are the loop itself, or an interrupt */

static int depth, never[2], epoll_fd;
static atomic_long waiting, eintrs;
static atomic_bool ending; /* never */
static atomic_uint_fast64_t pause_ns;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, condition_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void wait_in_a_call(long kind)
{
    struct epoll_event event;
    struct timespec hour = {3600, 0};
    char byte;
    long result = 0;
    switch (kind % 6) {
    case 0:
        result = epoll_wait(epoll_fd, &event, 1, -1);
        break;
    case 1:
        result = poll(NULL, 0, -1);
        break;
    case 2:
        result = nanosleep(&hour, NULL);
        break;
    case 3:
        result = read(never[0], &byte, 1);
        break;
    case 4:
        pthread_mutex_lock(&mutex);
        break;
    default:
        pthread_mutex_lock(&condition_mutex);
        pthread_cond_wait(&condition, &condition_mutex);
    }
    if (result < 0 && errno == EINTR)
        eintrs++;
}

/* The calls on the way are of three functions, each by way of an inlined one, as in programs that do something. */
struct job {
    long kind;
    int left;
    volatile long sum;
};

static long parse(struct job *job, const char *what, long more);

static inline __attribute__((always_inline)) long wait_here(struct job *job)
{
    waiting++;
    while (!ending)
        wait_in_a_call(job->kind);
    return job->sum;
}

static inline __attribute__((always_inline)) long go_on(struct job *job, long (*next)(struct job *, const char *, long),
                                                        const char *what, long more)
{
    job->sum += more;
    return job->left-- > 0 ? next(job, what, more + 1) : wait_here(job);
}

static __attribute__((noinline)) long apply(struct job *job, const char *what, long more)
{
    volatile long local[4] = {more, (long)*what};
    local[2] = go_on(job, parse, "parse", more);
    return local[2] + local[0];
}

static __attribute__((noinline)) long evaluate(struct job *job, const char *what, long more)
{
    volatile long local[4] = {more, (long)*what};
    local[2] = go_on(job, apply, "apply", more);
    return local[2] + local[1];
}

static __attribute__((noinline)) long parse(struct job *job, const char *what, long more)
{
    volatile long local[4] = {more, (long)*what};
    local[2] = go_on(job, evaluate, "evaluate", more);
    return local[2] + local[3];
}

static void *run(void *argument)
{
    struct job job = {(long)argument, depth, 0};
    parse(&job, "a job", 0);
    return NULL;
}

/* Nanoseconds that the calling thread was ready to run and did not: the second number of its schedstat. 0: the kernel doesn't say. */
static uint64_t waited_ns(int schedstat)
{
    char text[128];
    ssize_t bytes = pread(schedstat, text, sizeof(text) - 1, 0);
    text[bytes > 0 ? bytes : 0] = '\0';
    const char *second = strchr(text, ' ');
    return second ? strtoull(second + 1, NULL, 10) : 0;
}

static void *spin(void *argument)
{
    int schedstat = open("/proc/thread-self/schedstat", O_RDONLY);
    uint64_t waited = waited_ns(schedstat), last = now_ns();
    prctl(PR_SET_NAME, "spinner");
    for (;;) {
        uint64_t now = now_ns();
        if (now - last > LEAST_PAUSE_NS) {
            uint64_t waited_now = waited_ns(schedstat), gap = now - last, off = waited_now - waited;
            if (gap > off && gap - off > pause_ns)
                pause_ns = gap - off;
            waited = waited_now;
            now = now_ns();
        }
        last = now;
    }
    return argument;
}

static int start(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)64 << 10);
    int error = pthread_create(&thread, &attributes, function, argument);
    if (error)
        fprintf(stderr, "load: no more threads: %s\n", strerror(error));
    return error;
}

int main(int argc, char **argv)
{
    char line[64];
    if (argc < 3)
        return 2;
    long threads = atol(argv[1]);
    depth = atoi(argv[2]);
    prctl(PR_SET_PDEATHSIG, 9);
    if (pipe(never) != 0)
        return 1;
    epoll_fd = epoll_create1(0);
    pthread_mutex_lock(&mutex);
    for (long i = 0; i < threads; i++)
        if (start(run, (void *)i) != 0)
            return 1;
    while (waiting < threads)
        usleep(1000);
    usleep(200000);
    start(spin, NULL);
    printf("ready %d\n", getpid());
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (strncmp(line, "reset", 5) == 0) {
            eintrs = 0;
            pause_ns = 0;
            printf("ok\n");
        } else {
            printf("%ld %.0f\n", (long)eintrs, (double)pause_ns / 1e3);
        }
        fflush(stdout);
    }
    return 0;
}
