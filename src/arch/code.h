/*
 * arch/code.h - the few instructions that gmr must recognise.
 *
 * Inspector only; plain data handling. One of x86_64_code.c, aarch64_code.c is built.
 */
#ifndef GMR_ARCH_CODE_H
#define GMR_ARCH_CODE_H

#include "arch/arch.h"

#define GMR__CALL_BYTES 8      /* before a return address: enough for any call instruction */
#define GMR__SIGRETURN_BYTES 9 /* of a trampoline */

/* Does a call instruction end at return_address? before: the GMR__CALL_BYTES bytes in front of it. *target: where it goes, 0 if that
 * is not in the instruction. */
bool gmr__arch_call_before(const unsigned char *before, uint64_t return_address, uint64_t *target);

/* Do these bytes make the system call rt_sigreturn? Then a ucontext_t lies at sp + gmr__arch_sigreturn_context. */
bool gmr__arch_is_sigreturn(const unsigned char *code);
extern const unsigned gmr__arch_sigreturn_context;
extern const unsigned gmr__arch_ucontext_bytes; /* that gmr__arch_regs_from_ucontext wants to see */
/* The return address of a function that has done nothing yet stands in a register (its DWARF number), or -1: on top of the stack. */
extern const int gmr__arch_link;

#endif
