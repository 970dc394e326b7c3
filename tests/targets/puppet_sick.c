/*
 * tests/targets/puppet_sick.c - the states of a sick process, and the ways to crash: what the puppet becomes when it is told to.
 */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "puppet.h"

static pthread_mutex_t stdio_held = PTHREAD_MUTEX_INITIALIZER;

static void hold_forever(void)
{
    pthread_mutex_lock(&stdio_held);
    for (;;)
        pause();
}

/* glibc's own lock around malloc's main arena is taken while a fork handler runs: prepare() of the last one registered first. A thread that
 * stops there holds it, and the loader's and stdio's, for good. */
static void *fork_and_never_return(void *unused)
{
    fork();
    return NULL;
}

static _Thread_local int never_returns;

void stop_in_fork(void)
{
    if (never_returns)
        hold_forever();
}

static void *hold_malloc(void *unused)
{
    never_returns = 1;
    return fork_and_never_return(NULL);
}

static void *hold_stdio(void *unused)
{
    flockfile(stderr);
    hold_forever();
    return NULL;
}

static void *hold_loader(void *path)
{
    dlopen(path, RTLD_NOW); /* its constructor never returns */
    return NULL;
}

void *idle(void *unused)
{
    for (;;)
        pause();
    return NULL;
}

static void *spin(void *unused)
{
    while (!never) {
    }
    return NULL;
}

static void *block_all(void *unused)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    return idle(NULL);
}

static void *write_for_ever(void *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (pwrite(fd, "x", 1, 0) >= 0) {
    }
    return NULL;
}

static void *churn(void *unused)
{
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, (void *(*)(void *))strdup, "x") == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

/* ---- crashes ---- */

static void *at_null(void *unused)
{
    *(volatile int *)(uintptr_t)never = 1;
    return NULL;
}

static void crash_in_handler(int signal)
{
    at_null(NULL);
}

static void smash_heap(void)
{
    char *volatile block = malloc(24);
    free(block);
    free(block);
}

static void at_once(void)
{
    pthread_t thread;
    for (int i = 0; i < 8; i++)
        pthread_create(&thread, NULL, at_null, NULL);
    for (;;)
        pause();
}

static void *overflow(void *unused)
{
    return (void *)(intptr_t)recurse(0);
}

static void *overflow_on_crash_stack(void *unused)
{
    return gmr_crash_stack() == 0 ? overflow(NULL) : NULL;
}

static void own_handler(int signal)
{
    static const char text[] = "own handler\n";
    sigset_t blocked;
    if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) != 0 || sigismember(&blocked, SIGUSR1) ||
        !sigismember(&blocked, signal))
        _exit(43); /* not the mask that it asked for */
    if (write(1, text, sizeof(text) - 1) > 0)
        _exit(42);
}

long set_own_handler(void)
{
    return signal(SIGSEGV, own_handler) == SIG_ERR;
}

long crash(const char *kind)
{
    static const char constant[] = "constant";
    pthread_t thread;
    if (strcmp(kind, "null") == 0)
        at_null(NULL);
    else if (strcmp(kind, "wild") == 0)
        *(volatile int *)(uintptr_t)(0x123456789000 + (uintptr_t)never) = 1;
    else if (strcmp(kind, "noncanonical") == 0)
        *(volatile int *)(uintptr_t)(0x4141414141414141 + (uintptr_t)never) = 1;
    else if (strcmp(kind, "constant") == 0)
        *(volatile char *)(uintptr_t)constant = 1;
    else if (strcmp(kind, "overflow") == 0)
        overflow(NULL);
    else if (strcmp(kind, "abort") == 0)
        abort();
    else if (strcmp(kind, "assert") == 0)
        assert(!"this can't be");
    else if (strcmp(kind, "heap") == 0)
        smash_heap();
    else if (strcmp(kind, "jump") == 0)
        ((void (*)(void))(uintptr_t)never)();
    else if (strcmp(kind, "trap") == 0)
        raise(SIGTRAP);
    else if (strcmp(kind, "divide") == 0)
        return (never + 1000) / never;
    else if (strcmp(kind, "illegal") == 0)
        __builtin_trap();
    else if (strcmp(kind, "at-once") == 0)
        at_once();
    else if (strcmp(kind, "thread") == 0)
        pthread_create(&thread, NULL, at_null, NULL), pause();
    else if (strcmp(kind, "thread-overflow") == 0)
        pthread_create(&thread, NULL, overflow_on_crash_stack, NULL), pause();
    else if (strcmp(kind, "in-handler") == 0)
        signal(SIGUSR1, crash_in_handler), raise(SIGUSR1);
    return 0;
}

long be(const char *state, char *argument)
{
    static const struct {
        const char *name;
        void *(*main)(void *);
    } states[] = {{"stdio-held", hold_stdio}, {"loader-held", hold_loader}, {"spinning", spin},
                  {"deaf", block_all},        {"churning", churn},          {"malloc-held", hold_malloc},
                  {"writing", write_for_ever}};
    pthread_t thread;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(states[i].name, state) == 0)
            return -pthread_create(&thread, NULL, states[i].main, argument ? strdup(argument) : NULL);
    return -EINVAL;
}

long exhaust(void)
{
    long opened = 0;
    while (open("/dev/null", O_RDONLY) >= 0)
        opened++;
    return opened;
}
