/*
 * deep.c - a thread that has recursed 100,000 deep.
 */
#include <pthread.h>

#include "ready.h"

static volatile int sink;

__attribute__((noinline)) static int down(int depth)
{
    if (depth == 0) {
        arrive();
        pause();
        return 1;
    }
    return down(depth - 1) * sink + depth;
}

static void *thread(void *ignored)
{
    (void)ignored;
    return (void *)(long)(down(100000) + 1);
}

int main(void)
{
    pthread_t id;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 20);
    pthread_create(&id, &attributes, thread, NULL);
    ready(1);
    pause();
    return 0;
}
