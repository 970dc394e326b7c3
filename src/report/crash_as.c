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
#include "sys/buf.h"
#include "sys/sys.h"

#define FIRST_GOES_NS 1000000000u

struct gmr__crash gmr__crash;

static bool is_handler(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO || (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* The former handler's own mask instead of ours; what the handler's return sets is the interrupted one. */
static void mask_as_it_would_be(int signal, const struct sigaction *former, const ucontext_t *context)
{
    uint64_t mask, more;
    gmr__memcpy(&mask, &context->uc_sigmask, sizeof(mask));
    gmr__memcpy(&more, &former->sa_mask, sizeof(more));
    mask |= more;
    if (!(former->sa_flags & SA_NODEFER))
        mask |= (uint64_t)1 << (signal - 1);
    GMR__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask), 0, 0);
}

/* What would have happened without us. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    struct sigaction former = gmr__crash_former[signal];
    if (is_handler(&former)) {
        if (former.sa_flags & SA_RESETHAND)
            gmr__crash_former[signal] = (struct sigaction){.sa_handler = SIG_DFL};
        mask_as_it_would_be(signal, &former, context);
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

/* done: as it was before the report was asked for. */
static void wait_for_report(uint32_t done, uint64_t deadline_ns)
{
    while (atomic_load(&gmr__crash.done) == done && gmr__now_ns() < deadline_ns)
        gmr__futex_wait((uint32_t *)&gmr__crash.done, done, deadline_ns);
}

/* Somebody else crashed first, and goes first afterwards, too: the core file is to be of the crash that was reported. */
static void wait_for_the_first(int first, uint64_t deadline_ns)
{
    bool passed_on = false;
    while (atomic_load(&gmr__crash.tid) == first && gmr__now_ns() < deadline_ns) {
        if (!passed_on && atomic_load(&gmr__crash.passed_on) == first) {
            passed_on = true;
            deadline_ns = gmr__now_ns() + FIRST_GOES_NS; /* the program's handler may end the thread, or jump out */
        }
        gmr__sleep_ns(1000000);
    }
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
            uint32_t done = atomic_load(&gmr__crash.done);
            gmr__crash.signal = signal;
            gmr__crash.info = *info;
            gmr__crash.context = context;
            gmr__ask(GMR__ASK_CRASH);
            wait_for_report(done, gmr__now_ns() + timeout_ns);
            atomic_store(&gmr__crash.passed_on, tid);
        } else {
            wait_for_the_first(none, gmr__now_ns() + timeout_ns);
        }
    }
    pass_on(signal, info, context);
    if (is_handler(&gmr__crash_former[signal])) {
        /* The program goes on: the next crash is a new one. */
        int mine = tid;
        atomic_compare_exchange_strong(&gmr__crash.passed_on, &mine, 0);
        atomic_compare_exchange_strong(&gmr__crash.tid, &tid, 0);
    }
}
