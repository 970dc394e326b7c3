/*
 * tests/green/target_filters.c - green threads to pick from: waits of different age and reason, spares of a pool, one whose stack is nearly full.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gmr/green.h"
#include "switch.h"

#define STACK_BYTES 16384u

static char stacks[8][STACK_BYTES] __attribute__((aligned(16)));
static void *scheduler, *slots[8];
static int current;

static void __attribute__((noinline)) wait_here(void)
{
    test_switch(&slots[current], &scheduler);
    __asm__ volatile("" ::: "memory");
}

static void __attribute__((noinline)) body(void)
{
    for (;;)
        wait_here();
}

static void __attribute__((noinline)) body_with_much(void)
{
    char much[STACK_BYTES - 700];
    for (;;) {
        __asm__ volatile("" : : "r"(much) : "memory");
        wait_here();
    }
}

static struct gmr_green *start(int i, const char *name, uint64_t id, void (*function)(void))
{
    struct gmr_green *green =
        gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBCORO), stacks[i], STACK_BYTES, &slots[i], (void *)function, NULL);
    gmr_green_name(green, name);
    gmr_green_id(green, id);
    slots[i] = test_prepare(stacks[i] + STACK_BYTES, function);
    current = i;
    test_switch(&scheduler, &slots[i]);
    return green;
}

int main(void)
{
    static const char *const spares[] = {"spare-0", "spare-1", "spare-2"};
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    /* For half the time that the machine is up. */
    gmr_green_wait_since(start(0, "patient", 11, body), "data", NULL, now / 2);
    gmr_green_wait_since(start(1, "hasty", 12, body), "data", NULL, now);
    start(2, "full", 13, body_with_much);
    gmr_green_wait(start(3, "other", 14, body), "lock", &scheduler);
    start(4, "fifth", 1, body);
    for (int i = 0; i < 3; i++)
        gmr_green_idle(start(5 + i, spares[i], 2 + (uint64_t)i, body), true);
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
