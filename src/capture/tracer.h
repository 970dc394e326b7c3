/*
 * capture/tracer.h - what the files of the ptrace capture share.
 *
 * Inspector only. ptrace.c runs in the inspector and starts two short-lived processes: one reads the map, the other (tracer.c, stop.c,
 * tasks.c) holds threads and ends. They meet in the snapshot's arena.
 */
#ifndef GMR_CAPTURE_TRACER_H
#define GMR_CAPTURE_TRACER_H

#include "capture/capture.h"
#include "snapshot/arena.h"

#define GMR__PID_LIMIT 4194304 /* PID_MAX_LIMIT, include/linux/threads.h */

/* Lives in the arena: written by the capturing process, read by the inspector, also when that process was killed. */
struct gmr__capture_state {
    uint64_t progress; /* moves with every step: how the inspector tells work from a hang */
    struct gmr__thread *threads;
    size_t thread_count, thread_cap;
    struct gmr__segment *extra; /* stacks interrupted by a signal handler on another stack */
    size_t extra_count, extra_cap;
    pid_t live_tid;  /* a thread whose memory can be read; the leader may be a zombie */
    bool maps_stale; /* a stack pointer was in no mapping: the map has changed */
    bool unstable;   /* threads came and went faster than they could be listed */
    bool out_of_memory;
    bool exhausted; /* the deadline came first */
    int maps_error;
    const char *denied; /* why ptrace was not allowed, a sentence */
};

/* What the capturing process knows; its own memory. */
struct gmr__tracer {
    struct gmr__snapshot *snapshot;
    struct gmr__capture_state *state;
    const struct gmr__capture_options *options;
    const char *proc;
    size_t stack_bytes;
    uint64_t thread_deadline_ns;
    bool stop_all;
    int memory_fd;      /* /proc/PID/mem, where process_vm_readv is forbidden; -1 not opened, -2 can't be */
    uint32_t *index_of; /* by tid: index in threads + 1 */
    size_t late;        /* threads told to stop that haven't yet */
    unsigned timeouts;
    uint64_t *asked_ns; /* by index, where stop_all or late: when it was told to stop */
};

/* tasks.c */
/* Adds a record for every thread of the process that has none: name, state, where it waits. How many were added, or -errno. */
int gmr__tasks_list(struct gmr__tracer *tracer);
/* A thread that has nothing in user space or no life: its reason, quality set. True: leave it alone. */
bool gmr__task_hopeless(struct gmr__thread *thread, uint32_t flags);
/* Why SEIZE was refused with `error`, a sentence with the next step; lives as long as the snapshot. */
const char *gmr__task_denied(struct gmr__tracer *tracer, pid_t tid, int error);

/* stop.c: one thread. */
enum gmr__stop {
    GMR__STOP_STANDS,
    GMR__STOP_GONE,
    GMR__STOP_TIMEOUT,
};
bool gmr__stop_ask(struct gmr__tracer *tracer,
                   size_t index); /* SEIZE and INTERRUPT; false: reason and quality are set */
enum gmr__stop gmr__stop_wait(struct gmr__thread *thread, uint64_t deadline_ns, int *signal);
/* What waitpid said of a thread that stands: the signal to hand on when it is let go, 0 if none. */
int gmr__stop_signal(struct gmr__thread *thread, int status);
void gmr__stop_copy(struct gmr__tracer *tracer, size_t index); /* registers, stack */
void gmr__stop_release(struct gmr__tracer *tracer, size_t index, int signal, uint64_t since_ns);

/* tracer.c: the capturing process from beginning to end. */
void gmr__tracer_run(struct gmr__snapshot *snapshot, struct gmr__capture_state *state,
                     const struct gmr__capture_options *options, bool stop_all);

#endif
