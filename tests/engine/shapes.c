/*
 * tests/engine/shapes.c - threads that stand where unwinding is hard, one a shape; each is named after its shape.
 *
 * Prints "ready" when all are on their way. Functions are named for what the test expects to see: SHAPE_INNER is the innermost of the
 * program's own, SHAPE_OUTER the outermost. Built several times: optimised or not, static, with musl.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, used))
#define AFTER __asm__ volatile("" ::: "memory") /* what stands before is no tail call */

static KEEP void wait_here(void)
{
    for (;;)
        pause();
}

/* ------------------------------------------------------------------------------ a handler on a stack of its own */

static int chance(void)
{
    volatile int zero = 0;
    return zero;
}

KEEP void altstack_inner(int number)
{
    (void)number;
    wait_here();
    AFTER;
}

static void on_other_stack(void (*handler)(int), int number, void *memory, size_t bytes)
{
    stack_t stack = {.ss_sp = memory, .ss_size = bytes};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigaltstack(&stack, NULL);
    sigaction(number, &action, NULL);
}

KEEP void altstack_outer(void)
{
    on_other_stack(altstack_inner, SIGUSR1, malloc(65536), 65536);
    pthread_kill(pthread_self(), SIGUSR1);
    AFTER;
}

/* The alternate stack is part of the thread's own, above where the signal strikes. */
KEEP void inside_inner(int number)
{
    (void)number;
    wait_here();
    AFTER;
}

KEEP void inside_outer(void)
{
    char memory[32768];
    on_other_stack(inside_inner, SIGUSR2, memory, sizeof(memory));
    pthread_kill(pthread_self(), SIGUSR2);
    AFTER;
    memset(memory, 0, sizeof(memory));
}

/* ------------------------------------------------------------------------------ a handler inside a handler, the second on the other stack */

KEEP void nested_inner(int number)
{
    (void)number;
    wait_here();
    AFTER;
}

KEEP void nested_middle(int number)
{
    (void)number;
    on_other_stack(nested_inner, SIGVTALRM, malloc(65536), 65536);
    pthread_kill(pthread_self(), SIGVTALRM);
    AFTER;
}

KEEP void nested_outer(void)
{
    struct sigaction action = {.sa_handler = nested_middle};
    sigaction(SIGPROF, &action, NULL);
    pthread_kill(pthread_self(), SIGPROF);
    AFTER;
}

/* ------------------------------------------------------------------------------ a call of address 0, caught */

KEEP void null_inner(int number)
{
    (void)number;
    wait_here();
    AFTER;
}

KEEP void null_outer(void)
{
    void (*volatile nowhere)(void) = NULL;
    struct sigaction action = {.sa_handler = null_inner};
    sigaction(SIGSEGV, &action, NULL);
    nowhere();
    AFTER;
}

/* ------------------------------------------------------------------------------ frames of variable size, realigned */

KEEP void aligned_inner(int bytes)
{
    volatile char local[bytes];
    _Alignas(64) volatile char aligned[64];
    local[0] = aligned[0] = 1;
    wait_here();
    AFTER;
    local[bytes - 1] = aligned[63];
}

KEEP void aligned_outer(void)
{
    _Alignas(128) volatile char aligned[128];
    aligned[1] = 1;
    aligned_inner(1000 + chance());
    AFTER;
    aligned[2] = 1;
}

/* ------------------------------------------------------------------------------ deep recursion */

KEEP int deep_inner(int depth)
{
    if (depth == 0)
        wait_here();
    else
        deep_inner(depth - 1);
    AFTER;
    return depth + 1;
}

KEEP void deep_outer(void)
{
    deep_inner(100000);
    AFTER;
}

/* ------------------------------------------------------------------------------ a function that does not return, called last */

KEEP __attribute__((noreturn)) void noreturn_inner(void)
{
    for (;;)
        wait_here();
}

KEEP void noreturn_outer(void)
{
    noreturn_inner();
}

/* ------------------------------------------------------------------------------ assembly without call-frame information */

void framed_asm(void (*call)(void));
void spinning_asm(void);
#ifdef __x86_64__
__asm__(
    ".text\n.globl framed_asm\n.type framed_asm,@function\n"
    "framed_asm: push %rbp\n mov %rsp,%rbp\n sub $48,%rsp\n call *%rdi\n leave\n ret\n.size framed_asm,.-framed_asm\n"
    ".globl spinning_asm\n.type spinning_asm,@function\n"
    "spinning_asm: 1: pause\n jmp 1b\n ret\n.size spinning_asm,.-spinning_asm\n");
/* push, mov, call *%rdi, pop, ret */
static const unsigned char made[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
#else
__asm__(".text\n.globl framed_asm\n.type framed_asm,%function\n"
        "framed_asm: stp x29, x30, [sp, #-64]!\n mov x29, sp\n blr x0\n ldp x29, x30, [sp], #64\n ret\n"
        ".size framed_asm,.-framed_asm\n"
        ".globl spinning_asm\n.type spinning_asm,%function\n"
        "spinning_asm: 1: yield\n b 1b\n ret\n.size spinning_asm,.-spinning_asm\n");
/* stp x29, x30, [sp, #-16]!; mov x29, sp; blr x0; ldp x29, x30, [sp], #16; ret */
static const uint32_t made[] = {0xa9bf7bfd, 0x910003fd, 0xd63f0000, 0xa8c17bfd, 0xd65f03c0};
#endif

KEEP void framedasm_inner(void)
{
    wait_here();
    AFTER;
}

KEEP void framedasm_outer(void)
{
    framed_asm(framedasm_inner);
    AFTER;
}

KEEP void leafasm_outer(void)
{
    spinning_asm();
    AFTER;
}

/* ------------------------------------------------------------------------------ code made at run time */

KEEP void jit_inner(void)
{
    wait_here();
    AFTER;
}

KEEP void jit_outer(void)
{
    unsigned char *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(place, made, sizeof(made));
    __builtin___clear_cache((char *)place, (char *)place + sizeof(made));
    ((void (*)(void (*)(void)))(uintptr_t)place)(jit_inner);
    AFTER;
}

/* ------------------------------------------------------------------------------ */

static const struct shape {
    const char *name;
    void (*run)(void);
    size_t stack_bytes;
} shapes[] = {
    {"altstack", altstack_outer, 0}, {"inside", inside_outer, 0},       {"nested", nested_outer, 0},
    {"null", null_outer, 0},         {"aligned", aligned_outer, 0},     {"deep", deep_outer, 64 << 20},
    {"noreturn", noreturn_outer, 0}, {"framedasm", framedasm_outer, 0}, {"leafasm", leafasm_outer, 0},
    {"jit", jit_outer, 0},
};

static void *run(void *argument)
{
    const struct shape *shape = argument;
    prctl(PR_SET_NAME, shape->name);
    shape->run();
    AFTER;
    return NULL;
}

int main(void)
{
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, shapes[i].stack_bytes ? shapes[i].stack_bytes : 256 << 10);
        pthread_create(&thread, &attributes, run, (void *)&shapes[i]);
    }
    printf("ready\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}
