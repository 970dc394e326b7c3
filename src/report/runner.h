/*
 * report/runner.h - what the two halves of the runners share: runner_as.c, the reporter's, and runner.c, the threads themselves.
 *
 * Between them: a state word that is a futex, and an arena that the reporter mapped and the reporter alone unmaps.
 *
 *   NONE -> STARTING -> IDLE -> BUSY -> DONE -> IDLE           the usual way
 *                               BUSY -> LATE -> HOME -> IDLE   abandoned at its deadline, came home later
 *                               BUSY -> CRASHED                parked in the signal handler for good
 */
#ifndef GMR_REPORT_RUNNER_H
#define GMR_REPORT_RUNNER_H

#include <stdatomic.h>

#include "report/registry.h"

#define GMR__RUNNERS 16 /* two, and one for each generator that never returns: none is started again while it runs */

enum gmr__runner_state {
    GMR__RUNNER_NONE = 0,
    GMR__RUNNER_STARTING,
    GMR__RUNNER_IDLE,
    GMR__RUNNER_BUSY,
    GMR__RUNNER_DONE,
    GMR__RUNNER_LATE,
    GMR__RUNNER_HOME,
    GMR__RUNNER_CRASHED
};

struct gmr__runner {
    _Atomic uint32_t state;
    _Atomic int tid;
    struct gmr__job *job;
};
extern struct gmr__runner gmr__runners[GMR__RUNNERS];

static inline uint32_t *gmr__runner_word(struct gmr__runner *runner)
{
    return (uint32_t *)&runner->state;
}

#endif
