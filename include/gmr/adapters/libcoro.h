/*
 * gmr/adapters/libcoro.h - coroutines of libcoro (its assembly variant, CORO_ASM).
 *
 * Include coro.h first. After coro_create(): green = gmr_libcoro_add(&context, stack, size, function, argument); before coro_destroy():
 * gmr_green_del(green).
 */
#ifndef GMR_ADAPTERS_LIBCORO_H
#define GMR_ADAPTERS_LIBCORO_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_libcoro_add(coro_context *context, void *stack, size_t size, void *function,
                                                void *argument)
{
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBCORO), stack, size, &context->sp, function, argument);
}

#ifdef __cplusplus
}
#endif

#endif
