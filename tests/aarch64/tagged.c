/*
 * tests/aarch64/tagged.c - threads and a green thread whose stacks lie in tagged memory: their stack pointers carry a tag in the top byte.
 *
 * Built with memory tagging and, as all that Debian calls hardened, with pointer authentication and landing pads. Prints "ready"; functions are named for
 * what test_machine.py expects. "crash": then reads memory by a pointer of another tag.
 */
#include <arm_acle.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "gmr/adapters/ucontext.h"
#include "gmr/gmr.h"

#define KEEP __attribute__((noinline, noclone, used))
#define AFTER __asm__ volatile("" ::: "memory") /* what stands before is no tail call */
#define STACK_BYTES (256u << 10)
#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif

static ucontext_t scheduler, green;
static const char *mode = "";

static char *tagged_stack(void)
{
    char *memory = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE | PROT_MTE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(2);
    memory = __arm_mte_create_random_tag(memory, 1); /* not tag 0, which is none */
    for (size_t at = 0; at < STACK_BYTES; at += 16)
        __arm_mte_set_tag(memory + at);
    return memory;
}

KEEP void tagged_inner(void)
{
    for (;;)
        pause();
}

KEEP void tagged_outer(size_t bytes)
{
    char room[bytes]; /* from here on the frame is found by x29, which has the tag, too */
    memset(room, 1, bytes);
    tagged_inner();
    AFTER;
}

static void *run(void *unused)
{
    prctl(PR_SET_NAME, "on tagged stack");
    tagged_outer(100);
    return unused;
}

KEEP void green_inner(void)
{
    swapcontext(&green, &scheduler);
    AFTER;
}

KEEP void green_outer(void)
{
    green_inner();
    AFTER;
}

KEEP void crash(volatile char *other_tag)
{
    *other_tag = 1;
    AFTER;
}

int main(int argc, char **argv)
{
    struct gmr_options options = {.size = sizeof(options), .product = "tagged", .crash = GMR_ON};
    pthread_attr_t attributes;
    pthread_t thread;
    mode = argc > 1 ? argv[1] : "";
    prctl(PR_SET_PDEATHSIG, 9);
    if (prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE | PR_MTE_TCF_NONE | (0xfffeul << PR_MTE_TAG_SHIFT), 0, 0,
              0) != 0) {
        printf("no memory tags here\n");
        return 77;
    }
    if (gmr_setup_autorun(&options) != 0)
        return 3;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, tagged_stack(), STACK_BYTES);
    if (pthread_create(&thread, &attributes, run, NULL) != 0)
        return 4;
    getcontext(&green);
    green.uc_stack.ss_sp = tagged_stack();
    green.uc_stack.ss_size = STACK_BYTES;
    makecontext(&green, green_outer, 0);
    gmr_ucontext_add(&green, green_outer, NULL);
    swapcontext(&scheduler, &green);
    printf("ready\n");
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    if (strcmp(mode, "crash") == 0) {
        prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE | PR_MTE_TCF_SYNC | (0xfffeul << PR_MTE_TAG_SHIFT), 0, 0,
              0);
        crash((volatile char *)((uintptr_t)tagged_stack() ^ UINT64_C(0xf) << 56));
    }
    return 0;
}
