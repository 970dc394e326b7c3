/*
 * arch/interpose.h - what the preload library needs of the architecture to stand in front of makecontext.
 *
 * libgmr-preload only. One of x86_64_interpose.c, aarch64_interpose.c is built; each defines makecontext itself, in assembly, since its
 * arguments are as many as the caller likes: it asks gmr__context_made where the libc's own is, and jumps there with every argument
 * in place.
 */
#ifndef GMR_ARCH_INTERPOSE_H
#define GMR_ARCH_INTERPOSE_H

#include <stdint.h>
#include <ucontext.h>

#define GMR__HIDDEN __attribute__((visibility("hidden")))

/* Called by makecontext before anything else is done; returns the libc's. first: the first argument of `function`. */
GMR__HIDDEN void *gmr__context_made(ucontext_t *context, void (*function)(void), int arguments, uint64_t first);

/*
 * The stack pointer that makecontext will give this context, and a mark left right below it, by which a reader tells whether the context
 * ever ran: zero, until the first switch to it pushes an address there. What lies there is the context's own already.
 * 0 where the architecture leaves no such trace.
 */
GMR__HIDDEN uint64_t gmr__context_mark(const ucontext_t *context, int arguments);

/* Of a context just made by the libc: the word at its stack pointer, which is the address its function returns to. 0 as above. */
GMR__HIDDEN uint64_t gmr__context_return(const ucontext_t *context);

#endif
