/*
 * tests/aarch64/lazy.c - crashes while the dynamic linker binds a function at its first call, so that the lazy binder stands within the stack.
 *
 * Built twice by tools/check-aarch64: with LIBRARY the shared library whose function is chosen by code that crashes, without it the program.
 */
#include <stdint.h>

int lazy_chosen(void);

#ifdef LIBRARY

static int (*choose(void))(void)
{
    *(volatile int *)(intptr_t)8 = 1;
    return 0;
}
int lazy_chosen(void) __attribute__((ifunc("choose")));

#else

#include "gmr/gmr.h"

#define KEEP __attribute__((noinline, noclone))

KEEP int lazy_inner(int number)
{
    volatile char room[64]; /* the return address is found by the stack pointer, not right behind it */
    room[number & 63] = 1;
    return lazy_chosen() + room[number & 63];
}

KEEP int lazy_outer(int number)
{
    return lazy_inner(number) + 1;
}

int main(int argc, char **argv)
{
    struct gmr_options options = {.size = sizeof(options), .product = "lazy", .crash = GMR_ON};
    (void)argv;
    return gmr_setup_autorun(&options) != 0 ? 3 : lazy_outer(argc);
}

#endif
