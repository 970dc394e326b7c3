/*
 * arch/x86_64.c - registers and the system-call convention of x86-64 Linux.
 *
 * Both halves. gmr__syscall is async-signal-safe; the rest is plain data handling. Register order of NT_PRSTATUS: struct user_regs_struct
 * (sys/user.h); of a signal frame: gregs[] in sys/ucontext.h; DWARF numbers: System V ABI, AMD64 supplement, figure 3.36.
 */
#include "arch/arch.h"

#include <elf.h>
#include <stddef.h>
#include <sys/ucontext.h>
#include <sys/user.h>

const char gmr__arch_name[] = "x86_64";
const unsigned gmr__arch_sp = 7;
const unsigned gmr__arch_pc = 16;
const unsigned gmr__arch_fp = 6;
const unsigned gmr__arch_return = 16;
const unsigned gmr__arch_red_zone = 128;
const int gmr__arch_elf_machine = EM_X86_64;

long gmr__syscall(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

bool gmr__arch_regs_from_prstatus(struct gmr__regs *regs, const void *prstatus, size_t bytes)
{
    if (bytes < sizeof(struct user_regs_struct))
        return false;
    const struct user_regs_struct *u = prstatus;
    *regs = (struct gmr__regs){.value = {u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi, u->rbp, u->rsp, u->r8, u->r9,
                                         u->r10, u->r11, u->r12, u->r13, u->r14, u->r15, u->rip},
                               .valid = (1u << 17) - 1};
    return true;
}

bool gmr__arch_regs_from_ucontext(struct gmr__regs *regs, const void *ucontext, size_t bytes)
{
    if (bytes < offsetof(ucontext_t, uc_mcontext) + sizeof(mcontext_t))
        return false;
    const ucontext_t *context = ucontext;
    static const int from[17] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
                                 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    for (unsigned i = 0; i < 17; i++)
        regs->value[i] = (uint64_t)context->uc_mcontext.gregs[from[i]];
    regs->valid = (1u << 17) - 1;
    return true;
}

uint64_t gmr__arch_strip(uint64_t address)
{
    return address;
}

int64_t gmr__arch_above_cfa(int64_t cfa_offset, const int64_t *return_offset, const unsigned char *code)
{
    (void)cfa_offset;
    (void)return_offset;
    (void)code;
    return 0;
}
