/*
 * report/registry.h - the program's own sections, and the threads that run their generators.
 *
 * The target's half. Registration may use libc and locks (any thread of the program); the reporter thread never takes them: it hands a job to a
 * runner and waits with a deadline.
 */
#ifndef GMR_REPORT_REGISTRY_H
#define GMR_REPORT_REGISTRY_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "view/writer.h"

struct gmr__entry {
    struct gmr__entry *next;
    uint64_t id; /* grows with every registration; order of the report */
    gmr_generator generator;
    void *userdata;
    unsigned flags;
    char *title, *style_text[7]; /* one malloc'd block behind title; style in the order of struct gmr_text_style */
    int running;                 /* generators under way: an entry in use is not freed */
    bool orphaned;               /* removed while it ran: freed when it ends */
};

/* registry.c, on a runner thread. The first section with an id greater than `after` and up to `*until` (0: it is set to that of the last one there is; only_title: NULL or the one wanted) and all of these flags, marked as
 * running; NULL: no more. */
struct gmr__entry *gmr__registry_take(uint64_t after, uint64_t *until, const char *only_title, unsigned flags);
void gmr__registry_done(struct gmr__entry *entry);
/* For the atfork handlers: the registry is never copied half-changed. */
void gmr__registry_lock(void);
void gmr__registry_unlock(void);
/* In a forked child nothing runs any more. */
void gmr__registry_forget_running(void);

enum gmr__job_kind {
    GMR__JOB_SECTION = 1, /* the next section of the program's own */
    GMR__JOB_CONFIGURATION,
    GMR__JOB_LOG, /* the program's log callback */
};

/* What a runner was asked and what came of it. Lives at the start of its arena. */
struct gmr__job {
    enum gmr__job_kind kind;
    uint64_t after; /* in: the id of the last section; out: of this one */
    uint64_t
        until; /* in and out: sections registered later are not taken, or a report could go on for ever; 0: not known yet */
    const char *text; /* in, in the arena: the one title wanted (NULL: any), or the message to log */
    int final_view;
    int priority;          /* in: of a log message */
    unsigned wanted_flags; /* in: sections without all of these are passed over */
    int crash_signal;      /* out, with GMR__JOB_CRASHED: */
    const void *crash_context;
    bool found; /* out: there was another section */
    int result; /* of the generator */
    char reason[256];
    struct gmr__section_head head;
    unsigned flags;
    struct gmr__sink_mem events; /* wire events of the body: base[0..used) never change again, even while it runs on */
    struct gmr__runner *runner;
    size_t arena_bytes;
    void *writer_place;
    char *strings; /* room for the head's */
    size_t strings_cap, strings_used;
};

/* runner_as.c, called by the reporter; async-signal-safe. */
struct gmr__runner;
enum gmr__job_outcome {
    GMR__JOB_DONE = 0,
    GMR__JOB_LATE, /* abandoned at its deadline; *job is what is known of it */
    GMR__JOB_CRASHED,
    GMR__JOB_NO_RUNNER, /* all are stuck, or none could be started */
    GMR__JOB_NO_MEMORY,
};
enum gmr__job_outcome gmr__runner_run(const struct gmr__job *wanted, const char *text, size_t max_bytes,
                                      uint64_t deadline_ns, struct gmr__job **job);
/* In a crash signal's handler: if the calling thread is a runner at work, the job ends as GMR__JOB_CRASHED and the thread stays here for
 * ever, because nobody knows what it holds. Returns false if it is not. Async-signal-safe. */
bool gmr__runner_crashed(int signal, siginfo_t *info, void *context);
pid_t gmr__runner_tid(const struct gmr__job *job); /* the thread it runs on */
/* Hands a sentence to the program's log callback and waits for it to return, at most until the deadline. */
void gmr__runner_log(int priority, const char *text, uint64_t deadline_ns);
/* The job has been read: its arena is given back, at once or (of an abandoned job) when its runner comes home. */
void gmr__runner_release(struct gmr__job *job);

/* runner.c. Any thread: starts the first runner. Blocks all signals in it. 0 or -errno. */
int gmr__runner_start(void);
/* In the child of a fork: the parent's runners are not here. */
void gmr__runner_forget(void);
/* Is the calling thread a runner? */
bool gmr__runner_is_self(void);

#endif
