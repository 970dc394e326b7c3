/*
 * threads.c - two threads, one in a signal handler, when the process aborts. The C library is not part of the corpus: its frames have
 * a module and a build id, no names.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static volatile int sink, ready;

__attribute__((noinline)) static void handler(int signo)
{
    ready = signo;
    for (;;)
        sink++;
}

__attribute__((noinline)) static int work(int n)
{
    for (;;)
        sink += n;
}

static void *thread(void *ignored)
{
    (void)ignored;
    return (void *)(long)(work(3) + 1);
}

int main(void)
{
    pthread_t id;
    signal(SIGUSR1, handler);
    pthread_create(&id, NULL, thread, NULL);
    pthread_kill(id, SIGUSR1);
    while (!ready)
        sink++;
    abort();
}
