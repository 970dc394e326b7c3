/*
 * sys/pin.h - one process, held on to while its number may be used again. Both halves, async-signal-safe.
 */
#ifndef GMR_SYS_PIN_H
#define GMR_SYS_PIN_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * From now on gmr__proc_path and all that stand on it lead to the very process that has this number now, or to nothing when it is gone.
 * One process at a time: the one pinned before is let go. Takes a descriptor.
 * 0; -ESRCH: there is none; -ENOTSUP and other errors: it can't be pinned, everything goes by its number as before.
 */
int gmr__pin(pid_t pid);
void gmr__unpin(void);

/* Is it the pinned one, and has it ended and been reaped, so that its number may be another's? tid: or that thread of it (0: none). */
bool gmr__pinned_gone(pid_t pid, pid_t tid);

/* gmr__proc_path's: what stands for PROC/PID; NULL: not pinned. */
const char *gmr__pinned_path(const char *proc, pid_t pid);

#endif
