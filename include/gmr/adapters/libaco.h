/*
 * gmr/adapters/libaco.h - coroutines of libaco, whose stacks may be shared and copied away.
 *
 * Include aco.h first. After aco_create(): green = gmr_libaco_add(co); before aco_destroy(): gmr_green_del(green).
 */
#ifndef GMR_ADAPTERS_LIBACO_H
#define GMR_ADAPTERS_LIBACO_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_libaco_add(aco_t *co)
{
    struct gmr_green *green = gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBACO), co->share_stack->ptr,
                                            co->share_stack->sz, co, (void *)co->fp, co->arg);
    gmr_green_copied(green, (void *const *)&co->save_stack.ptr, &co->save_stack.valid_sz);
    gmr_green_copied_owner(green, (void *const *)&co->share_stack->owner);
    return green;
}

#ifdef __cplusplus
}
#endif

#endif
