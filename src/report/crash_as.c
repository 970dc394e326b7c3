/*
 * report/crash_as.c - the handler of crash signals.
 *
 * Any thread of the program, on its alternative stack, with anything broken; async-signal-safe. It hands the crash to the reporter, waits with a deadline,
 * and then lets happen what would have happened: the program's former handler, or the default action with the original siginfo, so that the
 * core file and the exit status are the same.
 *
 * First come, first served: one report, whoever else crashes meanwhile waits for it. A crash of the reporter, in the handler, in a child that
 * shares our memory (vfork), or after the deadline is not reported. A crash of a runner is a generator's: it ends the generator, not the process.
 */
#include "report/crash.h"

#include <errno.h>

#include "report/registry.h"
#include "report/runtime.h"
#include "sys/sys.h"

struct gmr__crash gmr__crash;

static bool is_handler(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO || (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* What would have happened without us. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    struct sigaction former = gmr__crash_former[signal];
    if (is_handler(&former)) {
        if (former.sa_flags & SA_RESETHAND)
            gmr__crash_former[signal] = (struct sigaction){.sa_handler = SIG_DFL};
        if (former.sa_flags & SA_SIGINFO)
            former.sa_sigaction(signal, info, context);
        else
            former.sa_handler(signal);
        return;
    }
    sigaction(signal, &former, NULL);
    if (!(former.sa_flags & SA_SIGINFO) && former.sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    /* Pending until the handler returns, and then taken with the registers of the crash. For PID 1 it is ignored; there the fault happens again
     * and the kernel's own signal is not. */
    GMR__SYS(SYS_rt_tgsigqueueinfo, gmr__getpid(), gmr__gettid(), signal, info, 0, 0);
}

static void wait_for_report(uint64_t deadline_ns)
{
    while (!atomic_load(&gmr__crash.done) && gmr__now_ns() < deadline_ns)
        gmr__futex_wait((uint32_t *)&gmr__crash.done, 0, deadline_ns);
}

void gmr__crash_handler(int signal, siginfo_t *info, void *context)
{
    int tid = gmr__gettid(), none = 0;
    bool here = atomic_load(&gmr__rt.pid) == gmr__getpid() && atomic_load(&gmr__rt.reporter_tid) > 0;
    if (here && gmr__runner_crashed(signal, info, context))
        return; /* never: it is parked */
    bool reported =
        here && atomic_load(&gmr__rt.armed) & GMR_TRIGGER_CRASH && tid != atomic_load(&gmr__rt.reporter_tid);
    if (reported && atomic_load(&gmr__crash.tid) != tid) {
        uint64_t timeout_ns = (uint64_t)gmr__rt.settings->report_timeout_ms * 2500000u;
        if (atomic_compare_exchange_strong(&gmr__crash.tid, &none, tid)) {
            gmr__crash.signal = signal;
            gmr__crash.info = *info;
            gmr__crash.context = context;
            gmr__ask(GMR__ASK_CRASH);
        }
        wait_for_report(gmr__now_ns() + timeout_ns);
    }
    pass_on(signal, info, context);
    if (is_handler(&gmr__crash_former[signal])) {
        /* The program goes on: the next crash is a new one. */
        if (atomic_compare_exchange_strong(&gmr__crash.tid, &tid, 0))
            atomic_store(&gmr__crash.done, 0);
    }
}
