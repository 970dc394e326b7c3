/*
 * moving.c - threads that never stand still: stopped anywhere, they stand in prologues, epilogues, leaf functions, the PLT, the vDSO and in
 * libc's hand-written string functions.
 */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "ready.h"

#define NOINLINE __attribute__((noinline, noclone))

static volatile long sink;

NOINLINE static long leaf(long n)
{
    return n * 3 + sink;
}

NOINLINE static long middle(long n)
{
    long a = leaf(n), b = leaf(n + 1), c = leaf(a + b);
    return a * b + c;
}

NOINLINE static void prologues(void)
{
    for (;;)
        sink = middle(sink) + leaf(sink);
}

NOINLINE static void plt(void)
{
    for (;;)
        sink += getppid() == 0; /* through the PLT into a few instructions */
}

NOINLINE static void vdso(void)
{
    struct timespec t;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        sink += t.tv_nsec;
    }
}

NOINLINE static void strings(void)
{
    static char from[4096], to[4096];
    for (;;) {
        memcpy(to, from, (size_t)(sink & 1023) + 8);
        sink += (long)strlen(to) + memcmp(from, to, 100);
    }
}

static void (*const moves[])(void) = {prologues, plt, vdso, strings};

static void *thread(void *number)
{
    arrive();
    moves[(long)number]();
    return NULL;
}

int main(void)
{
    pthread_t id;
    for (long i = 0; i < 4; i++)
        pthread_create(&id, NULL, thread, (void *)i);
    ready(4);
    pause();
    return 0;
}
