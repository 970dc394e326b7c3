/*
 * tests/green/target_context.c - makecontext and swapcontext in all the ways programs use them, without a line of gmr.
 *
 *     target_context [more]
 *
 * On their own stacks: "deep" and "shallow" wait, "fresh" never ran, "ended" returned, "reused" is the second on its stack, one stack was
 * unmapped under its context, "jumper" is switched by setjmp once it runs, one was made with nine arguments. With `more`: that many contexts
 * one after the other, each on memory of its own that is freed again. The last one, "spinner", keeps running.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES 65536u

static ucontext_t home;
static jmp_buf home_jump, jumper_jump;

static void *new_stack(void)
{
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED)
        abort();
    return stack;
}

static ucontext_t *make(void *stack, void (*entry)(void), int number, int levels)
{
    ucontext_t *context = calloc(1, sizeof(*context));
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = STACK_BYTES;
    context->uc_link = &home;
    makecontext(context, entry, 2, number, levels);
    return context;
}

static ucontext_t *contexts[16];

static __attribute__((noinline)) int descend(int number, int levels)
{
    if (levels > 0) {
        int below = descend(number, levels - 1);
        __asm__ volatile("" ::: "memory");
        return below + 1;
    }
    swapcontext(contexts[number], &home);
    __asm__ volatile("" ::: "memory");
    return 0;
}

static void waits(int number, int levels)
{
    for (;;)
        descend(number, levels);
}

static void returns(int number, int levels)
{
    descend(number, levels);
}

static void fresh(int number, int levels)
{
    abort();
}

static void jumps(int number, int levels)
{
    if (setjmp(jumper_jump) == 0)
        longjmp(home_jump, 1);
    abort();
}

static int nine_sum;
static void nine(int number, int b, int c, int d, int e, int f, int g, int h, int i)
{
    nine_sum = b + c + d + e + f + g + h + i;
    for (;;)
        descend(number, 1);
}

static void run(int number)
{
    swapcontext(&home, contexts[number]);
}

static void spins(int number, int levels)
{
    puts("ready");
    fflush(stdout);
    for (;;)
        __asm__ volatile("" ::: "memory");
}

/* Each on a stack of another size, so that they lie over each other in ever other ways. */
static void come_and_go(int count)
{
    for (int i = 0; i < count; i++) {
        size_t bytes = 4096 + (size_t)(i % 61) * 1024;
        char *stack = malloc(bytes);
        ucontext_t *context = malloc(sizeof(*context));
        getcontext(context);
        context->uc_stack.ss_sp = stack;
        context->uc_stack.ss_size = bytes;
        context->uc_link = &home;
        contexts[15] = context;
        makecontext(context, (void (*)(void))waits, 2, 15, i % 3);
        run(15);
        free(stack);
        free(context);
    }
}

#define ENTRY(function) ((void (*)(void))(void *)(function))

int main(int argc, char **argv)
{
    contexts[0] = make(new_stack(), ENTRY(waits), 0, 5);
    contexts[1] = make(new_stack(), ENTRY(waits), 1, 1);
    contexts[2] = make(new_stack(), ENTRY(fresh), 2, 0);
    contexts[3] = make(new_stack(), ENTRY(returns), 3, 2);
    void *twice = new_stack(), *gone = new_stack();
    contexts[4] = make(twice, ENTRY(waits), 4, 9);
    contexts[6] = make(gone, ENTRY(waits), 6, 1);
    contexts[7] = make(new_stack(), ENTRY(jumps), 7, 0);
    for (int i = 0; i < 7; i++)
        if (i != 2 && i != 5)
            run(i);
    run(3); /* goes on, and returns */
    contexts[5] = make(twice, ENTRY(waits), 5, 3);
    run(5);
    munmap(gone, STACK_BYTES);
    if (setjmp(home_jump) == 0)
        run(7);

    contexts[8] = make(new_stack(), ENTRY(waits), 8, 0);
    makecontext(contexts[8], ENTRY(nine), 9, 8, 1, 2, 3, 4, 5, 6, 7, 8);
    run(8);
    if (nine_sum != 36)
        return 1;
    come_and_go(argc > 1 ? atoi(argv[1]) : 0);
    pid_t parent = getpid();
    if (fork() == 0) { /* a child may make more of them */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
        contexts[10] = make(new_stack(), ENTRY(waits), 10, 2);
        run(10);
        for (;;)
            pause();
    }
    contexts[9] = make(new_stack(), ENTRY(spins), 9, 0);
    run(9);
    return 1;
}
