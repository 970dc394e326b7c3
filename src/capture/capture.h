/*
 * capture/capture.h - makes a snapshot of a process.
 *
 * Inspector only. The makers are siblings: ptrace.c (a live process), core.c (a core file).
 */
#ifndef GMR_CAPTURE_CAPTURE_H
#define GMR_CAPTURE_CAPTURE_H

#include "snapshot/snapshot.h"

/* How threads stand while they are copied. */
enum gmr__capture_stop {
    GMR__CAPTURE_PLAIN,    /* one after the other, perhaps two at once; nobody has to see them stand */
    GMR__CAPTURE_EACH,     /* one after the other, each shown to `stopped` */
    GMR__CAPTURE_TOGETHER, /* all at once, as with stop_all */
};

/* Zero is the default everywhere. */
struct gmr__capture_options {
    const char *proc;            /* where procfs is mounted: "/proc" */
    size_t stack_bytes;          /* copied of one stack at most; 1 MiB */
    unsigned thread_deadline_ms; /* how long to wait for one thread to stop; 50 */
    unsigned stall_ms;           /* given up when nothing has moved for so long; 3000 */
    uint64_t deadline_ns;        /* CLOCK_MONOTONIC, the whole capture; none */
    bool stop_all;               /* all threads at once, for one consistent picture; else one after the other */

    /* For stacks that are more than memory should take. Runs in the inspector while further threads are copied, for one after the other,
     * as soon as the copies take batch_bytes (0: 1 MiB; for each of at most two processes, twice); afterwards the copy is gone, in the snapshot
     * data is NULL. Meanwhile the snapshot has its map, read_live, no extra segments and no list of threads. False: all copies stay.
     * NULL: as false. Only where threads stand as CAPTURE_PLAIN says. */
    bool (*drain)(struct gmr__snapshot *snapshot, const struct gmr__thread *thread, void *userdata);
    void *drain_userdata;
    size_t batch_bytes;

    /* For those who copy more than stacks (green threads). Any may be NULL. `before` runs in the inspector, with the map read and the
     * target running, and says how threads are to stand. `stopped` runs in the capturing process: what it leaves
     * must be allocated from the snapshot. With stop_all it is called once, first 0 and count all threads (those whose regs.valid
     * is 0 don't stand); else for each thread, count 1, while it alone stands: snapshot->threads[first .. first + count). `stack_end` runs
     * there, too: where a stack ends that is not the OS thread's own, 0 if it is not known; the copy ends there. `serve` runs
     * in the inspector meanwhile, whenever serve_fd is readable (`stopped` may ask it for something, and wait a bounded time);
     * threads: all there are so far. */
    enum gmr__capture_stop (*before)(struct gmr__snapshot *snapshot, void *userdata);
    void (*stopped)(struct gmr__snapshot *snapshot, size_t first, size_t count, void *userdata);
    uint64_t (*stack_end)(uint64_t sp, void *userdata);
    void (*serve)(struct gmr__snapshot *snapshot, const struct gmr__thread *threads, void *userdata);
    int serve_fd;
    void *userdata;
};

/*
 * Copies registers and stacks of every thread of a live process. The target is held one or two threads at a time, tens of microseconds each; nothing
 * of it stays stopped, whatever happens to the caller. A partial result is normal: threads tell by `quality` and `reason` what is missing,
 * the snapshot by `problem`.
 * options may be NULL. *out is the caller's (gmr__snapshot_free).
 * Returns 0; -ESRCH no such process; -ENOMEM; -EINVAL.
 */
int gmr__capture_ptrace(pid_t pid, const struct gmr__capture_options *options, struct gmr__snapshot **out);

#endif
