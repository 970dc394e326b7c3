/*
 * arch/x86_64_code.c - call instructions and the sigreturn trampoline of x86-64.
 *
 * Inspector only; plain data handling. Encodings: Intel SDM volume 2, CALL (E8, FF /2). Instructions are taken apart by x86_64_insn.c.
 */
#include "arch/code.h"

#include <stddef.h>
#include <string.h>
#include <sys/ucontext.h>

#include "arch/x86_64_insn.h"

enum { RSP = 4 }; /* its number in instructions */

const unsigned gmr__arch_sigreturn_context = 0; /* the handler's return took the first word of the frame */
const unsigned gmr__arch_ucontext_bytes = offsetof(ucontext_t, uc_mcontext) + sizeof(mcontext_t);
const unsigned gmr__arch_sigreturn_call = 0;
const int gmr__arch_link = -1;

bool gmr__arch_call_before(const unsigned char *before, uint64_t return_address, uint64_t *target)
{
    const unsigned char *end = before + GMR__CALL_BYTES;
    *target = 0;
    if (end[-5] == 0xe8) {
        int32_t distance;
        memcpy(&distance, end - 4, sizeof(distance));
        *target = return_address + (uint64_t)(int64_t)distance;
        return true;
    }
    struct gmr__insn insn;
    for (const unsigned char *at = end - 2; at >= end - 7; at--)
        if (*at == 0xff && gmr__x86_64_decode(at, (size_t)(end - at), &insn) && at + insn.length == end &&
            (insn.modrm >> 3 & 7) == 2)
            return true;
    return false;
}

bool gmr__arch_is_sigreturn(const unsigned char *code)
{
    static const unsigned char glibc_and_musl[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}; /* mov $15, %rax */
    static const unsigned char short_form[] = {0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05};                 /* mov $15, %eax */
    return memcmp(code, glibc_and_musl, sizeof(glibc_and_musl)) == 0 ||
           memcmp(code, short_form, sizeof(short_form)) == 0;
}

/* [endbr64] [bnd] jmp *displacement(%rip) */
bool gmr__arch_plt_stub(const unsigned char *code, size_t bytes, uint64_t address, uint64_t *slot)
{
    static const unsigned char endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
    size_t at = 0;
    int32_t displacement;
    if (bytes >= sizeof(endbr64) && memcmp(code, endbr64, sizeof(endbr64)) == 0)
        at = sizeof(endbr64);
    if (at < bytes && code[at] == 0xf2)
        at++;
    if (bytes < at + 6 || code[at] != 0xff || code[at + 1] != 0x25)
        return false;
    memcpy(&displacement, code + at + 2, sizeof(displacement));
    *slot = address + at + 6 + (uint64_t)(int64_t)displacement;
    return true;
}

bool gmr__arch_in_stub(const unsigned char *around, int64_t *pushed)
{
    (void)around;
    (void)pushed;
    return false; /* linkers describe it */
}

bool gmr__arch_stub_slot(const unsigned char *code, uint64_t address, uint64_t *slot)
{
    return gmr__arch_plt_stub(code, GMR__STUB_BYTES, address, slot);
}

/* gcc ends such a function with pop %rbp; lea -8(%r10), %rsp; ret, and says until the end that rbp stands at 0(%rbp). */
static bool restores_sp(const unsigned char *code)
{
    return code[0] == 0x49 && code[1] == 0x8d && (code[2] & 0xf8) == 0x60 && code[2] != 0x64 && code[3] == 0xf8;
}

bool gmr__arch_registers_back(const unsigned char *around)
{
    const unsigned char *pc = around + GMR__EPILOGUE_BEFORE;
    return (restores_sp(pc) && pc[4] == 0xc3) || (pc[0] == 0xc3 && restores_sp(around));
}

/* mov r/m64, %rsp (8B) or mov %r64, %rsp (89): its length, 0 if it is another instruction. */
static size_t loads_sp(const unsigned char *code, size_t bytes)
{
    struct gmr__insn insn;
    if ((code[0] & 0xfc) != 0x48 || !gmr__x86_64_decode(code, bytes, &insn) || insn.map != GMR__MAP_ONE)
        return 0;
    unsigned reg = insn.modrm >> 3 & 7;
    bool loads = insn.opcode == 0x89 ? (insn.modrm & 0xc7) == 0xc4 && reg != RSP && !(insn.rex & 1)
                                     : insn.opcode == 0x8b && reg == RSP;
    return loads ? insn.length : 0;
}

size_t gmr__arch_loads_sp(const unsigned char *code, size_t bytes, size_t *end)
{
    size_t found = 0;
    for (size_t i = 0; !found && i < bytes; i++)
        if (loads_sp(code + i, bytes - i))
            found = i + loads_sp(code + i, bytes - i);
    for (size_t i = found; found && i + 1 < bytes; i++) {
        bool jump = code[i] == 0xff && (code[i + 1] & 0xf8) == 0xe0;
        if (code[i] == 0xc3 || jump) {
            *end = i + 1 + jump;
            break;
        }
    }
    return found;
}

/* lea n(%rsp), %rsp; add and sub $n, %rsp. */
static bool moves_sp(const struct gmr__insn *insn, int64_t *moved)
{
    if (!(insn->rex & 8))
        return false;
    if (insn->opcode == 0x8d) {
        *moved = insn->displacement;
        return insn->base == RSP;
    }
    *moved = insn->modrm == 0xc4 ? insn->immediate : -insn->immediate;
    return (insn->opcode == 0x83 || insn->opcode == 0x81) && (insn->modrm == 0xc4 || insn->modrm == 0xec);
}

/* Is it one of the few instructions of which hand-written switch routines are made? By how much it moves the stack pointer. */
static bool is_known(const struct gmr__insn *insn, int64_t *moved)
{
    static const uint8_t with_operand[] = {0x89, 0x8b, 0x8d, 0x31, 0x33, 0x85, 0xd9, 0x83, 0x81};
    static const uint8_t with_operand_0f[] = {0xae, 0x10, 0x11, 0x28, 0x29, 0x1e, 0x1f};
    uint8_t op = insn->opcode, rex = insn->rex;
    *moved = 0;
    if (insn->map == GMR__MAP_0F)
        return memchr(with_operand_0f, op, sizeof(with_operand_0f));
    if (insn->vector || insn->map != GMR__MAP_ONE)
        return false;
    if ((op & 0xf8) == 0x50) {
        *moved = -8;
        return true;
    }
    if ((op & 0xf8) == 0x58) {
        *moved = 8;
        return op != 0x5c || rex & 1;
    }
    if (!memchr(with_operand, op, sizeof(with_operand)))
        return false;
    bool to_sp = ((op == 0x8b || op == 0x8d) && (insn->modrm >> 3 & 7) == RSP && !(rex & 4)) ||
                 ((op == 0x89 || op == 0x83 || op == 0x81) && (insn->modrm & 0xc7) == 0xc4 && !(rex & 1));
    return !to_sp || moves_sp(insn, moved);
}

bool gmr__arch_sp_moved(const unsigned char *code, size_t bytes, int64_t *moved)
{
    struct gmr__insn insn;
    *moved = 0;
    for (size_t at = 0; at < bytes; at += insn.length) {
        int64_t by;
        if (!gmr__x86_64_decode(code + at, bytes - at, &insn) || !is_known(&insn, &by))
            return false;
        *moved += by;
    }
    return true;
}
