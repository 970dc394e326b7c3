/*
 * unwind/unwind.h - from a snapshot's registers and stack bytes to a list of pcs.
 *
 * Inspector only. Rules come from call-frame information (libdw), computed once per pc and cached. Never runs while the target
 * is stopped. Finds a pc's module through symbol/module.h.
 */
#ifndef GMR_UNWIND_UNWIND_H
#define GMR_UNWIND_UNWIND_H

#include "snapshot/snapshot.h"

struct gmr__frame {
    uint64_t pc;     /* as it stands: a return address unless `activation` */
    uint64_t cfa;    /* 0 if unknown */
    bool activation; /* pc is the instruction itself (innermost, or interrupted by a signal): look up pc, else pc - 1 */
    bool signal_frame; /* the trampoline that a signal handler returns to */
    bool guessed;      /* found by frame pointer or scan, not by CFI */
};

/* Frames of one stack, kept once however many threads have it. */
struct gmr__stack {
    uint32_t index; /* in stacks[] of the report */
    uint32_t frame_count;
    const struct gmr__frame *frames; /* innermost first */
    const char *end;                 /* why it ends there, early or not: a sentence; NULL: at the outermost frame */
    bool whole;                      /* it ends where the thread began */
};

struct gmr__unwinder;
struct gmr__modules; /* symbol/module.h */

struct gmr__unwinder *gmr__unwinder_new(const struct gmr__snapshot *snapshot, struct gmr__modules *modules,
                                        uint32_t max_frames);
/* Where the function that holds pc begins, 0 if unknown. Asked only where there is no call-frame information. */
typedef uint64_t (*gmr__function_start)(void *userdata, uint64_t pc);
void gmr__unwinder_set_function_start(struct gmr__unwinder *unwinder, gmr__function_start function, void *userdata);
/* From now on with these modules, of the snapshot's new map. Stacks made before stay. False: no memory, nothing changed. */
bool gmr__unwinder_renew(struct gmr__unwinder *unwinder, struct gmr__modules *modules);
void gmr__unwinder_free(struct gmr__unwinder *unwinder);

/* Unwinds from regs over the bytes of `stack`. [low, high): stop once the CFA leaves it (0, 0: no such bound; green threads).
 * Identical lists of frames yield the same stack object, which lives as long as the unwinder. NULL only without memory. */
const struct gmr__stack *gmr__unwind(struct gmr__unwinder *unwinder, const struct gmr__regs *regs,
                                     const struct gmr__segment *stack, uint64_t low, uint64_t high, bool activation);
uint32_t gmr__unwinder_stack_count(const struct gmr__unwinder *unwinder);
const struct gmr__stack *gmr__unwinder_stack(const struct gmr__unwinder *unwinder, uint32_t index);

#endif
