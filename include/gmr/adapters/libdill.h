/*
 * gmr/adapters/libdill.h - coroutines of libdill.
 *
 * Where a coroutine is made (dill_prologue): green = gmr_libdill_add(&cr->ctx, stack, size); where it ends (dill_epilogue):
 * gmr_green_del(green). stack: its lowest byte.
 */
#ifndef GMR_ADAPTERS_LIBDILL_H
#define GMR_ADAPTERS_LIBDILL_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_libdill_add(void *context, void *stack, size_t size)
{
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBDILL), stack, size, context, NULL, NULL);
}

#ifdef __cplusplus
}
#endif

#endif
