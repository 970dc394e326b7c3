/*
 * arch/aarch64.c - registers and the system-call convention of 64-bit ARM Linux.
 *
 * Both halves. gmr__syscall is async-signal-safe; the rest is plain data handling. Register order of NT_PRSTATUS: struct user_pt_regs
 * (asm/ptrace.h); DWARF numbers: DWARF for the Arm 64-bit Architecture, x0..x30 0..30, sp 31, pc 32 (as elfutils counts it).
 */
#include "arch/arch.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>
#include <sys/ucontext.h>

const char gmr__arch_name[] = "aarch64";
const unsigned gmr__arch_sp = 31;
const unsigned gmr__arch_pc = 32;
const unsigned gmr__arch_fp = 29;
const unsigned gmr__arch_return = 30;
const unsigned gmr__arch_red_zone = 0;
const int gmr__arch_elf_machine = EM_AARCH64;

#define ALL_REGS ((1ULL << 33) - 1)

long gmr__syscall(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
    return x0;
}

bool gmr__arch_regs_from_prstatus(struct gmr__regs *regs, const void *prstatus, size_t bytes)
{
    if (bytes < 33 * sizeof(uint64_t)) /* regs[31], sp, pc; pstate is not needed */
        return false;
    *regs = (struct gmr__regs){.valid = ALL_REGS};
    memcpy(regs->value, prstatus, 33 * sizeof(uint64_t));
    regs->value[31] = gmr__arch_strip(regs->value[31]);
    return true;
}

bool gmr__arch_regs_from_ucontext(struct gmr__regs *regs, const void *ucontext, size_t bytes)
{
    enum { REGS = offsetof(ucontext_t, uc_mcontext) + offsetof(mcontext_t, regs) };
    if (bytes < REGS + 33 * sizeof(uint64_t))
        return false;
    *regs = (struct gmr__regs){.valid = ALL_REGS};
    memcpy(regs->value, (const char *)ucontext + REGS, 33 * sizeof(uint64_t));
    regs->value[31] = gmr__arch_strip(regs->value[31]);
    return true;
}

uint64_t gmr__arch_strip(uint64_t address)
{
    /* Authentication codes stand in bits 48 to 54 and, without tagged addresses, 56 to 63; bit 55 selects the half. Tags of memory, and
     * whatever else a program keeps in the byte that is ignored, stand in bits 56 to 63. User space is the lower half, of at most 48 bits
     * unless a program asks for more by a hint to mmap. */
    return address & ((1ULL << 48) - 1);
}

/* glibc's _dl_runtime_resolve: the head of the procedure linkage table pushed two words before it jumped there, which its CFI does not count;
 * so it has the return address above the CFA, where no function of a compiler's has it. Its first instruction comes even before that is said. */
int64_t gmr__arch_above_cfa(int64_t cfa_offset, const int64_t *return_offset, const unsigned char *code)
{
    enum { PUSHED = 16, SLOT = 8 };
    uint32_t word[GMR__BINDER_BYTES / 4];
    if (return_offset)
        return *return_offset == SLOT ? PUSHED : 0;
    if (cfa_offset != 0 || !code)
        return 0;
    memcpy(word, code, sizeof(word)); /* [bti c or nop] stp x8, x9, [sp, #-208]! */
    return (word[0] == 0xd503245f || word[0] == 0xd503201f) && word[1] == 0xa9b327e8 ? PUSHED : 0;
}
