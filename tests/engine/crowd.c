/*
 * tests/engine/crowd.c - many threads that all stand in the same place: crowd THREADS DEPTH. Prints "ready"; ends with its standard input.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static int depth;

static __attribute__((noinline)) int descend(int left)
{
    int below = left ? descend(left - 1) : pause();
    __asm__ volatile("" ::: "memory");
    return below + 1;
}

static void *run(void *argument)
{
    descend(depth);
    return argument;
}

int main(int argc, char **argv)
{
    char byte;
    if (argc < 3)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    depth = atoi(argv[2]);
    for (int i = 0; i < atoi(argv[1]); i++) {
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 64 << 10);
        if (pthread_create(&thread, &attributes, run, NULL) != 0) {
            fprintf(stderr, "only %d threads\n", i);
            return 1;
        }
    }
    printf("ready\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}
