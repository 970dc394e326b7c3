/* tests/targets/puppet.h - what the files of the puppet share. */
#ifndef TESTS_PUPPET_H
#define TESTS_PUPPET_H

#include <gmr/gmr.h>

/* puppet_generators.c */
extern volatile int never; /* 0, which the compiler doesn't know */
gmr_generator generator_of(const char *name);
int recurse(int depth); /* without end */

/* puppet_sick.c: what the process becomes. */
long crash(const char *kind);
long be(const char *state, char *argument);
long exhaust(void); /* descriptors; how many it took */
long set_own_handler(void);
void stop_in_fork(void); /* a fork handler, of the state malloc-held */
void *idle(void *unused);

#endif
