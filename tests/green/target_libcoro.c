/*
 * tests/green/target_libcoro.c - the real libcoro with the adapter: the one in Perl's Coro, whose module exports it.
 *
 * Tests only. Arguments: libperl, which the module needs, and the module. Two coroutines are left in the middle.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* As coro.h has them; it is not installed. */
typedef struct coro_context {
    void **sp;
} coro_context;
struct coro_stack {
    void *sptr;
    size_t ssze;
};
typedef void (*coro_func)(void *);

#include "gmr/adapters/libcoro.h"

static void (*create)(coro_context *, coro_func, void *, void *, size_t);
static void (*transfer)(coro_context *, coro_context *);
static int (*stack_alloc)(struct coro_stack *, unsigned);
static coro_context leader, contexts[2];

static int __attribute__((noinline)) libcoro_deep(int levels, coro_context *own)
{
    if (levels > 0)
        return libcoro_deep(levels - 1, own) + 1;
    transfer(own, &leader);
    return 0;
}

static void libcoro_worker(void *argument)
{
    coro_context *own = argument;
    libcoro_deep((int)(own - contexts), own);
    abort();
}

int main(int argc, char **argv)
{
    void *module = argc == 3 && dlopen(argv[1], RTLD_LAZY | RTLD_GLOBAL) ? dlopen(argv[2], RTLD_LAZY) : NULL;
    if (!module) {
        fprintf(stderr, "%s\n", argc == 3 ? dlerror() : "usage: target_libcoro LIBPERL MODULE");
        return 1;
    }
    *(void **)&create = dlsym(module, "coro_create");
    *(void **)&transfer = dlsym(module, "coro_transfer");
    *(void **)&stack_alloc = dlsym(module, "coro_stack_alloc");
    create(&leader, NULL, NULL, NULL, 0);
    for (int i = 0; i < 2; i++) {
        struct coro_stack stack;
        if (!stack_alloc(&stack, 0))
            return 1;
        create(&contexts[i], libcoro_worker, &contexts[i], stack.sptr, stack.ssze);
        struct gmr_green *green =
            gmr_libcoro_add(&contexts[i], stack.sptr, stack.ssze, (void *)libcoro_worker, &contexts[i]);
        gmr_green_name(green, i ? "second" : "first");
        transfer(&leader, &contexts[i]);
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
