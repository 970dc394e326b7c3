/*
 * arch/aarch64_target.c - what the target's half needs of aarch64: a raw clone onto a stack of its own.
 *
 * libgmr only; async-signal-safe. Callers: report/spawn_as.c.
 */
#include "arch/target.h"

#include <stddef.h>

const char *const gmr__arch_register_names[] = {"x0",  "x1",  "x2",  "x3",  "x4",  "x5",  "x6",  "x7",  "x8",
                                                "x9",  "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
                                                "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26",
                                                "x27", "x28", "x29", "x30", "sp",  "pc",  NULL};

__asm__(".text\n"
        ".hidden gmr__clone\n"
        ".globl gmr__clone\n"
        ".type gmr__clone,%function\n"
        "gmr__clone:\n"
        ".cfi_startproc\n"
        "    and x1, x1, #-16\n"
        "    stp x2, x3, [x1, #-16]!\n"
        "    mov x2, x4\n"
        "    mov x3, xzr\n"
        "    mov x4, xzr\n"
        "    mov x8, #220\n" /* SYS_clone */
        "    svc #0\n"
        "    cbz x0, 1f\n"
        "    ret\n"
        "1:  .cfi_undefined x30\n"
        "    mov x29, xzr\n"
        "    ldp x2, x0, [sp], #16\n"
        "    blr x2\n"
        "    mov x8, #94\n" /* SYS_exit_group */
        "    svc #0\n"
        "    brk #0\n"
        ".cfi_endproc\n"
        ".size gmr__clone, . - gmr__clone\n");
