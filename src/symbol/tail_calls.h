/*
 * symbol/tail_calls.h - frames that tail calls have taken off the stack. Inspector only.
 */
#ifndef GMR_SYMBOL_TAIL_CALLS_H
#define GMR_SYMBOL_TAIL_CALLS_H

#include "symbol/symbolizer.h"

void gmr__tail_calls_free(struct gmr__tail_calls *calls);

#endif
