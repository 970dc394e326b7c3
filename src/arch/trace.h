/*
 * arch/trace.h - registers of a thread that stands in a ptrace stop, and what a signal frame looks like.
 *
 * Inspector only (the capturing process). One of x86_64_trace.c, aarch64_trace.c is built.
 */
#ifndef GMR_ARCH_TRACE_H
#define GMR_ARCH_TRACE_H

#include <sys/types.h>

#include "arch/arch.h"

struct gmr__stopped {
    struct gmr__regs regs;
    int64_t syscall;         /* the call it stands in, -1 if none */
    uint64_t thread_pointer; /* fs base, tpidr; 0 unknown */
    bool foreign;            /* runs the code of another ABI (32 bit): regs are of no use */
};

/* Reads the registers and undoes what the stop does to the target: a system call that the kernel ends with EINTR because of the stop
 * alone starts again (where the architecture allows that). 0, -ESRCH: it does not stand (any more). */
int gmr__arch_stopped(pid_t tid, struct gmr__stopped *stopped);

/* Looks through a piece of a stack, from offset `from` on, for what the kernel lays there for a signal handler. address: of the
 * first byte. The offset of the frame found, with the interrupted *sp and *pc, or -1. Not proof: a stale frame looks the same. */
ptrdiff_t gmr__arch_find_signal_frame(const unsigned char *bytes, size_t count, size_t from, uint64_t address,
                                      uint64_t *sp, uint64_t *pc);

#endif
