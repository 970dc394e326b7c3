/*
 * arch/x86_64_insn.h - how long an x86-64 instruction is, and its parts. Inspector only; private to src/arch.
 */
#ifndef GMR_ARCH_X86_64_INSN_H
#define GMR_ARCH_X86_64_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GMR__MAX_INSN_BYTES 15

enum { GMR__MAP_ONE, GMR__MAP_0F, GMR__MAP_0F38, GMR__MAP_0F3A };

struct gmr__insn {
    unsigned length;
    uint8_t map; /* of opcodes */
    uint8_t opcode, modrm, rex;
    bool has_modrm, vector; /* VEX, EVEX, XOP: never touches the stack pointer */
    uint8_t base;           /* register of the memory operand, 0xff: none, an index with it, or relative to pc */
    int32_t displacement;
    int64_t immediate; /* sign-extended; of a jump: the distance from the next instruction */
};

/* False: not an instruction that user code has, or it is longer than `bytes`. */
bool gmr__x86_64_decode(const unsigned char *code, size_t bytes, struct gmr__insn *insn);

#endif
