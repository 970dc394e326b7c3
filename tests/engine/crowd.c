/*
 * tests/engine/crowd.c - many threads that all stand in the same place: crowd THREADS DEPTH [VARIETY]. Prints "ready"; ends with its standard
 * input. With VARIETY thread I is called "tI" and stands I % VARIETY calls deeper.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static int depth, variety = 1;
static volatile int waiting;

static __attribute__((noinline)) int descend(int left)
{
    int below = left ? descend(left - 1) : pause();
    __asm__ volatile("" ::: "memory");
    return below + 1;
}

static void *run(void *argument)
{
    char name[16];
    int number = (int)(intptr_t)argument;
    snprintf(name, sizeof(name), "t%d", number);
    if (variety > 1)
        prctl(PR_SET_NAME, name);
    __atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST);
    descend(depth + number % variety);
    return argument;
}

int main(int argc, char **argv)
{
    char byte;
    if (argc < 3)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    depth = atoi(argv[2]);
    if (argc > 3)
        variety = atoi(argv[3]);
    for (int i = 0; i < atoi(argv[1]); i++) {
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 64 << 10);
        if (pthread_create(&thread, &attributes, run, (void *)(intptr_t)i) != 0) {
            fprintf(stderr, "only %d threads\n", i);
            return 1;
        }
    }
    while (waiting < atoi(argv[1]))
        usleep(1000);
    printf("ready\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}
