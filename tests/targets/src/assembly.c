/*
 * assembly.c - threads that wait beneath the hand-written functions of assembly.S.
 */
#include <pthread.h>

#include "ready.h"

void with_cfi(long n, void (*function)(long));
void without_cfi(long n, void (*function)(long));
void cfa_in_register(long n, void (*function)(long));

static volatile long sink;

__attribute__((noinline)) static void wait_here(long n)
{
    arrive();
    for (;;) {
        pause();
        sink += n;
    }
}

__attribute__((noinline)) static void nested(long n)
{
    with_cfi(n + 1, wait_here);
    sink++;
}

__attribute__((noinline)) static void *thread(void *number)
{
    void (*const functions[])(long, void (*)(long)) = {with_cfi, without_cfi, cfa_in_register};
    long n = (long)number;
    if (n < 3)
        functions[n](n, wait_here);
    else
        without_cfi(n, nested);
    sink++;
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
