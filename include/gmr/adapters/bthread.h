/*
 * gmr/adapters/bthread.h - bthreads of brpc.
 *
 * Where a bthread gets its stack (TaskGroup's get_stack): green = gmr_bthread_add(&stack->context, stack->storage.bottom,
 * stack->storage.stacksize, function, argument); where it gives it back: gmr_green_del(green). bottom: one past its highest byte, as
 * brpc has it.
 */
#ifndef GMR_ADAPTERS_BTHREAD_H
#define GMR_ADAPTERS_BTHREAD_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_bthread_add(void *context, void *bottom, size_t size, void *function,
                                                void *argument)
{
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_BTHREAD), (char *)bottom - size, size, context, function,
                         argument);
}

#ifdef __cplusplus
}
#endif

#endif
