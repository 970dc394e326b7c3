/*
 * report/crash_stack.c - the alternative stacks of threads, on which a crash is handled when a thread's own stack has overflowed.
 *
 * Each thread for itself, at its start or at setup; uses libc. Called by trigger/setup.c, runner.c, the program (gmr_crash_stack) and
 * trigger/preload_threads.c (every thread of an unmodified program). A thread that has an alternative stack of its own keeps it. The memory
 * lasts as long as the thread: it goes by the last round of thread-specific destructors, and only if it is still ours to give back.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "gmr/gmr.h"
#include "report/crash.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13: a guard that costs no mapping of its own */
#endif

/* What the handler itself needs, beyond the frame that the kernel pushes. */
#define HANDLER_BYTES (48u << 10)
/* Before Linux 6.13 each guard costs two of the 65,530 mappings (vm.max_map_count), which a program with very many threads has no spare of. */
#define MOST_COSTLY_GUARDS 1000
#define SPARES 16
#define LOW_BITS ((uintptr_t)15)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;
/* Of threads that have ended. */
static _Atomic(char *) spares[SPARES];
static _Atomic int costly_guards;

/* The kernel's pages may be of 64 KiB. */
static size_t page_bytes(void)
{
    return getauxval(AT_PAGESZ);
}

static size_t usable_bytes(void)
{
    size_t page = page_bytes();
    /* AVX-512 and AMX frames are larger than MINSIGSTKSZ says; the kernel tells (Linux 5.14). */
    size_t frame = getauxval(AT_MINSIGSTKSZ);
    return ((frame > 2048 ? frame : 16384) + HANDLER_BYTES + page - 1) / page * page;
}

static char *new_stack(void)
{
    for (int i = 0; i < SPARES; i++) {
        char *spare = atomic_exchange(&spares[i], NULL);
        if (spare)
            return spare;
    }
    char *memory = mmap(NULL, page_bytes() + usable_bytes(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (madvise(memory, page_bytes(), MADV_GUARD_INSTALL) != 0 &&
        atomic_fetch_add(&costly_guards, 1) < MOST_COSTLY_GUARDS)
        mprotect(memory, page_bytes(), PROT_NONE);
    return memory;
}

static void give_back(char *memory)
{
    for (int i = 0; i < SPARES; i++) {
        char *none = NULL;
        if (atomic_compare_exchange_strong(&spares[i], &none, memory))
            return;
    }
    munmap(memory, page_bytes() + usable_bytes());
}

/* The thread ends. The low bits of the value count the rounds of destructors, so that another one that overflows is seen, too. */
static void at_thread_end(void *value)
{
    char *memory = (char *)((uintptr_t)value & ~LOW_BITS);
    stack_t now, none = {.ss_flags = SS_DISABLE};
    if (((uintptr_t)value & LOW_BITS) + 1 < PTHREAD_DESTRUCTOR_ITERATIONS &&
        pthread_setspecific(key, (char *)value + 1) == 0)
        return;
    /* Switched off by somebody who may have unmapped it, as AddressSanitizer does; or in use, by a handler that ended the thread. */
    if (sigaltstack(NULL, &now) != 0 || now.ss_flags & (SS_DISABLE | SS_ONSTACK))
        return;
    if (now.ss_sp == memory + page_bytes())
        sigaltstack(&none, NULL);
    give_back(memory);
}

static void make_key(void)
{
    have_key = pthread_key_create(&key, at_thread_end) == 0;
}

int gmr__crash_stack(void)
{
    stack_t now;
    int saved = errno, error = 0;
    pthread_once(&once, make_key);
    if (!have_key)
        return -EAGAIN;
    if (sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_DISABLE))
        return 0;
    char *memory = new_stack();
    stack_t stack = {.ss_sp = memory + page_bytes(), .ss_size = usable_bytes()};
    if (!memory) {
        error = -ENOMEM;
    } else if (pthread_setspecific(key, memory) != 0 || sigaltstack(&stack, NULL) != 0) {
        pthread_setspecific(key, NULL);
        give_back(memory);
        error = -ENOMEM;
    }
    errno = saved;
    return error;
}

GMR_API int gmr_crash_stack(void)
{
    return gmr__crash_stack();
}
