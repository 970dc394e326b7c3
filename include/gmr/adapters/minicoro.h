/*
 * gmr/adapters/minicoro.h - coroutines of minicoro (its assembly variant).
 *
 * Include minicoro.h first. After mco_create(): green = gmr_minicoro_add(coroutine); before mco_destroy(): gmr_green_del(green).
 */
#ifndef GMR_ADAPTERS_MINICORO_H
#define GMR_ADAPTERS_MINICORO_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_minicoro_add(mco_coro *coroutine)
{
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_MINICORO), coroutine->stack_base, coroutine->stack_size,
                         coroutine->context, (void *)coroutine->func, coroutine);
}

#ifdef __cplusplus
}
#endif

#endif
