/*
 * tests/engine/fallback.c - a program with libgmr that reports itself where no inspector can run: as under qemu-user, for another processor.
 *
 * Prints a report made by signals, then, with an argument, crashes. tools/check-aarch64 runs it and reads what it wrote.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gmr/gmr.h"

static int queue(struct gmr_writer *w, void *userdata)
{
    return gmr_put_int(w, "queued", 42);
}

static volatile int never;

static __attribute__((noinline)) void deep(int depth)
{
    volatile char room[100];
    memset((void *)room, depth, sizeof(room));
    if (depth)
        deep(depth - 1);
    else
        while (!never)
            pause();
    room[depth] = 1;
}

static void *sleeper(void *unused)
{
    deep(5);
    return NULL;
}

int main(int argc, char **argv)
{
    struct gmr_options options = {.size = sizeof(options), .product = "fallback", .crash = GMR_ON};
    pthread_t thread;
    if (gmr_setup_autorun(&options) != 0 || gmr_register_section("Queue", queue, NULL) != 0)
        return 2;
    pthread_create(&thread, NULL, sleeper, NULL);
    sleep(1); /* it stands in pause() then; where it does not, its stack is another, no less right */
    if (gmr_report_write(1, GMR_VIEW_TEXT) != 0)
        return 3;
    fflush(stdout);
    if (argc > 1)
        *(volatile int *)(uintptr_t)(argc - 2) = 1;
    return 0;
}
