/*
 * tests/outside/green_stand.h - a small stand-in for the common code behind green/green.h, so that one source can be driven
 * alone, over a live process, with memory that lies when asked to.
 *
 * Tests only. The process is stopped with SIGSTOP for `collect`: it must be the test's own child.
 */
#ifndef GMR_TESTS_GREEN_STAND_H
#define GMR_TESTS_GREEN_STAND_H

#include "green/green.h"

struct stand;

struct stand *stand_new(pid_t pid);
void stand_free(struct stand *stand);
/* Every n-th read yields damaged bytes (0: none); the damage follows from seed. */
void stand_lie(struct stand *stand, unsigned every, unsigned seed);
/* Lies as these bytes say (tests/fuzz/fuzz_green.c); borrowed. */
void stand_lie_as(struct stand *stand, const unsigned char *script, size_t bytes);
/* find, ahead, collect, finish. What find returned. */
int stand_run(struct stand *stand, const struct gmr__green_source *source);

size_t stand_count(const struct stand *stand);
const struct gmr__green_thread *stand_thread(const struct stand *stand, size_t index);
size_t stand_os_count(const struct stand *stand);
const struct gmr__language_stack *stand_os(const struct stand *stand, size_t index, pid_t *tid);
const char *stand_notes(const struct stand *stand);
uint64_t stand_reads(const struct stand *stand);
/* What was found, for people and for scripts: "OS TID LANG" / "GREEN ID KIND STATE NAME WAIT", then a line a frame. */
void stand_print(const struct stand *stand);

#endif
