/*
 * tests/green/target_many.c - very many green threads, some of which switch all the time.
 *
 *     target_many COUNT DEPTH HOT_PER_THOUSAND [counted] [spin]
 *
 * Each goes DEPTH calls deep and comes back from there. HOT of them take turns at full speed (spin), each in every turn at another
 * depth: the frames that a report may show are step, down ... down, body. counted: with gmr's switch counter. What it switched stands in
 * the file that the environment's GREEN_COUNT names, when it is ended with SIGTERM.
 */
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

static struct fiber *fibers, *current;
static void *scheduler;
static volatile sig_atomic_t quit;
static unsigned long long switched, turns;

static void __attribute__((noinline)) step(void)
{
    struct fiber *self = current;
    turns++;
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
    switched++;
}

static void on_term(int number)
{
    (void)number;
    quit = 1;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 10, depth = argc > 2 ? strtoul(argv[2], NULL, 10) : 11;
    size_t hot = argc > 3 ? count * strtoul(argv[3], NULL, 10) / 1000 : 0;
    bool counted = false, spin = false;
    for (int i = 4; i < argc; i++) {
        counted = counted || strcmp(argv[i], "counted") == 0;
        spin = spin || strcmp(argv[i], "spin") == 0;
    }
    signal(SIGTERM, on_term);
    fibers = calloc(count, sizeof(*fibers));
    char *stacks =
        mmap(NULL, count * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!fibers || stacks == MAP_FAILED)
        return 1;
    madvise(stacks, count * STACK_BYTES, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < count; i++) {
        char *stack = stacks + i * STACK_BYTES;
        fibers[i].depth = (unsigned)depth;
        fibers[i].green =
            gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBCORO), stack, STACK_BYTES, NULL, (void *)body, NULL);
        if (!fibers[i].green)
            return 1;
        fibers[i].slot = gmr_green_slot(fibers[i].green);
        fibers[i].switches = counted ? gmr_green_switches(fibers[i].green) : NULL;
        *fibers[i].slot = test_prepare(stack + STACK_BYTES, body);
        run(&fibers[i]);
    }
    puts("ready");
    fflush(stdout);
    while (!quit) {
        if (!spin || !hot)
            pause();
        for (size_t i = 0; i < hot; i++)
            run(&fibers[count / hot * i]);
    }
    const char *path = getenv("GREEN_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%llu\n", switched);
        fclose(file);
    }
    return turns == switched ? 0 : 3; /* no switch was lost */
}
