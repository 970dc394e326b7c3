/*
 * arch/x86_64_heal_as.c - makes an interrupted system call again, so that the program never learns of our signal.
 *
 * libgmr's signal handlers; async-signal-safe. SA_RESTART does not cover poll, select, epoll_wait, nanosleep, pause, msgrcv, semop, sigtimedwait,
 * io_getevents and others (signal(7)): they return EINTR whenever any handler ran. A handler that sees rax == -EINTR just behind a
 * `syscall` is what such a call looks like. The kernel has kept every argument register; only the call's number is gone, but
 * libc loads it right before: `mov $number, %eax; syscall`. So the way back leads to that mov.
 *
 * Not made again:
 *   - calls that are not in the list below: close() has closed the descriptor although it says EINTR;
 *   - where another signal is pending that this thread would take now: its handler, not ours, may be what the call has to be interrupted for.
 *     (Our handler runs with all signals blocked, so none can have run on top of it unseen. A signal that arrives in the microsecond between this
 *     look and the return runs its handler before the call is made again; the same microsecond exists, without us,
 *     between a program's test of its flag and its call.)
 *   - calls through syscall(2) or code that loads the number otherwise: they see EINTR.
 * A relative timeout starts again in full, except where the kernel wrote back what was left (nanosleep with its second argument, select, ppoll).
 */
#include "arch/target.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <time.h>

#include "sys/buf.h"
#include "sys/sys.h"

static const uint16_t restartable[] = {SYS_poll,
                                       SYS_ppoll,
                                       SYS_select,
                                       SYS_pselect6,
                                       SYS_epoll_wait,
                                       SYS_epoll_pwait,
                                       SYS_epoll_pwait2,
                                       SYS_nanosleep,
                                       SYS_clock_nanosleep,
                                       SYS_pause,
                                       SYS_rt_sigsuspend,
                                       SYS_rt_sigtimedwait,
                                       SYS_semop,
                                       SYS_semtimedop,
                                       SYS_msgrcv,
                                       SYS_msgsnd,
                                       SYS_io_getevents,
                                       SYS_io_pgetevents,
                                       SYS_io_uring_enter,
                                       SYS_futex,
                                       SYS_accept,
                                       SYS_accept4,
                                       SYS_connect,
                                       SYS_recvfrom,
                                       SYS_recvmsg,
                                       SYS_recvmmsg,
                                       SYS_sendto,
                                       SYS_sendmsg,
                                       SYS_sendmmsg,
                                       SYS_read,
                                       SYS_write,
                                       SYS_readv,
                                       SYS_writev,
                                       SYS_mq_timedsend,
                                       SYS_mq_timedreceive,
                                       SYS_flock,
                                       SYS_fcntl,
                                       449 /* futex_waitv */};

static bool is_restartable(uint32_t number)
{
    for (size_t i = 0; i < sizeof(restartable) / sizeof(restartable[0]); i++)
        if (restartable[i] == number)
            return true;
    return false;
}

static bool other_signal_waits(const ucontext_t *context)
{
    uint64_t pending = 0, blocked;
    gmr__memcpy(&blocked, &context->uc_sigmask, sizeof(blocked));
    if (GMR__SYS(SYS_rt_sigpending, &pending, sizeof(pending), 0, 0, 0, 0) != 0)
        return true;
    return (pending & ~blocked) != 0;
}

/*
 * A finite timeout in a register would start again in full each time, and signals that come faster than it is long would keep it from ever
 * ending. So the first time the timeout is made a millisecond longer, which marks it; a call that is interrupted again with that very value
 * gets what is left of it. (The time before the first interruption is not known: the call may take up to twice its timeout.)
 */
static struct {
    int tid;
    greg_t sp;
    greg_t timeout_ms;
    uint64_t since_ns;
} last_timeout;

static void settle_timeout(const ucontext_t *uc, greg_t *value)
{
    int timeout_ms = (int)*value;
    greg_t sp = uc->uc_mcontext.gregs[REG_RSP];
    if (timeout_ms <= 0 || timeout_ms == INT32_MAX)
        return;
    int tid = gmr__gettid();
    uint64_t now = gmr__now_ns();
    if (last_timeout.tid == tid && last_timeout.sp == sp && last_timeout.timeout_ms == timeout_ms) {
        uint64_t gone_ms = (now - last_timeout.since_ns) / 1000000u;
        *value = gone_ms < (uint64_t)timeout_ms ? timeout_ms - (greg_t)gone_ms : 0;
    } else {
        *value = timeout_ms + 1;
    }
    last_timeout.tid = tid;
    last_timeout.sp = sp;
    last_timeout.timeout_ms = *value;
    last_timeout.since_ns = now;
}

bool gmr__heal_eintr(void *context)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    const unsigned char *pc = (const unsigned char *)regs[REG_RIP];
    if (regs[REG_RAX] != -EINTR || ((uintptr_t)pc & 4095) < 7) /* the page before may not be there */
        return false;
    if (pc[-2] != 0x0f || pc[-1] != 0x05 || pc[-7] != 0xb8)
        return false;
    uint32_t number;
    gmr__memcpy(&number, pc - 6, sizeof(number));
    if (!is_restartable(number) || other_signal_waits(uc))
        return false;
    /* The kernel has written what is left of the sleep where the caller asked for it: sleep on from there. */
    if (number == SYS_nanosleep && regs[REG_RSI])
        regs[REG_RDI] = regs[REG_RSI];
    if (number == SYS_clock_nanosleep && regs[REG_R10] && !(regs[REG_RSI] & TIMER_ABSTIME))
        regs[REG_RDX] = regs[REG_R10];
    if (number == SYS_poll)
        settle_timeout(uc, &regs[REG_RDX]);
    if (number == SYS_epoll_wait || number == SYS_epoll_pwait)
        settle_timeout(uc, &regs[REG_R10]);
    regs[REG_RIP] = (greg_t)(pc - 7);
    return true;
}
