/*
 * tests/green/target_many.c - very many green threads, some of which switch all the time.
 *
 *     target_many COUNT DEPTH HOT_PER_THOUSAND [counted] [spin] [bound] [two]
 *
 * Each goes DEPTH calls deep and comes back from there. HOT of them take turns at full speed (spin), each in every turn at another
 * depth: the frames that a report may show are step, down ... down, body. counted: with gmr's switch counter. bound: to their OS thread, of which with
 * `two` there are two, each with half of them. What it switched stands in
 * the file that the environment's GREEN_COUNT names, when it is ended with SIGTERM.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmr/green.h"
#include "switch.h"

#define STACK_BYTES 8192u

struct fiber {
    void **slot;
    uint32_t *switches; /* NULL: not counted */
    struct gmr_green *green;
    unsigned depth;
};

static __thread struct fiber *current;
static __thread void *scheduler;
static __thread unsigned long long my_switched, my_turns;
static size_t count, hot;
static unsigned long depth;
static bool counted, spin, bound;
static struct gmr_layout layout;
static pthread_barrier_t made;
static volatile sig_atomic_t quit;
static unsigned long long switched, turns;

static void __attribute__((noinline)) step(void)
{
    struct fiber *self = current;
    my_turns++;
    test_switch(self->slot, &scheduler);
    __asm__ volatile("" ::: "memory");
}

static int __attribute__((noinline)) down(unsigned levels)
{
    if (levels > 1) {
        int below = down(levels - 1);
        __asm__ volatile("" ::: "memory");
        return below + 1;
    }
    step();
    __asm__ volatile("" ::: "memory");
    return 1;
}

static void __attribute__((noinline)) body(void)
{
    for (;;) {
        struct fiber *self = current;
        if (down(self->depth) != (int)self->depth)
            abort();
        self->depth = self->depth % 13 + 1;
    }
}

static void run(struct fiber *fiber)
{
    current = fiber;
    if (fiber->switches)
        ++*(volatile uint32_t *)fiber->switches;
    test_switch(&scheduler, fiber->slot);
    if (fiber->switches)
        ++*(volatile uint32_t *)fiber->switches;
    my_switched++;
}

static void on_term(int number)
{
    (void)number;
    quit = 1;
}

static void *schedule(void *unused)
{
    struct fiber *fibers = calloc(count, sizeof(*fibers));
    char *stacks =
        mmap(NULL, count * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!fibers || stacks == MAP_FAILED)
        exit(1);
    madvise(stacks, count * STACK_BYTES, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < count; i++) {
        char *stack = stacks + i * STACK_BYTES;
        fibers[i].depth = (unsigned)depth;
        fibers[i].green = gmr_green_add(&layout, stack, STACK_BYTES, NULL, (void *)body, NULL);
        if (!fibers[i].green)
            exit(1);
        if (bound && i % 2)
            gmr_green_bound(fibers[i].green); /* the others' layout says so */
        fibers[i].slot = gmr_green_slot(fibers[i].green);
        fibers[i].switches = counted ? gmr_green_switches(fibers[i].green) : NULL;
        *fibers[i].slot = test_prepare(stack + STACK_BYTES, body);
        run(&fibers[i]);
    }
    pthread_barrier_wait(&made);
    while (!quit) {
        if (!spin || !hot)
            usleep(20000);
        for (size_t i = 0; spin && i < hot; i++)
            run(&fibers[count / hot * i]);
    }
    __atomic_fetch_add(&switched, my_switched, __ATOMIC_RELAXED);
    __atomic_fetch_add(&turns, my_turns, __ATOMIC_RELAXED);
    free(fibers);
    return unused;
}

static bool has(int argc, char **argv, const char *word)
{
    for (int i = 4; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    bool two = has(argc, argv, "two");
    pthread_t other;
    count = (argc > 1 ? strtoul(argv[1], NULL, 10) : 10) / (two ? 2 : 1);
    depth = argc > 2 ? strtoul(argv[2], NULL, 10) : 11;
    hot = argc > 3 ? count * strtoul(argv[3], NULL, 10) / 1000 : 0;
    counted = has(argc, argv, "counted");
    spin = has(argc, argv, "spin");
    bound = has(argc, argv, "bound");
    layout = *gmr_green_layout(GMR_LAYOUT_LIBCORO);
    if (bound)
        layout.flags |= GMR_LAYOUT_BOUND;
    signal(SIGTERM, on_term);
    pthread_barrier_init(&made, NULL, two ? 3 : 2);
    pthread_t first;
    if (pthread_create(&first, NULL, schedule, NULL) || (two && pthread_create(&other, NULL, schedule, NULL)))
        return 1;
    pthread_barrier_wait(&made);
    puts("ready");
    fflush(stdout);
    while (!quit)
        usleep(20000); /* the signal may have gone to another thread */
    pthread_join(first, NULL);
    if (two)
        pthread_join(other, NULL);
    const char *path = getenv("GREEN_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%llu\n", switched);
        fclose(file);
    }
    return turns == switched ? 0 : 3; /* no switch was lost */
}
