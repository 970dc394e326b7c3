/*
 * gmr/adapters/ucontext.h - green threads on makecontext and swapcontext.
 *
 * Right after makecontext(): green = gmr_ucontext_add(&context, entry, argument); before the stack is freed: gmr_green_del(green).
 * The ucontext_t must be the one that swapcontext() saves this green thread in. Programs under `gmr run` need none of this.
 */
#ifndef GMR_ADAPTERS_UCONTEXT_H
#define GMR_ADAPTERS_UCONTEXT_H

#include <ucontext.h>

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_ucontext_add(ucontext_t *context, void (*entry)(void), void *argument)
{
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_UCONTEXT), context->uc_stack.ss_sp, context->uc_stack.ss_size,
                         context, (void *)entry, argument);
}

#ifdef __cplusplus
}
#endif

#endif
