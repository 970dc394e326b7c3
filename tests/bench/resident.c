/*
 * tests/bench/resident.c - a daemon that does nothing, with libgmr set up (WITH_GMR) and without: what an idle libgmr takes is the difference.
 *
 * resident TIMES: sets up so often (shutting down in between), prints the shortest time in microseconds, and waits to be ended. For resident.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef WITH_GMR
#include <gmr/gmr.h>
#endif

static long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    long shortest_us = -1;
    for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 1); i++) {
#ifdef WITH_GMR
        struct gmr_options options = {.size = sizeof(options), .product = "resident"};
        if (i > 0)
            gmr_shutdown();
        long began_us = now_us();
        if (gmr_setup_autorun(&options) != 0)
            fprintf(stderr, "%s\n", gmr_setup_message());
#else
        long began_us = now_us();
#endif
        long took_us = now_us() - began_us;
        if (shortest_us < 0 || took_us < shortest_us)
            shortest_us = took_us;
    }
    printf("%ld\n", shortest_us);
    fflush(stdout);
    for (;;)
        pause();
}
