/*
 * arch/target.h - the few instructions that only the target's half needs.
 *
 * libgmr only; async-signal-safe. One of x86_64_target.c, aarch64_target.c is built.
 */
#ifndef GMR_ARCH_TARGET_H
#define GMR_ARCH_TARGET_H

#include <stdbool.h>

/*
 * clone(flags): the child runs entry(argument) on the stack that ends at stack_top and exits with its result; it must not return into libc
 * nor use TLS. pidfd: where CLONE_PIDFD puts it, else NULL. Returns the child's pid or -errno.
 */
long gmr__clone(unsigned long flags, void *stack_top, int (*entry)(void *), void *argument, int *pidfd)
    __attribute__((visibility("hidden")));

/* By DWARF number, NULL-terminated: "rax", ... */
extern const char *const gmr__arch_register_names[];

/* In a signal handler, with the context it was given: if the signal made a system call return EINTR that SA_RESTART does not cover, and nothing
 * else is to blame, the call is made again when the handler returns. True if so. The handler must run with all signals blocked. */
bool gmr__heal_eintr(void *context);

#endif
