/*
 * arch/calls.h - names of system calls.
 *
 * Inspector only.
 */
#ifndef GMR_ARCH_CALLS_H
#define GMR_ARCH_CALLS_H

/* "epoll_wait" and the like, static; NULL for a number that has no name here. */
const char *gmr__arch_call_name(long number);

#endif
