/*
 * tests/faults/failing.c - memory that runs out: makes the nth allocation fail, or all from it on.
 *
 * Two builds. As a shared object that is preloaded, it counts every allocation of the program, libc's included, from its first call of
 * failing_set() on. Linked into a gmr command of the tests' own with --wrap (FAILING_WRAPPED), it counts every allocation of that command, its libraries
 * and libc included, and is told by the environment: FAILING_AT=N[+], FAILING_LOG=FILE, where the count goes at the end.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Shared with children, so that "the nth" is one allocation of all together. */
struct plan {
    long at, count;
    bool and_after, set;
};
static struct plan own, *plan = &own;

static bool fails(void)
{
    if (!plan->set)
        return false;
    long number = __atomic_fetch_add(&plan->count, 1, __ATOMIC_RELAXED);
    if (plan->at < 0 || number < plan->at || (number > plan->at && !plan->and_after))
        return false;
    errno = ENOMEM;
    return true;
}

static void set_plan(const char *at)
{
    char *end;
    plan->at = strtol(at, &end, 10);
    plan->and_after = *end == '+';
    plan->count = 0;
    plan->set = true;
}

#ifdef FAILING_WRAPPED

#define NAME(function) __wrap_##function
#define REAL(function) __real_##function

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("FAILING_AT");
    void *place = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at && place != MAP_FAILED) {
        plan = place;
        set_plan(at);
    }
}

__attribute__((destructor)) static void end(void)
{
    const char *log = getenv("FAILING_LOG");
    plan->set = false;
    FILE *file = log ? fopen(log, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", plan->count);
        fclose(file);
    }
}

#else

#define NAME(function) function
#define REAL(function) __libc_##function

/* What was counted since the last call. */
__attribute__((visibility("default"))) long failing_set(const char *at);
long failing_set(const char *at)
{
    long count = plan->count;
    set_plan(at);
    return count;
}

#endif

extern void *REAL(malloc)(size_t bytes);
extern void *REAL(calloc)(size_t count, size_t bytes);
extern void *REAL(realloc)(void *block, size_t bytes);
__attribute__((visibility("default"))) void *NAME(malloc)(size_t bytes);
__attribute__((visibility("default"))) void *NAME(calloc)(size_t count, size_t bytes);
__attribute__((visibility("default"))) void *NAME(realloc)(void *block, size_t bytes);

void *NAME(malloc)(size_t bytes)
{
    return fails() ? NULL : REAL(malloc)(bytes);
}

void *NAME(calloc)(size_t count, size_t bytes)
{
    return fails() ? NULL : REAL(calloc)(count, bytes);
}

void *NAME(realloc)(void *block, size_t bytes)
{
    return fails() ? NULL : REAL(realloc)(block, bytes);
}
