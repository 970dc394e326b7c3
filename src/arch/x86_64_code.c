/*
 * arch/x86_64_code.c - call instructions and the sigreturn trampoline of x86-64.
 *
 * Inspector only; plain data handling. Encodings: Intel SDM volume 2, CALL (E8, FF /2).
 */
#include "arch/code.h"

#include <stddef.h>
#include <string.h>
#include <sys/ucontext.h>

const unsigned gmr__arch_sigreturn_context = 0; /* the handler's return took the first word of the frame */
const unsigned gmr__arch_ucontext_bytes = offsetof(ucontext_t, uc_mcontext) + sizeof(mcontext_t);
const int gmr__arch_link = -1;

/* FF /2 with this ModRM byte: how many bytes the instruction has from FF on, 0 if it is another instruction. */
static unsigned call_length(unsigned char modrm, unsigned char sib)
{
    if ((modrm >> 3 & 7) != 2)
        return 0;
    unsigned mode = modrm >> 6, rm = modrm & 7, length = 2;
    if (mode == 3)
        return length;
    if (rm == 4) {
        length++;
        if (mode == 0 && (sib & 7) == 5)
            length += 4;
    } else if (mode == 0 && rm == 5) {
        length += 4;
    }
    return length + (mode == 1 ? 1 : mode == 2 ? 4 : 0);
}

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
    for (unsigned length = 2; length <= 7; length++)
        if (end[-(int)length] == 0xff &&
            call_length(end[1 - (int)length], length > 2 ? end[2 - (int)length] : 0) == length)
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
    if (bytes < 3 || (code[0] & 0xfc) != 0x48)
        return 0;
    unsigned mode = code[2] >> 6, reg = code[2] >> 3 & 7, rm = code[2] & 7;
    if (code[1] == 0x89)
        return mode == 3 && rm == 4 && reg != 4 && !(code[0] & 1) ? 3 : 0;
    if (code[1] != 0x8b || reg != 4)
        return 0;
    size_t length = 3 + (mode != 3 && rm == 4) + (mode == 1 ? 1 : mode == 2 || (mode == 0 && rm == 5) ? 4 : 0);
    return length <= bytes ? length : 0;
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

/* The few instructions of which hand-written switch routines are made. */
struct instruction {
    size_t length; /* 0: not known */
    int64_t moved;
};

/* Bytes of ModRM, SIB and displacement. */
static size_t operand_length(const unsigned char *at)
{
    unsigned mode = at[0] >> 6, rm = at[0] & 7;
    return 1 + (mode != 3 && rm == 4) + (mode == 1 ? 1 : mode == 2 || (mode == 0 && rm == 5) ? 4 : 0);
}

/* lea n(%rsp), %rsp; add and sub $n, %rsp. at: the ModRM byte. */
static bool moves_sp(unsigned char opcode, const unsigned char *at, int64_t *moved)
{
    int32_t wide;
    if (opcode == 0x8d && (at[0] == 0x64 || at[0] == 0xa4) && at[1] == 0x24) {
        memcpy(&wide, at + 2, sizeof(wide));
        *moved = at[0] == 0x64 ? (int8_t)at[2] : wide;
        return true;
    }
    if (opcode != 0x83 && opcode != 0x81)
        return false;
    memcpy(&wide, at + 1, sizeof(wide));
    int64_t by = opcode == 0x83 ? (int8_t)at[1] : wide;
    *moved = at[0] == 0xc4 ? by : -by;
    return at[0] == 0xc4 || at[0] == 0xec;
}

static struct instruction decode(const unsigned char *code)
{
    static const unsigned char with_operand[] = {0x89, 0x8b, 0x8d, 0x31, 0x33, 0x85, 0xd9, 0x83, 0x81};
    const unsigned char *at = code;
    if (memcmp(at, "\xf3\x0f\x1e\xfa", 4) == 0)
        return (struct instruction){4, 0};
    at += *at == 0x66 || *at == 0xf2 || *at == 0xf3;
    unsigned char rex = (*at & 0xf0) == 0x40 ? *at++ : 0, opcode = *at++;
    if ((opcode & 0xf8) == 0x50)
        return (struct instruction){(size_t)(at - code), -8};
    if ((opcode & 0xf8) == 0x58 && (opcode != 0x5c || rex & 1))
        return (struct instruction){(size_t)(at - code), 8};
    if (opcode == 0x0f && (*at == 0xae || *at == 0x10 || *at == 0x11 || *at == 0x28 || *at == 0x29 || *at == 0x1f))
        return (struct instruction){(size_t)(at + 1 - code) + operand_length(at + 1), 0};
    if (!memchr(with_operand, opcode, sizeof(with_operand)))
        return (struct instruction){0};
    struct instruction known = {(size_t)(at - code) + operand_length(at), 0};
    known.length += opcode == 0x83 ? 1 : opcode == 0x81 ? 4 : 0;
    bool to_sp =
        ((opcode == 0x8b || opcode == 0x8d) && (*at >> 3 & 7) == 4 && !(rex & 4)) ||
        ((opcode == 0x89 || opcode == 0x83 || opcode == 0x81) && *at >> 6 == 3 && (*at & 7) == 4 && !(rex & 1));
    return to_sp && !(rex & 8 && moves_sp(opcode, at, &known.moved)) ? (struct instruction){0} : known;
}

bool gmr__arch_sp_moved(const unsigned char *code, size_t bytes, int64_t *moved)
{
    unsigned char padded[16]; /* the last ones may seem to go on behind the end */
    *moved = 0;
    for (size_t at = 0; at < bytes;) {
        memset(padded, 0, sizeof(padded));
        memcpy(padded, code + at, bytes - at < sizeof(padded) ? bytes - at : sizeof(padded));
        struct instruction known = decode(padded);
        if (!known.length || known.length > bytes - at)
            return false;
        at += known.length;
        *moved += known.moved;
    }
    return true;
}
