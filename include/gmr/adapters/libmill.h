/*
 * gmr/adapters/libmill.h - coroutines of libmill (x86-64).
 *
 * Where a coroutine is made (mill_go_prologue): green = gmr_libmill_add(&cr->ctx, stack, size); where it ends: gmr_green_del(green).
 * stack: its lowest byte.
 */
#ifndef GMR_ADAPTERS_LIBMILL_H
#define GMR_ADAPTERS_LIBMILL_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_libmill_add(void *context, void *stack, size_t size)
{
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBMILL), stack, size, context, NULL, NULL);
}

#ifdef __cplusplus
}
#endif

#endif
