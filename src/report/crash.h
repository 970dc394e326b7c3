/*
 * report/crash.h - reports of crashes: the signals, what is known of a crash, and generators that crash.
 *
 * The target's half only.
 */
#ifndef GMR_REPORT_CRASH_H
#define GMR_REPORT_CRASH_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "report/fallback.h"

/* The first crash of the process. Filled by the crashing thread, read by the reporter while that thread waits. */
struct gmr__crash {
    _Atomic int tid;       /* of the first thread; 0: none has crashed */
    _Atomic uint32_t done; /* futex: one more report of a crash is written, or will never be */
    _Atomic int passed_on; /* the thread that has waited for it and now ends as it would have */
    int signal;
    siginfo_t info;
    const void *context;
};
extern struct gmr__crash gmr__crash;

/* crash_guard_as.c: any thread of the program, during setup and shutdown. False: errno says why not. */
bool gmr__crash_arm(void);
void gmr__crash_disarm(void);
/* While no crash report is armed, a generator that crashes is caught by handlers that stand only as long as it runs. Runner threads. */
void gmr__crash_guard_begin(void);
void gmr__crash_guard_end(void);
void gmr__crash_guard_forget(void); /* in the child of a fork, which has no runners yet */
/* crash_stack.c: a stack for signal handlers on the calling thread, unless it has one; needed where its own has overflowed. Leaves errno
 * alone. 0 or -errno. */
int gmr__crash_stack(void);

/* crash_as.c */
void gmr__crash_handler(int signal, siginfo_t *info, void *context);
/* What the program's action was before ours. */
extern struct sigaction gmr__crash_former[65];

/* crash_section_as.c: the reporter. Writes the section "crash". */
struct gmr_writer;
void gmr__crash_section(struct gmr_writer *w, struct gmr__fallback *fallback);
/* The section "memory_map". */
void gmr__crash_map(struct gmr_writer *w);
/* "SIGSEGV", "signal 99" */
const char *gmr__crash_signal_name(int signal);
/* Where glibc keeps what assert and abort said; NULL: not this libc. Set during setup. */
extern const char *const *gmr__abort_message;

#endif
