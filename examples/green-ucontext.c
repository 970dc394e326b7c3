/*
 * examples/green-ucontext.c - a small scheduler on makecontext and swapcontext whose green threads show up in reports.
 *
 * Three workers take turns on one OS thread, each with its own stack. The scheduler tells gmr when it makes one and when it is gone, and
 * nothing at a switch. With --wait it stops switching and waits for a report: `kill -USR2 PID`, or `gmr report PID`.
 *
 *     cc -o green-ucontext green-ucontext.c -lgmr
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include <gmr/gmr.h>
#include <gmr/green.h>

#define STACK_BYTES (64 * 1024)

struct worker {
    ucontext_t context;
    struct gmr_green *green;
    void *stack;
    const char *name;
    int depth, done;
};

static ucontext_t scheduler;
static struct worker *current;
static volatile sig_atomic_t quit;

/* Back to the scheduler; `why` is what reports say of the wait. */
static void yield(const char *why)
{
    gmr_green_wait(current->green, why, NULL);
    swapcontext(&current->context, &scheduler);
    gmr_green_wait(current->green, NULL, NULL);
}

/* Something for the stack to show. */
static int __attribute__((noinline)) descend(int levels)
{
    if (levels > 0) {
        int below = descend(levels - 1);
        return below + 1; /* not a tail call */
    }
    yield("its next turn");
    return 0;
}

static void __attribute__((noinline)) work(void)
{
    while (!quit)
        descend(current->depth);
    current->done = 1;
    swapcontext(&current->context, &scheduler);
}

static int start(struct worker *worker, const char *name, int depth)
{
    worker->stack = malloc(STACK_BYTES);
    if (!worker->stack || getcontext(&worker->context) < 0)
        return -1;
    worker->name = name;
    worker->depth = depth;
    worker->context.uc_stack.ss_sp = worker->stack;
    worker->context.uc_stack.ss_size = STACK_BYTES;
    worker->context.uc_link = &scheduler;
    makecontext(&worker->context, work, 0);
    worker->green = gmr_green_add(gmr_green_layout(GMR_LAYOUT_UCONTEXT), worker->stack, STACK_BYTES, &worker->context,
                                  (void *)work, worker);
    gmr_green_name(worker->green, name);
    return 0;
}

static void on_signal(int number)
{
    (void)number;
    quit = 1;
}

int main(int argc, char **argv)
{
    static struct worker workers[3];
    static const char *const names[] = {"reader", "parser", "writer"};
    struct gmr_options options = {.size = sizeof(options), .product = "green-ucontext", .version = "1"};
    gmr_setup_autorun(&options);
    signal(SIGTERM, on_signal);
    for (int i = 0; i < 3; i++)
        if (start(&workers[i], names[i], 1 + i) < 0)
            return 1;
    int rounds = argc > 1 && strcmp(argv[1], "--wait") == 0 ? 5 : 1000000;
    for (int round = 0; round < rounds && !quit; round++) {
        for (int i = 0; i < 2; i++) { /* the writer has not had its first turn yet */
            current = &workers[i];
            swapcontext(&scheduler, &current->context);
        }
    }
    puts("ready");
    fflush(stdout);
    while (!quit && rounds == 5)
        pause();
    for (int i = 0; i < 3; i++) {
        gmr_green_del(workers[i].green);
        free(workers[i].stack);
    }
    return 0;
}
