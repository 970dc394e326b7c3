/*
 * capture/apart.h - work done in short-lived processes of their own, watched from here.
 *
 * Inspector only.
 */
#ifndef GMR_CAPTURE_APART_H
#define GMR_CAPTURE_APART_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GMR__APART_MAX 2

struct gmr__apart_worker {
    void (*work)(void *userdata);
    void *userdata;
    const uint64_t *progress; /* in shared memory; moves as long as it is not stuck */
    /* The caller's. */
    pid_t pid;
    int pidfd;
    uint64_t seen, moved_ns;
    bool ended, killed;
};

struct gmr__apart {
    uint64_t stall_ns;    /* killed when its progress has not moved for so long */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, 0: none; killed a second after it, for by itself it ends earlier */
    bool moving; /* they choose their processor, and are freed from it when their progress does not move for long */
    /* Run here whenever one of the descriptors is readable, for those that ask this process for something. -1: none */
    int serve_fd[GMR__APART_MAX + 1];
    void (*serve)(void *userdata, unsigned which);
    void *serve_userdata;
};

/* Forks a process for each (at most GMR__APART_MAX) and waits for their ends. Where one can't be forked its work is done here. Not for a process
 * with threads: what is forked goes on without exec. False: one had to be killed. */
bool gmr__apart_run(const struct gmr__apart *apart, struct gmr__apart_worker *workers, unsigned count);

#endif
