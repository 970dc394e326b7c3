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

#define GMR__STUB_BYTES 16
/* Is this a stub that jumps through a word of memory (a procedure linkage table's)? Then *slot is that word's address. */
bool gmr__arch_stub_slot(const unsigned char *code, uint64_t address, uint64_t *slot);

/* Compilers' CFI is wrong at the end of a function that realigned its stack: the saved registers are back already. Is pc there? around:
 * GMR__EPILOGUE_BYTES, of which GMR__EPILOGUE_BEFORE in front of pc. */
#define GMR__EPILOGUE_BEFORE 4
#define GMR__EPILOGUE_BYTES 9
bool gmr__arch_registers_back(const unsigned char *around);

/* Do these bytes make the system call rt_sigreturn? Then a ucontext_t lies at sp + gmr__arch_sigreturn_context. */
bool gmr__arch_is_sigreturn(const unsigned char *code);
/* Where a thread may stand in it besides, from its start: no call-frame information describes the kernel's own. 0: nowhere. */
extern const unsigned gmr__arch_sigreturn_call;
extern const unsigned gmr__arch_sigreturn_context;
extern const unsigned gmr__arch_ucontext_bytes; /* that gmr__arch_regs_from_ucontext wants to see */
/* The return address of a function that has done nothing yet stands in a register (its DWARF number), or -1: on top of the stack. */
extern const int gmr__arch_link;
/* Is this a stub of the procedure linkage table? code: at `address`, of `bytes` in all. *slot: the address of the pointer that it jumps through. */
bool gmr__arch_plt_stub(const unsigned char *code, size_t bytes, uint64_t address, uint64_t *slot);

/* Linkers for aarch64 give the procedure linkage table no call-frame information. Is pc in a stub of it, or in its common head? around: GMR__STUB_AROUND
 * bytes, of which GMR__STUB_BEFORE in front of pc. The return address is in the link register; *pushed: by how much the stack pointer has moved. */
#define GMR__STUB_BEFORE 24
#define GMR__STUB_AROUND 52
bool gmr__arch_in_stub(const unsigned char *around, int64_t *pushed);

/* Of a routine that begins with these bytes: the offset behind the first instruction that loads the stack pointer from another register or
 * from memory, 0 if there is none. *end: where the routine ends by a return or an indirect jump after that; left alone if that isn't seen. */
size_t gmr__arch_loads_sp(const unsigned char *code, size_t bytes, size_t *end);

/* By how much the stack pointer moves while these instructions, which don't branch, are executed. False: one isn't known. */
bool gmr__arch_sp_moved(const unsigned char *code, size_t bytes, int64_t *moved);

#endif
