/*
 * gmr/adapters/libco.h - coroutines of higan's libco, and of Tencent's.
 *
 * higan: after co_create(size, entry): green = gmr_libco_add(thread, size, entry); before co_delete(): gmr_green_del(green). The thread's
 * memory is its stack, its registers stand at its start. Tencent: include co_routine_inner.h or coctx.h first;
 * gmr_coctx_add(&co->ctx, ...) once the coroutine has a stack of its own (not the shared one).
 */
#ifndef GMR_ADAPTERS_LIBCO_H
#define GMR_ADAPTERS_LIBCO_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_libco_add(void *thread, unsigned size, void (*entry)(void))
{
    /* Most versions of co_create() add 512 bytes to what they are asked for, and the stack begins there. */
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBCO), thread, size + 512, thread, (void *)entry, NULL);
}

#ifdef __CO_CTX_H__
static inline struct gmr_green *gmr_coctx_add(coctx_t *context, void *entry, void *argument)
{
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBCO_TENCENT), context->ss_sp, context->ss_size, context->regs,
                         entry, argument);
}
#endif

#ifdef __cplusplus
}
#endif

#endif
