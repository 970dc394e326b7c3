/*
 * tests/outside/coroutines_jump.c - coroutines that switch by setjmp and longjmp, as portable libraries have them.
 *
 *     coroutines_jump COUNT TURNS makecontext|sigaltstack [go]
 *
 * Their stacks are entered the first time by makecontext, or in a handler on an alternate stack. They wait at all depths, half of them in
 * the function that saves, half below it. Some have a jmp_buf for errors further up; some ended, their stacks are unmapped. A thread waits
 * in a function that catches errors. go: they go on switching.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES 32768u

struct coroutine {
    jmp_buf saved, error;
    char *stack;
    unsigned depth;
    int quit;
};

static jmp_buf home, made;
static struct coroutine *current;
static ucontext_t start_from;
static int by_signal;

#define KEEP_FRAME __asm__ volatile("" ::: "memory")

static __attribute__((noinline)) void schedule(void)
{
    volatile char room[24];
    room[0] = 1;
    longjmp(home, room[0]);
}

static __attribute__((noinline)) void yield_here(struct coroutine *self)
{
    if (_setjmp(self->saved) == 0)
        longjmp(home, 1);
    KEEP_FRAME;
}

static __attribute__((noinline)) void yield_below(struct coroutine *self)
{
    if (_setjmp(self->saved) == 0)
        schedule();
    KEEP_FRAME;
}

static __attribute__((noinline)) void descend(struct coroutine *self, unsigned levels)
{
    if (levels > 0)
        descend(self, levels - 1);
    else if (self->depth % 2)
        yield_here(self);
    else
        yield_below(self);
    KEEP_FRAME;
}

static __attribute__((noinline)) void body(struct coroutine *self)
{
    while (!self->quit) {
        if (_setjmp(self->error) == 0)
            descend(self, self->depth % 20);
        self->depth = self->depth * 1103515245u + 12345u;
    }
    longjmp(home, 1);
}

static void enter(void)
{
    struct coroutine *self = current;
    if (_setjmp(self->saved) == 0) {
        if (!by_signal)
            longjmp(made, 1);
        return; /* out of the handler: its frame is jumped back to, as sigaltstack's coroutines do */
    }
    body(current);
}

static void on_signal(int number)
{
    (void)number;
    enter();
}

static void create(struct coroutine *self, unsigned number)
{
    self->depth = number;
    self->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    current = self;
    if (by_signal) {
        stack_t stack = {.ss_sp = self->stack, .ss_size = STACK_BYTES}, off = {.ss_flags = SS_DISABLE};
        sigaltstack(&stack, NULL);
        raise(SIGUSR1);
        sigaltstack(&off, NULL);
    } else {
        getcontext(&start_from);
        start_from.uc_stack.ss_sp = self->stack;
        start_from.uc_stack.ss_size = STACK_BYTES;
        makecontext(&start_from, enter, 0);
        if (_setjmp(made) == 0)
            setcontext(&start_from);
    }
}

static __attribute__((noinline)) void resume(struct coroutine *self)
{
    current = self;
    if (_setjmp(home) == 0)
        longjmp(self->saved, 1);
}

static void *catches(void *unused)
{
    static jmp_buf error;
    if (_setjmp(error) == 0)
        for (;;)
            pause();
    return unused;
}

int main(int argc, char **argv)
{
    unsigned count = (unsigned)atoi(argv[1]), turns = (unsigned)atoi(argv[2]), ended = count / 10;
    struct coroutine *all = calloc(count + ended, sizeof(*all));
    pthread_t thread;
    by_signal = strcmp(argv[3], "sigaltstack") == 0;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&thread, NULL, catches, NULL);
    for (unsigned i = 0; i < count + ended; i++) {
        create(&all[i], i);
        resume(&all[i]);
    }
    for (unsigned i = 0; i < turns; i++)
        resume(&all[rand() % (count + ended)]);
    for (unsigned i = count; i < count + ended; i++) {
        all[i].quit = 1;
        resume(&all[i]);
        munmap(all[i].stack, STACK_BYTES);
    }
    puts("ready");
    fflush(stdout);
    while (argc > 4)
        resume(&all[rand() % count]);
    for (;;)
        pause();
}
