/*
 * gmr/adapters/photon.h - threads of PhotonLibOS.
 *
 * Where a thread is made (thread_create): green = gmr_photon_add(&th->stack._ptr, stack, size, function, argument); where it
 * dies: gmr_green_del(green). stack: its lowest byte.
 */
#ifndef GMR_ADAPTERS_PHOTON_H
#define GMR_ADAPTERS_PHOTON_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

static inline struct gmr_green *gmr_photon_add(void *stack_pointer, void *stack, size_t size, void *function,
                                               void *argument)
{
    return gmr_green_add(gmr_green_layout(GMR_LAYOUT_PHOTON), stack, size, stack_pointer, function, argument);
}

#ifdef __cplusplus
}
#endif

#endif
