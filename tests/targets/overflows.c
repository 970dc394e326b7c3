/*
 * tests/targets/overflows.c - a program that knows nothing of gmr and whose threads overflow their stacks, one way or another.
 *
 * For tests of `gmr run --on-crash`: overflows KIND. Before it crashes it says "ready" and waits for a byte on standard input.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <threads.h>
#include <unistd.h>

static volatile int never;

__attribute__((noinline)) static int recurse(int depth)
{
    volatile char room[1024];
    room[0] = (char)depth;
    return never == depth + 100000000 ? 0 : recurse(depth + 1) + room[0];
}

__attribute__((noinline)) static int pong(int depth);

__attribute__((noinline)) static int ping(int depth)
{
    volatile char room[1024];
    room[0] = (char)depth;
    return never == depth + 100000000 ? 0 : pong(depth + 1) + room[0];
}

static int pong(int depth)
{
    volatile char room[1024];
    room[0] = (char)depth;
    return never == depth + 100000000 ? 0 : ping(depth + 1) + room[0];
}

static void wait_for_go(void)
{
    char byte;
    if (write(1, "ready\n", 6) != 6 || read(0, &byte, 1) != 1)
        _exit(3);
}

static void *overflow(void *unused)
{
    wait_for_go();
    return (void *)(long)recurse(0);
}

static void *overflow_by_two(void *unused)
{
    wait_for_go();
    return (void *)(long)ping(0);
}

static int overflow_c11(void *unused)
{
    return overflow(unused) != NULL;
}

/* A thread of the program's own that knows what it does. */
static char own_stack[1 << 16];

static void on_overflow(int signal)
{
    char here;
    _exit(&here >= own_stack && &here < own_stack + sizeof(own_stack) ? 42 : 43);
}

static void *with_own_stack(void *unused)
{
    stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof(own_stack)};
    struct sigaction action = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGSEGV, &action, NULL) != 0)
        _exit(4);
    return overflow(NULL);
}

static void *nothing(void *unused)
{
    return unused;
}

/* The last of many threads: those before it have ended, one by one and all at once. */
static void many(void)
{
    static pthread_t threads[300];
    static char marks[300];
    for (int i = 0; i < 2000; i++)
        if (pthread_create(&threads[0], NULL, nothing, NULL) != 0 || pthread_join(threads[0], NULL) != 0)
            _exit(5);
    for (int i = 0; i < 300; i++)
        if (pthread_create(&threads[i], NULL, nothing, &marks[i]) != 0)
            _exit(6);
    for (int i = 0; i < 300; i++) {
        void *result;
        if (pthread_join(threads[i], &result) != 0 || result != &marks[i])
            _exit(7);
    }
}

static void *stand(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void *end_by_exit(void *unused)
{
    pthread_exit(NULL);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    pthread_t thread;
    pthread_attr_t attributes;
    thrd_t c11;
    pthread_attr_init(&attributes);
    if (strcmp(kind, "main") == 0)
        overflow(NULL);
    else if (strcmp(kind, "mutual") == 0)
        overflow_by_two(NULL);
    else if (strcmp(kind, "thread") == 0)
        pthread_create(&thread, NULL, overflow, NULL);
    else if (strcmp(kind, "c11") == 0)
        thrd_create(&c11, overflow_c11, NULL);
    else if (strcmp(kind, "small") == 0) {
        pthread_attr_setstacksize(&attributes, 16384);
        pthread_create(&thread, &attributes, overflow, NULL);
    } else if (strcmp(kind, "many") == 0) {
        many();
        pthread_create(&thread, NULL, end_by_exit, NULL);
        pthread_create(&thread, NULL, stand, NULL);
        pthread_create(&thread, NULL, overflow, NULL);
    } else if (strcmp(kind, "own") == 0)
        pthread_create(&thread, NULL, with_own_stack, NULL);
    else
        return 2;
    for (;;)
        pause();
}
