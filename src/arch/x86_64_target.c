/*
 * arch/x86_64_target.c - what the target's half needs of x86-64: a raw clone onto a stack of its own.
 *
 * libgmr only; async-signal-safe. Callers: report/spawn_as.c.
 */
#include "arch/target.h"

#include <stddef.h>

const char *const gmr__arch_register_names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
                                                "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip", NULL};

/* The child starts with the stack's end in its hands: it pops the function and its argument, and never returns to us. Only the registers
 * that the System V ABI lets a call destroy are used. */
__asm__(".text\n"
        ".hidden gmr__clone\n"
        ".globl gmr__clone\n"
        ".type gmr__clone,@function\n"
        "gmr__clone:\n"
        ".cfi_startproc\n"
        "    andq $-16, %rsi\n"
        "    subq $16, %rsi\n"
        "    movq %rdx, (%rsi)\n"
        "    movq %rcx, 8(%rsi)\n"
        "    movq %r8, %rdx\n"
        "    xorl %r10d, %r10d\n"
        "    xorl %r8d, %r8d\n"
        "    movl $56, %eax\n" /* SYS_clone */
        "    syscall\n"
        "    testq %rax, %rax\n"
        "    jz 1f\n"
        "    ret\n"
        "1:  .cfi_undefined rip\n"
        "    xorl %ebp, %ebp\n"
        "    popq %rax\n"
        "    popq %rdi\n"
        "    call *%rax\n"
        "    movl %eax, %edi\n"
        "    movl $231, %eax\n" /* SYS_exit_group */
        "    syscall\n"
        "    hlt\n"
        ".cfi_endproc\n"
        ".size gmr__clone, . - gmr__clone\n");
