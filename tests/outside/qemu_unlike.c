/*
 * tests/outside/qemu_unlike.c - what a QEMU would be whose coroutines are laid out otherwise: a guarded stack, and on the heap its address and size side
 * by side, but saved registers nowhere near.
 *
 * Tests only. Prints "ready", then waits for ever.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void qemu_aio_coroutine_enter(void);

/* The name that tells a QEMU. */
void qemu_aio_coroutine_enter(void)
{
}

int main(void)
{
    size_t bytes = (1 << 20) + 4096;
    char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t *owner = calloc(1, 4096);
    if (stack == MAP_FAILED || !owner || mprotect(stack, 4096, PROT_NONE) != 0)
        return 1;
    owner[20] = (uint64_t)(uintptr_t)stack;
    owner[21] = bytes;
    puts("ready");
    fflush(stdout);
    while (pause() != 0) {
    }
    return 1;
}
