/*
 * capture/signal_as.c - asks threads of this process, one after the other, to copy their own registers and stack.
 *
 * gmr__capture_thread() runs on the reporter; the handler on the thread that is asked, in the middle of anything. Async-signal-safe. The slot is
 * ready before the signal is sent; a thread that never answers costs its deadline, and one that answers late finds the slot closed.
 *
 *   FREE -> ASKED -> COPYING -> FILLED -> FREE         (a late one: ASKED -> FREE by the reporter, the handler does nothing)
 */
#include <errno.h>

#include "arch/target.h"
#include "capture/self.h"
#include "sys/proc.h"
#include "sys/sys.h"

/* Nothing in Linux sends it and nobody handles it; see also trigger.h, where the reporter's own is blocked and read from a signalfd. */
#define CAPTURE_SIGNAL SIGSTKFLT
#define TRACED_SIGNAL SIGURG
#define BLOCKED_PAUSE_NS 500000u
#define OVERFLOW_PAGES 64 /* how far below its stack a function that overflows it may have moved sp */

enum { FREE = 0, ASKED, COPYING, FILLED };

static struct gmr__slot_capture *_Atomic current;
static _Atomic bool armed;
static int capture_signal = CAPTURE_SIGNAL; /* the reporter's */

void gmr__capture_context(struct gmr__slot_capture *slot, const void *ucontext)
{
    gmr__arch_regs_from_ucontext(&slot->regs, ucontext, SIZE_MAX);
    slot->stack_address = slot->regs.value[gmr__arch_sp] - gmr__arch_red_zone;
    slot->stack_bytes = gmr__self_read(slot->stack_address, slot->stack, sizeof(slot->stack));
    if (slot->stack_bytes >= gmr__arch_red_zone)
        return;
    /* sp is at the very start of its mapping, or, of a stack that has overflowed, below it: the callers' frames are above. */
    slot->stack_address = slot->regs.value[gmr__arch_sp];
    slot->stack_bytes = gmr__self_read(slot->stack_address, slot->stack, sizeof(slot->stack));
    for (int page = 0; slot->stack_bytes == 0 && page < OVERFLOW_PAGES; page++) {
        slot->stack_address = (slot->stack_address & ~(uint64_t)4095) + 4096;
        slot->stack_bytes = gmr__self_read(slot->stack_address, slot->stack, sizeof(slot->stack));
    }
}

static void on_capture(int signal, siginfo_t *info, void *context)
{
    struct gmr__slot_capture *slot = atomic_load(&current);
    uint32_t asked = ASKED;
    if (slot && atomic_load(&slot->tid) == gmr__gettid() &&
        atomic_compare_exchange_strong(&slot->state, &asked, COPYING)) {
        uint64_t start = gmr__now_ns();
        gmr__capture_context(slot, context);
        slot->pause_ns = gmr__now_ns() - start;
        atomic_store(&slot->state, FILLED);
        gmr__futex_wake((uint32_t *)&slot->state, 1);
    }
    gmr__heal_eintr(context);
}

bool gmr__capture_signal_arm(void)
{
    struct sigaction old, action = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    if (sigaction(CAPTURE_SIGNAL, NULL, &old) != 0)
        return false;
    bool ours = old.sa_flags & SA_SIGINFO && old.sa_sigaction == on_capture;
    if (!ours && (old.sa_flags & SA_SIGINFO || (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN)))
        return false;
    action.sa_sigaction = on_capture;
    sigfillset(&action.sa_mask);
    armed = sigaction(CAPTURE_SIGNAL, &action, NULL) == 0;
    return armed;
}

void gmr__capture_signal_disarm(void)
{
    struct sigaction now;
    if (sigaction(CAPTURE_SIGNAL, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_capture) {
        now = (struct sigaction){.sa_handler = SIG_DFL};
        sigaction(CAPTURE_SIGNAL, &now, NULL);
    }
    armed = false;
}

void gmr__capture_begin(bool traced)
{
    struct sigaction old, action = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    capture_signal = CAPTURE_SIGNAL;
    if (!traced || sigaction(TRACED_SIGNAL, NULL, &old) != 0 || old.sa_flags & SA_SIGINFO || old.sa_handler != SIG_DFL)
        return;
    action.sa_sigaction = on_capture;
    sigfillset(&action.sa_mask);
    if (sigaction(TRACED_SIGNAL, &action, NULL) == 0)
        capture_signal = TRACED_SIGNAL;
}

void gmr__capture_end(void)
{
    struct sigaction now;
    if (capture_signal == TRACED_SIGNAL && sigaction(TRACED_SIGNAL, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
        now.sa_sigaction == on_capture) {
        now = (struct sigaction){.sa_handler = SIG_DFL}; /* ignored: one that comes late does no harm */
        sigaction(TRACED_SIGNAL, &now, NULL);
    }
    capture_signal = CAPTURE_SIGNAL;
}

/*
 * Every thread blocks all signals for a moment while it is born, makes another or ends (glibc's clone, posix_spawn): one that runs is looked at
 * again until it has them open.
 */
static bool blocks_signal(pid_t tid, uint64_t deadline_ns)
{
    for (;;) {
        struct gmr__proc_status status;
        struct gmr__proc_stat stat;
        if (gmr__proc_status("/proc", gmr__getpid(), tid, &status) != 0 ||
            !(status.sig_blocked >> (capture_signal - 1) & 1))
            return false;
        if (gmr__proc_stat("/proc", gmr__getpid(), tid, &stat) != 0 || stat.state != 'R' ||
            gmr__now_ns() >= deadline_ns)
            return true;
        gmr__sleep_ns(BLOCKED_PAUSE_NS);
    }
}

int gmr__capture_thread(struct gmr__slot_capture *slot, pid_t tid, uint64_t deadline_ns)
{
    if (!armed)
        return -ENOSYS;
    if (blocks_signal(tid, deadline_ns))
        return -EBUSY;
    atomic_store(&slot->tid, tid);
    atomic_store(&slot->state, ASKED);
    atomic_store(&current, slot);
    int error = gmr__tgkill(gmr__getpid(), tid, capture_signal);
    while (!error) {
        uint32_t state = atomic_load(&slot->state);
        if (state == FILLED)
            break;
        if (gmr__futex_wait((uint32_t *)&slot->state, state, deadline_ns) == -ETIMEDOUT) {
            state = ASKED;
            if (atomic_compare_exchange_strong(&slot->state, &state, FREE))
                error = -ETIMEDOUT;
            else if (gmr__now_ns() > deadline_ns + 1000000000u)
                return -EDEADLK; /* stuck while copying: the slot is lost to it */
            else
                gmr__sleep_ns(1000000);
        }
    }
    atomic_store(&current, NULL);
    atomic_store(&slot->state, FREE);
    return error;
}
