/*
 * arch/arch.h - all that knows a register or a system call's calling convention. One of x86_64.c, aarch64.c is built.
 *
 * The system-call stub is used in both halves and is async-signal-safe; the register helpers are plain data handling.
 */
#ifndef GMR_ARCH_ARCH_H
#define GMR_ARCH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GMR__MAX_REGS 34

/* General registers by their DWARF number (x86-64: rax 0, rdx 1, rcx 2, rbx 3, rsi 4, rdi 5, rbp 6, rsp 7, r8..r15, rip 16;
 * aarch64: x0..x30, sp 31, pc 32). valid: bit n set if value[n] is known. */
struct gmr__regs {
    uint64_t value[GMR__MAX_REGS];
    uint64_t valid;
};

extern const char gmr__arch_name[]; /* "x86_64", "aarch64" */
extern const unsigned gmr__arch_sp; /* DWARF numbers */
extern const unsigned gmr__arch_pc;
extern const unsigned gmr__arch_fp;
extern const unsigned gmr__arch_return;   /* the column CFI gives for the return address */
extern const unsigned gmr__arch_red_zone; /* bytes below sp that may be in use */
extern const int gmr__arch_elf_machine;

/* Raw system call: returns the kernel's value, -errno on failure; touches neither errno nor TLS. Async-signal-safe. */
long gmr__syscall(long number, long a, long b, long c, long d, long e, long f);

/* From what PTRACE_GETREGSET NT_PRSTATUS (or a core's pr_reg) holds. False if `bytes` is too few. */
bool gmr__arch_regs_from_prstatus(struct gmr__regs *regs, const void *prstatus, size_t bytes);
/* The same from a ucontext_t's uc_mcontext, as signal handlers and swapcontext leave it. */
bool gmr__arch_regs_from_ucontext(struct gmr__regs *regs, const void *ucontext, size_t bytes);
/* An address without what is no part of it: pointer-authentication bits of a return address, the tag of a stack pointer. Identity on
 * x86-64. */
uint64_t gmr__arch_strip(uint64_t address);
/* Call-frame information that has the CFA at sp + cfa_offset, and the return address at CFA + *return_offset or (return_offset NULL) still in its
 * register: how far above that CFA is the caller's stack pointer? Not 0 only in the dynamic linker's lazy binder on aarch64. code:
 * GMR__BINDER_BYTES at the instruction that is executed next, or NULL. */
#define GMR__BINDER_BYTES 8
int64_t gmr__arch_above_cfa(int64_t cfa_offset, const int64_t *return_offset, const unsigned char *code);

#endif
