/*
 * arch/x86_64_heal_as.c - makes an interrupted system call again, so that the program never learns of our signal.
 *
 * libgmr's signal handlers; async-signal-safe. SA_RESTART does not cover poll, select, epoll_wait, nanosleep, pause, msgrcv, semop, sigtimedwait,
 * io_getevents and others (signal(7)): they return EINTR whenever any handler ran. A handler that sees rax == -EINTR just behind a
 * `syscall` is what such a call looks like. The kernel has kept every argument register; only the call's number is gone, but libc
 * loads it right before: `mov $number, %eax; syscall`, or with a reload of %edi between them. So the way back is to put the number into rax and
 * the pc onto the `syscall`.
 *
 * Not made again:
 *   - calls that are not in the list below: close() has closed the descriptor although it says EINTR;
 *   - where another signal is pending that this thread would take now: its handler, not ours, may be what the call has to be interrupted for.
 *     (Our handler runs with all signals blocked, so none can have run on top of it unseen. A signal that arrives in the microsecond between this
 *     look and the return runs its handler before the call is made again; the same microsecond exists, without us,
 *     between a program's test of its flag and its call.)
 *   - calls through syscall(2) or code that loads the number otherwise: they see EINTR.
 *
 * Relative timeouts: where the kernel wrote back what is left (nanosleep with its second argument, select, ppoll), the call goes on with that.
 * Else it would start again in full, and signals that come faster than the timeout is long would keep it from ever ending. So the first time the
 * whole timeout is set once more, in a form that is recognised (a millisecond longer; a struct timespec of ours), and a call that is
 * interrupted again with that very value gets what is left of it. (Not so where the timeout is an option of a socket, SO_RCVTIMEO.) When the call began is not known: it may take up to twice its timeout.
 */
#include "arch/target.h"

#include <errno.h>
#include <stddef.h>
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

/* ---- timeouts ---- */

#define SLOTS 64

static struct {
    int tid;
    greg_t sp, timeout_ms;
    uint64_t since_ns;
} last_timeout; /* of whoever was interrupted last; if two threads take turns, their timeouts start again in full */

static void settle_milliseconds(const ucontext_t *uc, greg_t *value)
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

/* The kernel reads a timeout when a call begins, so a slot is needed only from the handler's return to there. */
static struct slot {
    struct timespec time;
    uint64_t since_ns;
} slots[SLOTS];
static unsigned next_slot;

static void settle_timespec(greg_t *pointer)
{
    struct slot *slot = (struct slot *)*pointer;
    uint64_t now = gmr__now_ns();
    if (!slot)
        return;
    if (slot >= slots && slot < slots + SLOTS) {
        uint64_t left = (uint64_t)slot->time.tv_sec * 1000000000u + (uint64_t)slot->time.tv_nsec,
                 gone = now - slot->since_ns;
        left = gone < left ? left - gone : 0;
        slot->time.tv_sec = (time_t)(left / 1000000000u);
        slot->time.tv_nsec = (long)(left % 1000000000u);
    } else {
        struct timespec given = *(const struct timespec *)*pointer; /* the kernel has just read it */
        if (given.tv_sec < 0 || given.tv_sec > INT32_MAX)
            return;
        slot = &slots[__atomic_fetch_add(&next_slot, 1, __ATOMIC_RELAXED) % SLOTS];
        slot->time = given;
        *pointer = (greg_t)slot;
    }
    slot->since_ns = now;
}

static void settle_timeout(const ucontext_t *uc, uint32_t number, greg_t *regs)
{
    switch (number) {
    case SYS_poll:
        settle_milliseconds(uc, &regs[REG_RDX]);
        break;
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
        settle_milliseconds(uc, &regs[REG_R10]);
        break;
    case SYS_nanosleep:
        if (regs[REG_RSI])
            regs[REG_RDI] = regs[REG_RSI];
        else
            settle_timespec(&regs[REG_RDI]);
        break;
    case SYS_clock_nanosleep:
        if (regs[REG_RSI] & TIMER_ABSTIME)
            break;
        if (regs[REG_R10])
            regs[REG_RDX] = regs[REG_R10];
        else
            settle_timespec(&regs[REG_RDX]);
        break;
    case SYS_rt_sigtimedwait:
        settle_timespec(&regs[REG_RDX]);
        break;
    case SYS_semtimedop:
    case SYS_epoll_pwait2:
        settle_timespec(&regs[REG_R10]);
        break;
    case SYS_io_getevents:
    case SYS_io_pgetevents:
        settle_timespec(&regs[REG_R8]);
        break;
    default:
        break;
    }
}

/* ---- the call ---- */

/* The number that was loaded into eax before the `syscall` that ends at pc; -1 if that can't be seen. */
static int64_t call_number(const unsigned char *pc)
{
    /* Between the two: nothing; mov (%rsp),%edi; mov N(%rsp),%edi; mov N(%rsp),%rdi. */
    static const struct {
        unsigned char bytes[4], length, known;
    } between[] = {
        {{0}, 0, 0}, {{0x8b, 0x3c, 0x24}, 3, 3}, {{0x8b, 0x7c, 0x24}, 4, 3}, {{0x48, 0x8b, 0x7c, 0x24}, 5, 4}};
    uintptr_t in_page = (uintptr_t)pc & 4095; /* the page before may not be there */
    if (in_page < 7 || pc[-2] != 0x0f || pc[-1] != 0x05)
        return -1;
    if (pc[-4] == 0x31 && pc[-3] == 0xc0) /* xor %eax,%eax: read */
        return 0;
    for (size_t i = 0; i < sizeof(between) / sizeof(between[0]); i++) {
        size_t back = 7u + between[i].length;
        uint32_t number;
        if (in_page < back || pc[-(ptrdiff_t)back] != 0xb8 ||
            gmr__memcmp(pc - 2 - between[i].length, between[i].bytes, between[i].known) != 0)
            continue;
        gmr__memcpy(&number, pc - back + 1, sizeof(number));
        return number;
    }
    return -1;
}

bool gmr__heal_eintr(void *context)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    if (regs[REG_RAX] != -EINTR)
        return false;
    int64_t number = call_number((const unsigned char *)regs[REG_RIP]);
    if (number < 0 || !is_restartable((uint32_t)number) || other_signal_waits(uc))
        return false;
    settle_timeout(uc, (uint32_t)number, regs);
    regs[REG_RAX] = number;
    regs[REG_RIP] -= 2;
    return true;
}
