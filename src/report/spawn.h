/*
 * report/spawn.h - starts the inspector beside the target, unseen by the target.
 *
 * Reporter thread; async-signal-safe.
 */
#ifndef GMR_REPORT_SPAWN_H
#define GMR_REPORT_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GMR__STREAM_FD 3 /* where the inspector finds the write end */

struct gmr__spawn {
    int exec_fd;      /* O_PATH of the inspector, -1: by path */
    const char *path; /* tried where exec_fd can't be executed (a script of a test's); NULL: none */
    char *const *argv;
    char *const *envp;
    unsigned cpu_seconds; /* its RLIMIT_CPU */
    uint64_t deadline_ns; /* it is killed then */
    bool yama;            /* name it with PR_SET_PTRACER */

    /* results */
    pid_t pid;  /* of the intermediate that stands between it and us */
    int stream; /* read end of its output, O_NONBLOCK */
    int error;  /* -errno of the exec, 0 if it started */
    pid_t inspector;
    int wait_status; /* valid once gmr__spawn_end() returned true, and if `seen` */

    /* private */
    int write_end;
    void *stack;
    bool seen; /* the intermediate saw the inspector end */
    volatile bool stop;
};

/* 0 or -errno; on failure nothing is left behind. */
int gmr__spawn_begin(struct gmr__spawn *spawn);

/* Waits for the end (now: kills it first), until the deadline and a little; false if even killing did not help (its stack is then left
 * alone for ever). Closes the stream. */
bool gmr__spawn_end(struct gmr__spawn *spawn, bool now);

#endif
