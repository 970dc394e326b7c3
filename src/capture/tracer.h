/*
 * capture/tracer.h - what the files of the ptrace capture share.
 *
 * Inspector only. ptrace.c runs in the inspector and starts short-lived processes: one reads the map, then one or two (tracer.c, stop.c,
 * tasks.c, copies.c) hold threads and end. They meet in the arenas of snapshots.
 */
#ifndef GMR_CAPTURE_TRACER_H
#define GMR_CAPTURE_TRACER_H

#include <sched.h>
#include <time.h>

#include "capture/capture.h"
#include "snapshot/arena.h"

#define GMR__PID_LIMIT 4194304 /* PID_MAX_LIMIT, include/linux/threads.h */

#define GMR__BATCH_BYTES ((size_t)1 << 20)

/* Stacks handed to the inspector: of threads[first .. end), those whose copy begins in [low, high). */
struct gmr__batch {
    const struct gmr__thread *threads; /* stays as it is, also when the list has moved on */
    size_t first, end;
    const unsigned char *low, *high;
};

/* Lives in the arena: written by the capturing process, read by the inspector, also when that process was killed. */
struct gmr__capture_state {
    uint64_t progress; /* moves with every step: how the inspector tells work from a hang */
    struct gmr__thread *threads;
    size_t thread_count, thread_cap;
    struct gmr__segment *extra; /* stacks interrupted by a signal handler on another stack */
    size_t extra_count, extra_cap;
    pid_t live_tid;  /* a thread whose memory can be read; the leader may be a zombie */
    bool maps_stale; /* a stack pointer was in no mapping: the map has changed */
    bool unlisted;   /* the kernel did not tell all threads */
    bool unstable;   /* threads came and went faster than they could be listed */
    bool out_of_memory;
    bool exhausted; /* the deadline came first */
    int maps_error;
    const char *denied;                   /* why ptrace was not allowed, a sentence */
    const unsigned char *area, *area_end; /* copies.c: what is handed over begins there */
    struct gmr__batch batch;
    uint32_t handed;    /* how many batches were handed over */
    uint32_t drained;   /* how many of them the inspector has taken */
    size_t drained_end; /* the inspector's: threads before this index have no copy in the area any more */
    bool keep;          /* the inspector's: what is copied stays */
};

/* What one capturing process is given: threads are shared out by their ids. */
struct gmr__capture_share {
    struct gmr__snapshot *snapshot; /* its arena, and the map */
    struct gmr__capture_state *state;
    unsigned which, count;
    bool moving;           /* it may choose its processor */
    int ask_fd, answer_fd; /* eventfds: a batch was handed over; it was taken. -1: everything is kept */
};

/* Where copies of stacks go; the capturing process's own. */
struct gmr__copies {
    unsigned char *area; /* two halves; NULL: all to the arena */
    size_t half_bytes, used, present[2];
    unsigned which;
    size_t first; /* index of the first thread not handed over */
};

/* placement.c: where the capturing process works. */
struct gmr__placement {
    cpu_set_t before; /* where it may */
    bool able;
    int at;         /* the one processor it is on; -1: any */
    int group;      /* of the thread taken last */
    unsigned taken; /* there */
    uint64_t taken_ns;
};

/* What the capturing process knows; its own memory. */
struct gmr__tracer {
    const struct gmr__capture_share *share;
    struct gmr__snapshot *snapshot; /* of the share */
    struct gmr__capture_state *state;
    const struct gmr__capture_options *options;
    struct gmr__copies copies;
    struct gmr__placement placement;
    const char *proc;
    size_t stack_bytes;
    uint64_t thread_deadline_ns;
    bool stop_all;
    int memory_fd;      /* /proc/PID/mem, where process_vm_readv is forbidden; -1 not opened, -2 can't be */
    int tasks_fd;       /* /proc/PID/task; -1 */
    uint32_t *index_of; /* by tid: index in threads + 1 */
    size_t late;        /* threads told to stop that haven't yet */
    unsigned timeouts;
    unsigned traced_pauses; /* how often another tracer was waited for */
    uint64_t *asked_ns;     /* by index, where stop_all or late: when it was told to stop */
};

/* CLOCK_MONOTONIC by way of the vdso: the capturing process is no signal handler, and asks several times a thread. */
static inline uint64_t gmr__tracer_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* tasks.c */
/* Adds a record for every thread of the process that has none: name, state, where it waits. How many were added, or -errno. */
int gmr__tasks_list(struct gmr__tracer *tracer);
/* A thread that has nothing in user space or no life: its reason, quality set. True: leave it alone. */
bool gmr__task_hopeless(struct gmr__thread *thread, uint32_t flags);
/* It was gone before it could be copied. Returns false. */
bool gmr__task_ended(struct gmr__thread *thread);
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

/* copies.c */
void gmr__copies_begin(struct gmr__tracer *tracer);
/* Room for a copy, not taken yet; NULL: none left. lasting: it must be there until the snapshot is freed. */
unsigned char *gmr__copies_room(struct gmr__tracer *tracer, size_t bytes, bool lasting);
/* Takes the first `bytes` of that room; `touched` have been written at most. */
void gmr__copies_claim(struct gmr__tracer *tracer, const unsigned char *room, size_t bytes, size_t touched);
/* Between two threads, those before index `done` being taken: makes pages present, hands a full half over. May wait for the inspector. */
void gmr__copies_ahead(struct gmr__tracer *tracer, size_t done);

/* placement.c */
void gmr__placement_begin(struct gmr__tracer *tracer);
/* Puts the threads from `first` on into the order in which they are best taken. */
void gmr__placement_sort(struct gmr__tracer *tracer, size_t first);
/* Before thread `index` is told to stop; and when it is gone again, after so long. */
void gmr__placement_next(struct gmr__tracer *tracer, size_t index);
void gmr__placement_took(struct gmr__tracer *tracer, uint64_t one_ns);
/* From now on anywhere. */
void gmr__placement_end(struct gmr__tracer *tracer);

/* tracer.c: the capturing process from beginning to end. */
void gmr__tracer_run(const struct gmr__capture_share *share, const struct gmr__capture_options *options, bool stop_all);
/* Takes the threads that have come to a stop since they were given up. */
void gmr__tracer_serve_late(struct gmr__tracer *tracer);

#endif
