/*
 * tests/green/bench_registry.c - what telling gmr of a green thread costs: add and delete, and a switch with and without.
 *
 * `bench_registry [rounds]`: nanoseconds a pair, hot (one after the other) and for 100,000 alive at once; nanoseconds a switch of the
 * test's own, plain and with gmr's counter and slot.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gmr/green.h"
#include "switch.h"

#define ALIVE 100000

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* the machine may be shared */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *here, **there;
static char stack[65536] __attribute__((aligned(16)));

static void body(void)
{
    for (;;)
        test_switch(there, &here);
}

static double switches(long rounds, uint32_t *counter)
{
    *there = test_prepare(stack + sizeof(stack), body);
    double start = now();
    for (long i = 0; i < rounds; i++) {
        if (counter)
            ++*(volatile uint32_t *)counter;
        test_switch(&here, there);
        if (counter)
            ++*(volatile uint32_t *)counter;
    }
    return (now() - start) / (double)rounds / 2;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 5000000;
    const struct gmr_layout *layout = gmr_green_layout(GMR_LAYOUT_LIBCORO);
    static struct gmr_green *all[ALIVE];
    void *slot = NULL;
    double start = now();
    for (long i = 0; i < rounds; i++)
        gmr_green_del(gmr_green_add(layout, stack, sizeof(stack), &slot, (void *)body, NULL));
    printf("add and delete, one after the other: %.1f ns\n", (now() - start) / (double)rounds);
    for (int again = 0; again < 3; again++) {
        start = now();
        for (int i = 0; i < ALIVE; i++)
            all[i] = gmr_green_add(layout, stack, sizeof(stack), &slot, (void *)body, NULL);
        for (int i = 0; i < ALIVE; i++)
            gmr_green_del(all[i]);
        printf("add and delete, %d alive (%s): %.1f ns\n", ALIVE, again ? "memory there" : "memory new",
               (now() - start) / ALIVE);
    }
    there = &slot;
    double plain = switches(rounds, NULL);
    struct gmr_green *green = gmr_green_add(layout, stack, sizeof(stack), &slot, (void *)body, NULL);
    printf("switch: %.2f ns; registered: %.2f ns", plain, switches(rounds, NULL));
    there = gmr_green_slot(green);
    printf("; with gmr's slot and counter: %.2f ns\n", switches(rounds, gmr_green_switches(green)));
    return 0;
}
