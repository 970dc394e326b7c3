/*
 * trigger/preload_threads.c - gives every thread of an unmodified program an alternative stack, where crashes are to be reported.
 *
 * In libgmr-preload.so only, in front of glibc's functions of the same names; on the program's threads, uses libc. Must change nothing for the
 * program: what can't be had (memory, a key) costs the report of a stack overflow, never the thread. The thread's start routine is called in place of
 * ours (a sibling call), so that no stack shows another outermost frame than it would have had.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <threads.h>

#include "report/crash.h"
#include "report/runtime.h"

#define RECORDS 64

/* What a thread is to run; lives from the call that creates it until it runs. */
struct record {
    _Atomic bool taken;
    bool mapped; /* one for which there was no room in the table */
    union {
        void *(*routine)(void *);
        thrd_start_t c11;
    };
    void *argument;
};
static struct record records[RECORDS];

/* Threads may be created before setup, by constructors of other libraries: then the variable tells, as it will tell setup. */
static bool wanted(void)
{
    if (gmr__rt.settings)
        return gmr__rt.settings->crash;
    const char *value = secure_getenv("GMR_CRASH");
    return value && gmr__switch_on(value);
}

static struct record *take_record(void)
{
    for (int i = 0; i < RECORDS; i++) {
        bool no = false;
        if (atomic_compare_exchange_strong(&records[i].taken, &no, true))
            return &records[i];
    }
    /* malloc may be the program's own, and hold a lock while it creates a thread. */
    struct record *record = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (record == MAP_FAILED)
        return NULL;
    record->mapped = true;
    return record;
}

static void drop_record(struct record *record)
{
    if (record->mapped)
        munmap(record, sizeof(*record));
    else
        atomic_store(&record->taken, false);
}

static void *begin(void *argument)
{
    struct record *record = argument;
    void *(*routine)(void *) = record->routine;
    void *own = record->argument;
    drop_record(record);
    gmr__crash_stack();
    return routine(own);
}

static int begin_c11(void *argument)
{
    struct record *record = argument;
    thrd_start_t routine = record->c11;
    void *own = record->argument;
    drop_record(record);
    gmr__crash_stack();
    return routine(own);
}

/* glibc's own. */
static void *next(_Atomic(void *) *known, const char *name)
{
    void *function = atomic_load(known);
    if (!function) {
        function = dlsym(RTLD_NEXT, name);
        atomic_store(known, function);
    }
    return function;
}

GMR_API int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*routine)(void *),
                           void *argument)
{
    static _Atomic(void *) known;
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = next(&known, "pthread_create");
    if (!create)
        return EAGAIN;
    int saved = errno;
    struct record *record = wanted() ? take_record() : NULL;
    errno = saved;
    if (!record)
        return create(thread, attributes, routine, argument);
    record->routine = routine;
    record->argument = argument;
    int error = create(thread, attributes, begin, record);
    if (error)
        drop_record(record);
    return error;
}

GMR_API int thrd_create(thrd_t *thread, thrd_start_t routine, void *argument)
{
    static _Atomic(void *) known;
    int (*create)(thrd_t *, thrd_start_t, void *) = next(&known, "thrd_create");
    if (!create)
        return thrd_error;
    int saved = errno;
    struct record *record = wanted() ? take_record() : NULL;
    errno = saved;
    if (!record)
        return create(thread, routine, argument);
    record->c11 = routine;
    record->argument = argument;
    int error = create(thread, begin_c11, record);
    if (error != thrd_success)
        drop_record(record);
    return error;
}
