/*
 * ends.c - threads whose stacks can't be followed to their beginning; see ends.S. One is only deep.
 */
#include <pthread.h>

#include "ready.h"

extern void called_by_itself(void (*)(void)), frame_nowhere(void (*)(void)), tells_nothing(void (*)(void));

static void (*const volatile shapes[])(void (*)(void)) = {called_by_itself, frame_nowhere, tells_nothing};
static const char *const names[] = {"itself", "nowhere", "nothing"};

__attribute__((noinline)) static void wait_here(void)
{
    arrive();
    for (;;)
        pause();
}

static void *thread(void *number)
{
    pthread_setname_np(pthread_self(), names[(long)number]);
    shapes[(long)number](wait_here);
    return NULL;
}

__attribute__((noinline)) static long deep(long n)
{
    if (n == 0)
        wait_here();
    return deep(n - 1) + n;
}

static void *deep_thread(void *depth)
{
    pthread_setname_np(pthread_self(), "deep");
    return (void *)deep((long)depth);
}

int main(void)
{
    pthread_t id;
    for (long i = 0; i < 3; i++)
        pthread_create(&id, NULL, thread, (void *)i);
    pthread_create(&id, NULL, deep_thread, (void *)200L);
    ready(4);
    pause();
    return 0;
}
