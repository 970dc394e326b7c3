/*
 * arch/x86_64_trace.c - a stopped thread's registers on x86-64, and the healing of EINTR.
 *
 * Inspector only, in the capturing process.
 *
 * epoll_wait, sigtimedwait, semop, io_getevents, a recv with a time-out and others answer a signal or a stop with -EINTR and are not
 * restarted by the kernel (signal(7)). The stop is no business of the program's, so the result is turned into -ERESTARTNOHAND, which
 * arch_do_signal_or_restart (arch/x86/kernel/signal.c) restarts when no handler runs, and turns back into -EINTR when one does.
 */
#include "arch/trace.h"
#include "sys/word.h"

#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <sys/user.h>

#define KERNEL_ERESTARTNOHAND 514 /* include/linux/errno.h */
#define USER_CS 0x33              /* 64-bit code; 0x23 is 32-bit code */

static bool wants_healing(const struct user_regs_struct *u, bool foreign)
{
    int64_t call = foreign ? (int32_t)u->orig_rax : (int64_t)u->orig_rax;
    int64_t result = foreign ? (int32_t)u->rax : (int64_t)u->rax;
    /* close has given the descriptor back even when it says EINTR: once more would close somebody else's. */
    return call >= 0 && result == -EINTR && (foreign ? call != 6 : call != SYS_close);
}

int gmr__arch_stopped(pid_t tid, struct gmr__stopped *stopped)
{
    struct user_regs_struct u;
    if (ptrace(PTRACE_GETREGS, tid, NULL, &u) != 0)
        return -errno;
    *stopped = (struct gmr__stopped){.syscall = (int64_t)u.orig_rax, .thread_pointer = u.fs_base};
    stopped->foreign = (u.cs & 0xffff) != USER_CS;
    if (stopped->syscall < 0)
        stopped->syscall = -1;
    gmr__arch_regs_from_prstatus(&stopped->regs, &u, sizeof(u));
    if (wants_healing(&u, stopped->foreign))
        ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, regs.rax), (void *)(long)-KERNEL_ERESTARTNOHAND);
    return 0;
}

enum {
    CONTEXT = 8, /* struct rt_sigframe, arch/x86/include/asm/sigframe.h: the return address, then a ucontext */
    GREGS = CONTEXT + offsetof(ucontext_t, uc_mcontext.gregs),
    FRAME_BYTES = GREGS + sizeof(gregset_t),
};

static bool is_signal_frame(const unsigned char *frame)
{
    uint64_t segments = gmr__word(frame, GREGS + 8 * REG_CSGSFS);
    if ((segments & 0xffff) != USER_CS || (segments >> 48 != 0x2b && segments >> 48 != 0))
        return false;
    uint64_t flags = gmr__word(frame, GREGS + 8 * REG_EFL);
    return (flags & 2) && !(flags >> 22) && gmr__word(frame, CONTEXT) <= 0xff &&
           !gmr__word(frame, CONTEXT + offsetof(ucontext_t, uc_link));
}

ptrdiff_t gmr__arch_find_signal_frame(const unsigned char *bytes, size_t count, size_t from, uint64_t address,
                                      uint64_t *sp, uint64_t *pc)
{
    from += (8 - (address + from)) & 15; /* the frame looks like that of a function just called */
    for (; from + FRAME_BYTES <= count; from += 16) {
        if (!is_signal_frame(bytes + from))
            continue;
        *sp = gmr__word(bytes + from, GREGS + 8 * REG_RSP);
        *pc = gmr__word(bytes + from, GREGS + 8 * REG_RIP);
        return (ptrdiff_t)from;
    }
    return -1;
}
