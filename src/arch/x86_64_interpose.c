/*
 * arch/x86_64_interpose.c - makecontext as the preload library has it, for x86-64.
 *
 * libgmr-preload only; runs wherever the program calls makecontext. The stack's layout is that of glibc's makecontext.c: above the
 * stack pointer, which is 8 modulo 16, the return address, the arguments past the sixth, then uc_link.
 */
#include "arch/interpose.h"

/* al is kept, too: the function is variadic. */
__asm__(".text\n"
        ".globl makecontext\n"
        ".type makecontext,@function\n"
        "makecontext:\n"
        ".cfi_startproc\n"
        "    pushq %rdi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %rsi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %rdx\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %rcx\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %r8\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %r9\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %rax\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call gmr__context_made\n"
        "    movq %rax, %r11\n"
        "    popq %rax\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %r9\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %r8\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rcx\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rdx\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rsi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rdi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    jmpq *%r11\n"
        ".cfi_endproc\n"
        ".size makecontext,.-makecontext\n");

#define IN_REGISTERS 6

uint64_t gmr__context_mark(const ucontext_t *context, int arguments)
{
    uint64_t top = (uint64_t)(uintptr_t)context->uc_stack.ss_sp + context->uc_stack.ss_size;
    uint64_t more = arguments > IN_REGISTERS ? (uint64_t)arguments - IN_REGISTERS : 0;
    uint64_t sp = ((top - (more + 1) * 8) & ~(uint64_t)15) - 8;
    *(volatile uint64_t *)(uintptr_t)(sp - 8) = 0;
    return sp;
}

uint64_t gmr__context_return(const ucontext_t *context)
{
    return *(const uint64_t *)(uintptr_t)context->uc_mcontext.gregs[REG_RSP];
}
