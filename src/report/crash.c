/*
 * report/crash.c - arms and disarms the crash signals; alternative stacks; the guard around a generator.
 *
 * Any thread of the program, during setup and shutdown, and runner threads; uses libc.
 */
#include "report/crash.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "report/runtime.h"
#include "sys/sys.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* What the handler itself needs, beyond the frame that the kernel pushes. */
#define HANDLER_BYTES (48u << 10)

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
#define SIGNALS (sizeof(crash_signals) / sizeof(crash_signals[0]))

struct sigaction gmr__crash_former[65];
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

void gmr__crash_stack(void)
{
    stack_t now;
    if (sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_DISABLE))
        return;
    /* AVX-512 and AMX frames are larger than MINSIGSTKSZ says; the kernel tells (Linux 5.14). */
    size_t page = 4096, frame = getauxval(AT_MINSIGSTKSZ);
    size_t bytes = ((frame > 2048 ? frame : 16384) + HANDLER_BYTES + page - 1) / page * page;
    char *memory = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED)
        return;
    mprotect(memory, page, PROT_NONE);
    stack_t stack = {.ss_sp = memory + page, .ss_size = bytes};
    if (sigaltstack(&stack, NULL) != 0)
        munmap(memory, bytes + page);
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
