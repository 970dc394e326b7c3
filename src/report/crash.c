/*
 * report/crash.c - arms and disarms the crash signals; the guard around a generator.
 *
 * Any thread of the program, during setup and shutdown, and runner threads; uses libc.
 */
#include "report/crash.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

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

static int install(int signal)
{
    struct sigaction old, action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    action.sa_sigaction = gmr__crash_handler;
    sigfillset(&action.sa_mask);
    /* A fault within the handler must not be blocked: the kernel would kill without the program's own handler having run. */
    for (size_t i = 0; i < SIGNALS; i++)
        sigdelset(&action.sa_mask, crash_signals[i]);
    if (sigaction(signal, NULL, &old) != 0 || (!ours(&old) && sigaction(signal, &action, NULL) != 0))
        return -errno;
    if (!ours(&old))
        gmr__crash_former[signal] = old;
    return 0;
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

int gmr__crash_arm(void)
{
    int error = 0;
    gmr__crash_stack();
    atomic_fetch_or(&users, ARMED);
    for (size_t i = 0; i < SIGNALS && !error; i++)
        error = install(crash_signals[i]);
    if (error)
        gmr__crash_disarm();
    return error;
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
