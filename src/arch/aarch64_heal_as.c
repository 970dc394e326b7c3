/*
 * arch/aarch64_heal_as.c - aarch64 can't make an interrupted call again: x0 holds -EINTR, and with it the first argument is gone.
 *
 * libgmr's signal handlers; async-signal-safe. Calls that SA_RESTART does not cover (signal(7)) return EINTR there.
 */
#include "arch/target.h"

bool gmr__heal_eintr(void *context)
{
    return false;
}
