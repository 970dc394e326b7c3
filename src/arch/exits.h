/*
 * arch/exits.h - how a function returns, read from its machine code: where the return address will be found, and the registers saved beside it.
 *
 * Inspector only; plain data handling. One of x86_64_exits.c, aarch64_exits.c is built. For code without call-frame information.
 */
#ifndef GMR_ARCH_EXITS_H
#define GMR_ARCH_EXITS_H

#include "arch/arch.h"

#define GMR__MAX_EXITS 4
#define GMR__MAX_EXIT_REGS 12

/* A value told by what a register holds now (base: its DWARF number): that + offset, or, where `memory` says so, the word stored there + add. */
struct gmr__term {
    uint8_t base;
    bool known, memory;
    int32_t offset, add;
};

struct gmr__exit {
    bool by_jump;                    /* by a jump through a pointer: a tail call, or a jump within the function */
    struct gmr__term address;        /* of the return address; where none was stored (aarch64): the return address */
    struct gmr__term sp;             /* the caller's */
    uint8_t count;                   /* callee-saved registers that have been taken back on the way */
    uint8_t reg[GMR__MAX_EXIT_REGS]; /* DWARF numbers */
    struct gmr__term value[GMR__MAX_EXIT_REGS];
};

/* Reads machine code: as many of `bytes` as there are, 0 if none. */
typedef size_t (*gmr__read_code)(void *userdata, uint64_t address, void *to, size_t bytes);

/* Follows the code from pc on until it returns or jumps elsewhere, both ways at each branch, over a bounded number of instructions. Stores the
 * different ways out, the nearest first; returns how many. Calls are taken to return. */
unsigned gmr__arch_exits(gmr__read_code read, void *userdata, uint64_t pc, struct gmr__exit exits[GMR__MAX_EXITS]);

#endif
