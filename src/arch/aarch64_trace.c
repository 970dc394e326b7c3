/*
 * arch/aarch64_trace.c - a stopped thread's registers on 64-bit ARM.
 *
 * Inspector only, in the capturing process. EINTR can't be healed here: the kernel restarts a system call before the stop, from x0 as it
 * was (do_signal in arch/arm64/kernel/signal.c), and a result of -EINTR written later is the program's. The calls concerned are those
 * that signal(7) lists as never restarted; the documentation says so.
 */
#include "arch/trace.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

int gmr__arch_stopped(pid_t tid, struct gmr__stopped *stopped)
{
    uint64_t words[34];
    struct iovec vector = {words, sizeof(words)};
    *stopped = (struct gmr__stopped){.syscall = -1};
    if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &vector) != 0)
        return -errno;
    if (vector.iov_len != sizeof(words)) {
        stopped->foreign = true;
        return 0;
    }
    gmr__arch_regs_from_prstatus(&stopped->regs, words, vector.iov_len);
    int call = -1;
    vector = (struct iovec){&call, sizeof(call)};
    if (ptrace(PTRACE_GETREGSET, tid, NT_ARM_SYSTEM_CALL, &vector) == 0 && call >= 0)
        stopped->syscall = call;
    vector = (struct iovec){&stopped->thread_pointer, sizeof(stopped->thread_pointer)};
    if (ptrace(PTRACE_GETREGSET, tid, NT_ARM_TLS, &vector) != 0)
        stopped->thread_pointer = 0;
    return 0;
}

/* struct rt_sigframe, arch/arm64/kernel/signal.c: siginfo (128 bytes), then a ucontext whose mcontext ends in records, the first of
 * which are the vector registers. */
enum { MCONTEXT = 128 + 176, SP = MCONTEXT + 256, PC = MCONTEXT + 264, RECORDS = MCONTEXT + 288 };

ptrdiff_t gmr__arch_find_signal_frame(const unsigned char *bytes, size_t count, size_t from, uint64_t address,
                                      uint64_t *sp, uint64_t *pc)
{
    static const uint32_t vectors[2] = {0x46508001, 528}; /* FPSIMD_MAGIC, its size: asm/sigcontext.h */
    from += (16 - (address + from)) & 15;
    for (; from + RECORDS + sizeof(vectors) <= count; from += 16) {
        if (memcmp(bytes + from + RECORDS, vectors, sizeof(vectors)) != 0)
            continue;
        memcpy(sp, bytes + from + SP, sizeof(*sp));
        memcpy(pc, bytes + from + PC, sizeof(*pc));
        return (ptrdiff_t)from;
    }
    return -1;
}
