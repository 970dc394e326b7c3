/*
 * tests/targets/locks.c - threads that wait for each other: `locks CASE`. Prints "ready" when all stand. For tests/e2e/test_locks.py.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t both;
static pthread_t main_thread;

static void called(const char *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

static void *lock_first(void *name)
{
    called(name);
    pthread_mutex_lock(&first);
    pthread_mutex_unlock(&first);
    return NULL;
}

static void *first_then_second(void *unused)
{
    called("ada");
    pthread_mutex_lock(&first);
    pthread_barrier_wait(&both);
    pthread_mutex_lock(&second);
    return unused;
}

static void *second_then_first(void *unused)
{
    called("grace");
    pthread_mutex_lock(&second);
    pthread_barrier_wait(&both);
    pthread_mutex_lock(&first);
    return unused;
}

static void *holder(void *unused)
{
    called("holder");
    pthread_mutex_lock(&first);
    pthread_barrier_wait(&both);
    for (;;)
        pause();
    return unused;
}

static void *for_a_while(void *unused)
{
    struct timespec until;
    called("patient");
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3600;
    pthread_mutex_timedlock(&first, &until);
    return unused;
}

static void *on_condition(void *unused)
{
    called("cond");
    pthread_mutex_lock(&second);
    for (;;)
        pthread_cond_wait(&never, &second);
    return unused;
}

static void *to_read(void *unused)
{
    called("reader");
    pthread_rwlock_rdlock(&shared);
    return unused;
}

static void *join_main(void *unused)
{
    called("joiner");
    pthread_join(main_thread, NULL);
    return unused;
}

/* Locked and let go as fast as it goes. */
static void *busy(void *unused)
{
    called("busy");
    for (;;) {
        pthread_mutex_lock(&first);
        for (volatile int i = 0; i < 200; i++)
            ;
        pthread_mutex_unlock(&first);
    }
    return unused;
}

static void start(void *(*run)(void *), const char *name)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, (void *)name) != 0)
        abort();
}

/* "normal", "recursive", "pi", "robust": how `first` is made. */
static void make_first(const char *kind)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (strcmp(kind, "recursive") == 0)
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    if (strcmp(kind, "errorcheck") == 0)
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    if (strcmp(kind, "pi") == 0)
        pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    if (strcmp(kind, "robust") == 0)
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&first, &attributes);
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "held";
    pthread_barrier_init(&both, NULL, 2);
    main_thread = pthread_self();
    make_first(argc > 2 ? argv[2] : "normal");
    if (strcmp(which, "deadlock") == 0) {
        start(first_then_second, NULL);
        start(second_then_first, NULL);
    } else if (strcmp(which, "busy") == 0) {
        for (int i = 0; i < 4; i++)
            start(busy, NULL);
    } else if (strcmp(which, "join") == 0) {
        pthread_mutex_lock(&first);
        pthread_t thread;
        pthread_create(&thread, NULL, lock_first, "ada");
        puts("ready");
        fflush(stdout);
        pthread_join(thread, NULL);
    } else if (strcmp(which, "self") == 0) {
        puts("ready");
        fflush(stdout);
        pthread_mutex_lock(&first);
        pthread_mutex_lock(&first);
    } else {
        start(holder, NULL);
        pthread_barrier_wait(&both);
        start(lock_first, "one");
        start(lock_first, "two");
        start(for_a_while, NULL);
        start(on_condition, NULL);
        start(join_main, NULL);
        pthread_rwlock_wrlock(&shared);
        start(to_read, NULL);
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
