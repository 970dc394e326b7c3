/*
 * section/thread_text.h - the Threads section as text, from whatever knows the threads: a snapshot, or a stored report.
 *
 * Inspector only.
 */
#ifndef GMR_SECTION_THREAD_TEXT_H
#define GMR_SECTION_THREAD_TEXT_H

#include "section/lock_waits.h"
#include "view/writer.h"

/* One thread. NULL: not known. */
struct gmr__thread_text {
    int64_t tid;
    const char *name, *language_name, *state, *call, *wait_channel;
    const char *reason; /* why it has no stack */
    int64_t stack;      /* number in the report; -1: none */
    bool crashed;
    struct gmr__lock_wait wait; /* kind NULL: it is not known to wait for another thread */
    size_t next;                /* filled in by gmr__threads_text */
    bool first;
};

/* lock_text.c: deadlocks, and who waits for whom, before the first stack; the line of one thread. */
void gmr__lock_findings(struct gmr_writer *w, const struct gmr__thread_text *threads, size_t count);
void gmr__lock_line(struct gmr_writer *w, const struct gmr__lock_wait *wait);

/* The body of the section: the thread that crashed, the program's, libgmr's own (they are put into that order); every distinct stack once, under the first thread that has it (each: under every one). put_stack writes the
 * lines of a stack. False: no memory. */
bool gmr__threads_text(struct gmr_writer *w, struct gmr__thread_text *threads, size_t count, bool each,
                       void (*put_stack)(struct gmr_writer *w, void *userdata, int64_t stack), void *userdata);

#endif
