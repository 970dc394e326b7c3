/*
 * report/crash.c - arms and disarms the crash signals; the guard around a generator.
 *
 * Any thread of the program, during setup and shutdown, and runner threads; uses libc.
 */
#include "report/crash.h"

#include <errno.h>
#include <string.h>

#include "report/runtime.h"
#include "sys/sys.h"

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
#define SIGNALS (sizeof(crash_signals) / sizeof(crash_signals[0]))

GMR__APART struct sigaction gmr__crash_former[65];
static bool armed;

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

int gmr__crash_arm(void)
{
    int error = 0;
    gmr__crash_stack();
    for (size_t i = 0; i < SIGNALS && !error; i++)
        error = install(crash_signals[i]);
    armed = !error;
    return error;
}

void gmr__crash_disarm(void)
{
    for (size_t i = 0; i < SIGNALS && armed; i++)
        restore(crash_signals[i]);
    armed = false;
}

/* SIGABRT is left alone here: a program that aborts has decided to end. */
static const int guarded[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

void gmr__crash_guard_begin(void)
{
    for (size_t i = 0; i < sizeof(guarded) / sizeof(guarded[0]) && !armed; i++)
        install(guarded[i]);
}

void gmr__crash_guard_end(void)
{
    for (size_t i = 0; i < sizeof(guarded) / sizeof(guarded[0]) && !armed; i++)
        restore(guarded[i]);
}
