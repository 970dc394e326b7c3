/*
 * arch/aarch64_interpose.c - makecontext as the preload library has it, for aarch64.
 *
 * libgmr-preload only; runs wherever the program calls makecontext. glibc's leaves nothing on the stack that would tell later whether the
 * context ran or has ended: its start is in registers.
 */
#include "arch/interpose.h"

__asm__(".text\n"
        ".globl makecontext\n"
        ".type makecontext,%function\n"
        "makecontext:\n"
        ".cfi_startproc\n"
        "    stp x29, x30, [sp, #-80]!\n"
        "    .cfi_adjust_cfa_offset 80\n"
        "    .cfi_offset x29, -80\n"
        "    .cfi_offset x30, -72\n"
        "    stp x0, x1, [sp, #16]\n"
        "    stp x2, x3, [sp, #32]\n"
        "    stp x4, x5, [sp, #48]\n"
        "    stp x6, x7, [sp, #64]\n"
        "    bl gmr__context_made\n"
        "    mov x16, x0\n"
        "    ldp x0, x1, [sp, #16]\n"
        "    ldp x2, x3, [sp, #32]\n"
        "    ldp x4, x5, [sp, #48]\n"
        "    ldp x6, x7, [sp, #64]\n"
        "    ldp x29, x30, [sp], #80\n"
        "    .cfi_adjust_cfa_offset -80\n"
        "    br x16\n"
        ".cfi_endproc\n"
        ".size makecontext,.-makecontext\n");

uint64_t gmr__context_mark(const ucontext_t *context, int arguments)
{
    (void)context;
    (void)arguments;
    return 0;
}

uint64_t gmr__context_return(const ucontext_t *context)
{
    (void)context;
    return 0;
}
