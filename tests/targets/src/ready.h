/*
 * ready.h - what every target shares: it tells on standard output when all of its threads stand where they shall stand.
 */
#ifndef READY_H
#define READY_H

#include <stdio.h>
#include <unistd.h>

static int arrived;

/* Called by each thread as the last thing before it blocks. */
static inline void arrive(void)
{
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
}

/* Called by main when it has started them: waits for `count` threads, then says so. */
static inline void ready(int count)
{
    while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < count)
        usleep(1000);
    printf("ready\n");
    fflush(stdout);
}

#endif
