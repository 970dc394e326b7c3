/*
 * report/thread.c - see report/thread.h.
 *
 * Any thread of the program; uses pthread.
 */
#include "report/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

int gmr__thread_start(void *(*main)(void *), void *argument, size_t stack_bytes)
{
    sigset_t all, old;
    sigfillset(&all);
    /* A fault that is blocked kills without asking; the program's own handler for it, or ours, has to see it. */
    /* SIGSTKFLT is ours: a runner that is stuck copies its stack by it (capture/signal_as.c); the reporter blocks it itself. */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS, SIGSTKFLT};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&all, faults[i]);
    int saved = errno;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return -ENOMEM;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, main, argument);
    if (error == EINVAL) { /* static TLS counts into the stack: a program with much of it needs the default */
        pthread_attr_destroy(&attributes);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        error = pthread_create(&thread, &attributes, main, argument);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    errno = saved;
    return -error;
}
