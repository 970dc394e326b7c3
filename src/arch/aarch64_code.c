/*
 * arch/aarch64_code.c - call instructions and the sigreturn trampoline of 64-bit ARM.
 *
 * Inspector only; plain data handling. Encodings: Arm ARM, BL, BLR, BLRAA and kin.
 */
#include "arch/code.h"

#include <stddef.h>
#include <string.h>
#include <sys/ucontext.h>

const unsigned gmr__arch_sigreturn_context = 128; /* behind the siginfo */
const unsigned gmr__arch_ucontext_bytes =
    offsetof(ucontext_t, uc_mcontext) + offsetof(mcontext_t, regs) + 33 * sizeof(uint64_t);
const unsigned gmr__arch_sigreturn_call = 4;
const int gmr__arch_link = 30;

bool gmr__arch_call_before(const unsigned char *before, uint64_t return_address, uint64_t *target)
{
    uint32_t word;
    memcpy(&word, before + GMR__CALL_BYTES - 4, sizeof(word));
    *target = 0;
    if (word >> 26 == 0x25) { /* BL */
        int64_t distance = (int64_t)((uint64_t)word << 38) >> 36;
        *target = return_address - 4 + (uint64_t)distance;
        return true;
    }
    return (word & 0xfffffc1f) == 0xd63f0000 || (word & 0xfefff800) == 0xd63f0800;
}

bool gmr__arch_is_sigreturn(const unsigned char *code)
{
    static const unsigned char vdso[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4}; /* mov x8, #139; svc #0 */
    return memcmp(code, vdso, sizeof(vdso)) == 0;
}

/* [bti c] adrp x16, page; ldr x17, [x16, offset] */
bool gmr__arch_plt_stub(const unsigned char *code, size_t bytes, uint64_t address, uint64_t *slot)
{
    uint32_t word[3] = {0};
    memcpy(word, code, bytes < sizeof(word) ? bytes : sizeof(word));
    unsigned at = word[0] == 0xd503245f;
    if (bytes < (at + 2) * sizeof(word[0]) || (word[at] & 0x9f00001f) != 0x90000010 ||
        (word[at + 1] & 0xffc003ff) != 0xf9400211)
        return false;
    uint64_t field = (uint64_t)(word[at] >> 5 & 0x7ffff) << 2 | (word[at] >> 29 & 3);
    int64_t pages = (int64_t)(field << 43) >> 43;
    *slot = ((address + at * 4) & ~UINT64_C(4095)) + (uint64_t)(pages * 4096) + (word[at + 1] >> 10 & 0xfff) * 8;
    return true;
}

/* [bti c] [stp x16, x30, [sp, #-16]!] adrp x16; ldr x17, [x16]; add x16, x16; [autia1716] br x17 */
bool gmr__arch_in_stub(const unsigned char *around, int64_t *pushed)
{
    enum { PC = GMR__STUB_BEFORE / 4, WORDS = GMR__STUB_AROUND / 4 };
    uint32_t word[WORDS];
    memcpy(word, around, sizeof(word));
    for (unsigned at = 2; at <= PC + 2; at++) {
        if ((word[at] & 0x9f00001f) != 0x90000010 || (word[at + 1] & 0xffc003ff) != 0xf9400211 ||
            (word[at + 2] & 0xffc003ff) != 0x91000210)
            continue;
        unsigned end = at + 3 + (word[at + 3] == 0xd503219f);
        unsigned start =
            at - (word[at - 1] == 0xa9bf7bf0); /* the head, by which a function is bound at its first call */
        bool head = start != at;
        start -= word[start - 1] == 0xd503245f;
        if (word[end] != 0xd61f0220 || PC < start || PC > end)
            continue;
        *pushed = head && PC >= at ? 16 : 0;
        return true;
    }
    return false;
}

bool gmr__arch_stub_slot(const unsigned char *code, uint64_t address, uint64_t *slot)
{
    (void)code;
    (void)address;
    (void)slot;
    return false; /* return addresses are not looked for on the stack here */
}

bool gmr__arch_registers_back(const unsigned char *around)
{
    (void)around;
    return false;
}

size_t gmr__arch_loads_sp(const unsigned char *code, size_t bytes, size_t *end)
{
    size_t found = 0;
    for (size_t i = 0; i + 4 <= bytes; i += 4) {
        uint32_t instruction;
        memcpy(&instruction, code + i, sizeof(instruction));
        /* add sp, xN, #n with N other than sp: mov sp, xN is one of them */
        if (!found && (instruction & 0xff80001fu) == 0x9100001fu && (instruction >> 5 & 31) != 31)
            found = i + 4;
        bool leaves = (instruction & 0xfffffc1fu) == 0xd61f0000u || (instruction & 0xfffffc1fu) == 0xd65f0000u;
        if (found && leaves) { /* br, ret */
            *end = i + 4;
            break;
        }
    }
    return found;
}

bool gmr__arch_sp_moved(const unsigned char *code, size_t bytes, int64_t *moved)
{
    (void)code;
    (void)bytes;
    (void)moved;
    return false; /* nothing asks: the return address is in a register */
}
