/*
 * report/crash_guard_as.c - the handlers of the crash signals: installed for the program, or only while a generator runs.
 *
 * Any thread of the program, during setup and shutdown, runner threads, and the handler itself; async-signal-safe.
 */
#include "report/crash.h"

#include <stdatomic.h>

#include "report/runtime.h"
#include "sys/sys.h"

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
#define SIGNALS (sizeof(crash_signals) / sizeof(crash_signals[0]))

GMR__APART struct sigaction gmr__crash_former[65];
/* Runners within a generator, and ARMED: while it isn't 0, the handlers of the guarded signals stand. */
static _Atomic unsigned users;
#define ARMED 0x80000000u

static bool ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == gmr__crash_handler;
}

/* False: errno says why not. */
static bool install(int signal)
{
    struct sigaction old, action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    action.sa_sigaction = gmr__crash_handler;
    sigfillset(&action.sa_mask);
    /* A fault within the handler must not be blocked: the kernel would kill without the program's own handler having run. */
    for (size_t i = 0; i < SIGNALS; i++) /* sigdelset sets errno, which is thread-local */
        ((unsigned long *)&action.sa_mask)[0] &= ~(1ul << (crash_signals[i] - 1));
    if (sigaction(signal, NULL, &old) != 0 || (!ours(&old) && sigaction(signal, &action, NULL) != 0))
        return false;
    if (!ours(&old))
        gmr__crash_former[signal] = old;
    return true;
}

static void restore(int signal)
{
    struct sigaction now;
    if (sigaction(signal, NULL, &now) == 0 && ours(&now))
        sigaction(signal, &gmr__crash_former[signal], NULL);
}

/* SIGABRT is left alone by the guard: a program that aborts has decided to end. */
static bool guarded(int signal)
{
    return signal != SIGABRT && signal != SIGTRAP;
}

/* No lock: one who holds it could crash. Who changes `users` looks again afterwards, so the last word is that of the last value. */
static void settle(void)
{
    unsigned seen;
    do {
        seen = atomic_load(&users);
        for (size_t i = 0; i < SIGNALS; i++) {
            if (!guarded(crash_signals[i]))
                continue;
            if (seen)
                install(crash_signals[i]);
            else
                restore(crash_signals[i]);
        }
    } while (atomic_load(&users) != seen);
}

bool gmr__crash_arm(void)
{
    bool installed = true;
    atomic_fetch_or(&users, ARMED);
    for (size_t i = 0; i < SIGNALS && installed; i++)
        installed = install(crash_signals[i]);
    if (!installed)
        gmr__crash_disarm();
    return installed;
}

void gmr__crash_disarm(void)
{
    if (!(atomic_fetch_and(&users, ~ARMED) & ARMED))
        return;
    for (size_t i = 0; i < SIGNALS; i++)
        if (!guarded(crash_signals[i]))
            restore(crash_signals[i]);
    settle();
}

void gmr__crash_guard_begin(void)
{
    atomic_fetch_add(&users, 1);
    settle();
}

void gmr__crash_guard_end(void)
{
    atomic_fetch_sub(&users, 1);
    settle();
}

void gmr__crash_guard_forget(void)
{
    atomic_fetch_and(&users, ARMED);
    settle();
}
