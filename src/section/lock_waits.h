/*
 * section/lock_waits.h - which thread waits for which other one: for a mutex it holds, or for its end.
 *
 * Inspector only.
 */
#ifndef GMR_SECTION_LOCK_WAITS_H
#define GMR_SECTION_LOCK_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gmr__analysis;

#define GMR__WAITS_FOR_MUTEX "mutex"
#define GMR__WAITS_FOR_THREAD "thread" /* for its end: pthread_join */

struct gmr__lock_wait {
    int64_t tid;
    const char *kind;  /* one of the above; NULL: nothing is known */
    uint64_t address;  /* of the mutex */
    int64_t holder;    /* the thread that holds it; that is to end */
    bool timed;        /* it gives up after a while */
    bool deadlock;     /* it waits for itself in the end */
    unsigned follower; /* gmr__lock_cycles' own */
};

/* One for each thread of the snapshot, in its order; free() it. NULL: no thread is known to wait for another, or no memory. A live process
 * only, which is looked at now: what does not hold now as it did when the threads were copied is left out. */
struct gmr__lock_wait *gmr__lock_waits(const struct gmr__analysis *analysis);

/* Marks those that wait in a circle. */
void gmr__lock_cycles(struct gmr__lock_wait *waits, size_t count);

#endif
