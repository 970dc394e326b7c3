/*
 * shapes.c - a thread for each shape of stack that compilers make of C: deep, alloca, realigned, callbacks, variable arrays, many
 * arguments, function pointers, noreturn at the end, a cold part split off, inlined calls, tail calls, a signal handler
 * (plain, nested, on an alternative stack).
 */
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ready.h"

#define NOINLINE __attribute__((noinline, noclone))

static volatile int sink;

NOINLINE static void wait_here(int n)
{
    arrive();
    for (;;) {
        pause();
        sink += n;
    }
}

NOINLINE static int recurse(int depth)
{
    if (depth == 0) {
        wait_here(depth);
        return 1;
    }
    return recurse(depth - 1) * sink + depth;
}

NOINLINE static int with_alloca(int bytes)
{
    char *memory = alloca((size_t)bytes + 100);
    memset(memory, bytes, (size_t)bytes);
    wait_here(memory[bytes / 2]);
    return memory[0];
}

NOINLINE static int realigned(int n)
{
    _Alignas(64) volatile char block[256];
    block[n & 255] = (char)n;
    wait_here(block[n & 255]);
    return block[1];
}

NOINLINE static int variable_array(int n)
{
    _Alignas(64) volatile int fixed[16];
    volatile int array[n];
    array[n - 1] = fixed[n & 15] = n;
    wait_here(array[0] + fixed[0]);
    return array[n - 1] + fixed[1];
}

NOINLINE static int compare(const void *a, const void *b)
{
    wait_here(3);
    return *(const int *)a - *(const int *)b;
}

NOINLINE static int callback(int n)
{
    int list[] = {3, 1, n, 2};
    qsort(list, 4, sizeof(list[0]), compare);
    return list[0];
}

NOINLINE static int many(int a, long b, char c, double d, int e, int f, int g, int h, long i, struct timespec t)
{
    wait_here(a + (int)b + c + (int)d + e + f + g + h + (int)i);
    return (int)t.tv_sec + a;
}

NOINLINE static int through_pointer(int (*volatile function)(int), int n)
{
    int result = function(n) + 1;
    return result * n;
}

__attribute__((noreturn)) NOINLINE static void never_returns(int n)
{
    for (;;)
        wait_here(n);
}

NOINLINE static int calls_never_returns(int n)
{
    if (n > 0)
        never_returns(n); /* the return address lies behind the function's end */
    return n;
}

__attribute__((cold)) NOINLINE static void rarely(int n)
{
    wait_here(n);
}

NOINLINE static int split_cold(int n)
{
    int total = 0;
    for (int i = 0; i < n; i++)
        total += sink * i;
    if (__builtin_expect(n == 7, 0)) {
        rarely(total);
        total ^= sink;
        rarely(total + 1);
    }
    return total + sink;
}

static inline __attribute__((always_inline)) int inlined_leaf(int n)
{
    wait_here(n + 1);
    return n * 3;
}

static inline __attribute__((always_inline)) int inlined_middle(int n)
{
    int twice = inlined_leaf(n * 2);
    return twice + sink;
}

NOINLINE static int holds_inlined(int n)
{
    int x = inlined_middle(n + 5);
    return x - n;
}

NOINLINE static int tail_callee(int n)
{
    wait_here(n);
    return n + sink;
}

NOINLINE static int tail_caller(int n)
{
    sink++;
    return tail_callee(n * 2);
}

NOINLINE static int tail_outer(int n)
{
    int x = tail_caller(n + 1);
    return x + 1;
}

NOINLINE static void inner_handler(int signo)
{
    wait_here(signo);
}

NOINLINE static void outer_handler(int signo)
{
    pthread_kill(pthread_self(), SIGUSR2);
    sink += signo;
}

NOINLINE static int in_handlers(int n)
{
    pthread_kill(pthread_self(), SIGUSR1);
    return n + sink;
}

NOINLINE static int on_alternative_stack(int n)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&stack, NULL);
    pthread_kill(pthread_self(), SIGURG);
    return n + sink;
}

NOINLINE static int in_fault(int n)
{
    int *volatile nowhere = (int *)16;
    *nowhere = n;
    return n + sink;
}

static int (*const shapes[])(int) = {
    recurse,       with_alloca, realigned,   variable_array,       callback, calls_never_returns, split_cold,
    holds_inlined, tail_outer,  in_handlers, on_alternative_stack, in_fault};

static void *thread(void *number)
{
    int n = (int)(long)number;
    if (n == 100)
        return (void *)(long)many(1, 2, 3, 4.0, 5, 6, 7, 8, 9, (struct timespec){0, 0});
    if (n == 101)
        return (void *)(long)through_pointer(shapes[1], 77);
    return (void *)(long)(shapes[n](n == 6 ? 7 : 20) + 1);
}

int main(void)
{
    struct sigaction inner = {.sa_handler = inner_handler}, outer = {.sa_handler = outer_handler},
                     alternative = {.sa_handler = inner_handler, .sa_flags = SA_ONSTACK};
    int count = (int)(sizeof(shapes) / sizeof(shapes[0])), started = 0;
    pthread_t id;
    sigaction(SIGUSR1, &outer, NULL);
    sigaction(SIGUSR2, &inner, NULL);
    sigaction(SIGURG, &alternative, NULL);
    sigaction(SIGSEGV, &inner, NULL);
    for (int i = 0; i < count; i++, started++)
        pthread_create(&id, NULL, thread, (void *)(long)i);
    pthread_create(&id, NULL, thread, (void *)100);
    pthread_create(&id, NULL, thread, (void *)101);
    ready(started + 2);
    pause();
    return 0;
}
