/*
 * unwind/self_cfi.h - one step up by .eh_frame in the process's own memory.
 *
 * The target's half; async-signal-safe.
 */
#ifndef GMR_UNWIND_SELF_CFI_H
#define GMR_UNWIND_SELF_CFI_H

#include "capture/self.h"

enum gmr__self_step {
    GMR__SELF_STEPPED = 0,
    GMR__SELF_OUTERMOST, /* the rules say that nothing called it */
    GMR__SELF_NO_RULE,
    GMR__SELF_BAD_MEMORY, /* the rules lead where nothing was copied */
};

struct gmr__self_cfi {
    struct gmr__peek *peek;
    const struct gmr__self_module *module;
    bool (*read)(void *userdata, uint64_t address, void *to, size_t bytes); /* the stack */
    void *userdata;
};

/* lookup: an address within the instruction. signal_frame: the frame that was left is a signal's trampoline. */
enum gmr__self_step gmr__self_cfi_step(const struct gmr__self_cfi *cfi, struct gmr__regs *regs, uint64_t lookup,
                                       bool *signal_frame);

#endif
