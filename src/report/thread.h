/*
 * report/thread.h - how libgmr starts a thread of its own.
 *
 * The target's half; not async-signal-safe. Called during setup, in the child after fork, and by runner threads.
 */
#ifndef GMR_REPORT_THREAD_H
#define GMR_REPORT_THREAD_H

#include <stddef.h>

/* A detached thread with every signal blocked that may be: no handler of the program's ever runs on it. 0 or -errno. */
int gmr__thread_start(void *(*main)(void *), void *argument, size_t stack_bytes);

#endif
