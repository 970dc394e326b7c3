/*
 * report/fallback.h - threads and their stacks without an inspector.
 *
 * Reporter thread, or a crash; async-signal-safe.
 */
#ifndef GMR_REPORT_FALLBACK_H
#define GMR_REPORT_FALLBACK_H

#include "capture/self.h"
#include "view/writer.h"

struct gmr__fallback;
/* Its memory, mapped when the reporter starts and untouched until it is needed. NULL: none. */
struct gmr__fallback *gmr__fallback_new(void);
void gmr__fallback_free(struct gmr__fallback *fallback);

/* Before the first section of a report: nothing of the last one is known any more. crashed: the thread whose context is
 * given, shown first; NULL: none. */
void gmr__fallback_begin(struct gmr__fallback *fallback, uint64_t deadline_ns);
void gmr__fallback_crashed(struct gmr__fallback *fallback, pid_t tid, const void *ucontext);

/* Writes "threads", "green_threads" or "stacks", whole, with status; why: a sentence on why there is no inspector. False: another name. */
bool gmr__fallback_section(struct gmr__fallback *fallback, struct gmr_writer *w, const char *name, const char *title,
                           const char *why);
/* Have stacks been taken? Then the report's method is "signal". */
bool gmr__fallback_used(const struct gmr__fallback *fallback);
void gmr__fallback_cost(const struct gmr__fallback *fallback, struct gmr__cost *cost);

/* The stack of one thread of ours, as a list of lines under `key` of the section that is open. */
void gmr__fallback_put_thread(struct gmr__fallback *fallback, struct gmr_writer *w, const char *key, pid_t tid);

#endif
