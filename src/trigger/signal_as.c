/*
 * trigger/signal_as.c - the trigger's signal handler, and how any thread or handler asks for a report.
 *
 * Any thread of the program, in the middle of anything; async-signal-safe. It writes down who asked and passes the wish on; it must never wait,
 * nor be noticed: where the interrupted call would return EINTR for our sake alone, the call is made again.
 */
#include <errno.h>

#include "arch/target.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

/* A signal that came between fork and our atfork handler: this process has no reporter yet. */
_Atomic int gmr__asked_before_start;

int gmr__ask(uint32_t bits)
{
    int pid = gmr__getpid();
    if (atomic_load(&gmr__rt.pid) != pid) {
        atomic_store(&gmr__asked_before_start, pid);
        return -ESRCH;
    }
    atomic_fetch_or(&gmr__rt.asked, bits);
    int tid = atomic_load(&gmr__rt.reporter_tid);
    return tid > 0 ? gmr__tgkill(pid, tid, GMR__WAKE_SIGNAL) : 0; /* not there yet: it looks at `asked` first */
}

void gmr__signal_handler(int signal, siginfo_t *info, void *context)
{
    bool from_process = info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL;
    atomic_store(&gmr__rt.signal_sender, from_process ? info->si_pid : 0);
    atomic_store(&gmr__rt.signal_sender_uid, from_process ? (int)info->si_uid : 0);
    gmr__ask(GMR__ASK_SIGNAL);
    gmr__heal_eintr(context);
}

/* A program that installs its own handler after setup takes the signal away from us; that is its right, and to be told. */
int gmr__armed_now(void)
{
    struct {
        void (*handler)(int, siginfo_t *, void *);
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action = {0};
    if (atomic_load(&gmr__rt.pid) != gmr__getpid())
        return 0;
    int armed = atomic_load(&gmr__rt.armed);
    if (armed & GMR_TRIGGER_SIGNAL &&
        GMR__SYS(SYS_rt_sigaction, atomic_load(&gmr__rt.signal), NULL, &action, sizeof(action.mask), 0, 0) == 0 &&
        action.handler != gmr__signal_handler)
        armed &= ~GMR_TRIGGER_SIGNAL;
    return armed;
}
