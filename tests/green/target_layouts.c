/*
 * tests/green/target_layouts.c - libraries that can't be had as packages: switch routines with their layouts of saved registers, and
 * their adapters.
 *
 * Small implementations written for this test; x86-64. For each layout two coroutines are left in the middle, two and three calls
 * deep, and one has not begun. libaco's share one stack, from which the one that is away was copied.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The libraries' own types, as far as the adapters look at them. */
typedef struct mco_coro {
    void *context;
    int state;
    void (*func)(struct mco_coro *);
    void *stack_base;
    size_t stack_size;
} mco_coro;
#define __CO_CTX_H__
typedef struct coctx {
    void *regs[14];
    size_t ss_size;
    char *ss_sp;
} coctx_t;
typedef struct aco_share {
    void *ptr;
    size_t sz;
    void *owner;
} aco_share_t;
typedef struct aco {
    void *reg[8];
    struct {
        void *ptr;
        size_t sz, valid_sz;
    } save_stack;
    aco_share_t *share_stack;
    void *arg;
    void (*fp)(void);
} aco_t;
typedef struct coro_context {
    void **sp;
} coro_context;

#include "gmr/adapters/bthread.h"
#include "gmr/adapters/libaco.h"
#include "gmr/adapters/libco.h"
#include "gmr/adapters/libcoro.h"
#include "gmr/adapters/libdill.h"
#include "gmr/adapters/libmill.h"
#include "gmr/adapters/minicoro.h"
#include "gmr/adapters/photon.h"

#define FUNCTION(name, body)         \
    void name(void *from, void *to); \
    __asm__(".text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" body ".size " #name ",.-" #name "\n");
#define STORE(rbx, rbp, r12, r13, r14, r15)                                                         \
    "movq %rbx," #rbx "(%rdi)\nmovq %rbp," #rbp "(%rdi)\nmovq %r12," #r12 "(%rdi)\nmovq %r13," #r13 \
    "(%rdi)\nmovq %r14," #r14 "(%rdi)\nmovq %r15," #r15 "(%rdi)\n"
#define LOAD(rbx, rbp, r12, r13, r14, r15)                                                     \
    "movq " #rbx "(%rsi),%rbx\nmovq " #rbp "(%rsi),%rbp\nmovq " #r12 "(%rsi),%r12\nmovq " #r13 \
    "(%rsi),%r13\nmovq " #r14 "(%rsi),%r14\nmovq " #r15 "(%rsi),%r15\n"
#define BLOCK(name, rbx, rbp, r12, r13, r14, r15, rsp, rip)                                                        \
    FUNCTION(name, STORE(rbx, rbp, r12, r13, r14,                                                                  \
                         r15) "movq (%rsp),%rdx\nleaq 8(%rsp),%rcx\nmovq %rdx," #rip "(%rdi)\nmovq %rcx," #rsp     \
                              "(%rdi)\n" LOAD(rbx, rbp, r12, r13, r14, r15) "movq " #rsp "(%rsi),%rsp\njmp *" #rip \
                                                                            "(%rsi)\n")

BLOCK(switch_libaco, 48, 56, 0, 8, 16, 24, 40, 32)
BLOCK(switch_libmill, 0, 8, 16, 32, 40, 48, 24, 56)
BLOCK(switch_libdill, 0, 8, 16, 24, 32, 40, 48, 56)
FUNCTION(switch_minicoro, "leaq 9f(%rip),%rax\nmovq %rax,(%rdi)\nmovq %rsp,8(%rdi)\n" STORE(24, 16, 32, 40, 48, 56)
                              LOAD(24, 16, 32, 40, 48, 56) "movq 8(%rsi),%rsp\njmp *(%rsi)\n9: ret\n")
FUNCTION(switch_libco,
         "movq %rsp,(%rdi)\n" STORE(16, 8, 24, 32, 40, 48) LOAD(16, 8, 24, 32, 40, 48) "movq (%rsi),%rsp\nret\n")
FUNCTION(switch_tencent,
         "leaq (%rsp),%rax\nmovq %rax,104(%rdi)\nmovq (%rax),%rax\nmovq %rax,72(%rdi)\n" STORE(96, 48, 24, 16, 8, 0)
             LOAD(96, 48, 24, 16, 8, 0) "movq 104(%rsi),%rsp\n"
                                        "leaq 8(%rsp),%rsp\npushq 72(%rsi)\nret\n")
FUNCTION(switch_libcoro,
         "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\nmovq %rsp,(%rdi)\nmovq (%rsi),%rsp\n"
         "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n")
FUNCTION(switch_bthread,
         "pushq %rbp\npushq %rbx\npushq %r15\npushq %r14\npushq %r13\npushq %r12\nleaq -8(%rsp),%rsp\n"
         "movq %rsp,(%rdi)\nmovq (%rsi),%rsp\nleaq 8(%rsp),%rsp\npopq %r12\npopq %r13\npopq %r14\npopq %r15\n"
         "popq %rbx\npopq %rbp\nret\n")
/* Callee-saved registers are the caller's business here: it tells the compiler that they are clobbered. */
FUNCTION(switch_photon, "pushq %rbp\nmovq %rsp,(%rdi)\nmovq (%rsi),%rsp\npopq %rbp\nret\n")

#define STACK_BYTES 32768u

struct fiber {
    uint64_t block[16]; /* BLOCK: registers; SP_SLOT: the first word */
    unsigned char *stack;
    void (*change)(void *, void *);
    void *place; /* what change() takes for it */
    int levels;
};

static uint64_t back_block[16];
static struct fiber *current;

static void __attribute__((noinline)) leave(void)
{
    struct fiber *self = current;
    if (self->change == switch_photon)
        __asm__ volatile("call switch_photon"
                         : "+D"(self->place), "+S"((void *){back_block})
                         :
                         : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
    else
        self->change(self->place, back_block);
    __asm__ volatile("" ::: "memory");
}

static int __attribute__((noinline)) go_deep(int levels)
{
    if (levels > 1) {
        int below = go_deep(levels - 1);
        __asm__ volatile("" ::: "memory");
        return below + 1;
    }
    leave();
    __asm__ volatile("" ::: "memory");
    return 1;
}

static void __attribute__((noinline)) body(void)
{
    go_deep(current->levels);
    abort();
}

static void run(struct fiber *fiber)
{
    current = fiber;
    memset(back_block, 0, sizeof(back_block));
    if (fiber->change == switch_photon)
        __asm__ volatile("call switch_photon"
                         : "+D"((void *){back_block}), "+S"((void *){fiber->place})
                         :
                         : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
    else
        fiber->change(back_block, fiber->place);
}

/* sp, pc: byte offsets of the two in the block (BLOCK), -1 where pc is on the stack; SP_SLOT: words below the start address. */
static void prepare(struct fiber *fiber, void (*change)(void *, void *), int levels, int sp, int pc, int words)
{
    if (!fiber->stack)
        fiber->stack = aligned_alloc(4096, STACK_BYTES);
    uint64_t *top = (uint64_t *)(fiber->stack + STACK_BYTES) - 4;
    fiber->change = change;
    fiber->place = fiber->block;
    fiber->levels = levels;
    memset(top - 16, 0, 20 * sizeof(*top));
    top[-1] = 0; /* nobody called body */
    if (words) {
        top[-2] = (uint64_t)(uintptr_t)body;
        fiber->block[0] = (uint64_t)(uintptr_t)(top - 2 - words);
        return;
    }
    if (pc >= 0) {
        fiber->block[pc / 8] = (uint64_t)(uintptr_t)body;
        fiber->block[sp / 8] = (uint64_t)(uintptr_t)(top - 1);
    } else {
        top[-2] = (uint64_t)(uintptr_t)body;
        fiber->block[sp / 8] = (uint64_t)(uintptr_t)(top - 2);
    }
}

static struct fiber all[8][3];

static struct fiber *start(int kind, int i, void (*change)(void *, void *), int sp, int pc, int words)
{
    struct fiber *fiber = &all[kind][i];
    prepare(fiber, change, i + 2, sp, pc, words);
    return fiber;
}

static void shared_stack(void)
{
    static aco_t coroutines[2];
    static struct fiber fibers[2];
    static aco_share_t share;
    share.ptr = aligned_alloc(4096, STACK_BYTES);
    share.sz = STACK_BYTES;
    for (int i = 0; i < 2; i++) {
        aco_t *co = &coroutines[i];
        if (i) { /* the first is copied away before the second takes the stack */
            size_t used = (size_t)((char *)share.ptr + STACK_BYTES - (char *)coroutines[0].reg[5]);
            coroutines[0].save_stack.ptr = malloc(used);
            coroutines[0].save_stack.valid_sz = used;
            memcpy(coroutines[0].save_stack.ptr, coroutines[0].reg[5], used);
        }
        fibers[i].stack = share.ptr;
        prepare(&fibers[i], switch_libaco, i + 2, 40, 32, 0);
        memcpy(co->reg, fibers[i].block, sizeof(co->reg));
        fibers[i].place = co->reg;
        co->share_stack = &share;
        co->fp = body;
        share.owner = co;
        gmr_green_name(gmr_libaco_add(co), i ? "libaco-1" : "libaco-0");
        run(&fibers[i]);
    }
    coroutines[1].save_stack.ptr = coroutines[0].save_stack.ptr; /* left over from earlier: must not be believed */
    coroutines[1].save_stack.valid_sz = 64;
}

static void name(struct gmr_green *green, const char *library, int i)
{
    char *text = malloc(32);
    snprintf(text, 32, "%s-%d", library, i);
    gmr_green_name(green, text);
}

int main(void)
{
    for (int i = 0; i < 3; i++) {
        struct fiber *f = start(0, i, switch_minicoro, 8, 0, 0);
        mco_coro *mco = calloc(1, sizeof(*mco));
        *mco = (mco_coro){
            .context = f->block, .stack_base = f->stack, .stack_size = STACK_BYTES, .func = (void (*)(mco_coro *))body};
        name(gmr_minicoro_add(mco), "minicoro", i);

        /* libco's registers stand at the start of the stack's own memory. */
        f = start(1, i, switch_libco, 0, -1, 0);
        memcpy(f->stack, f->block, sizeof(f->block));
        f->place = f->stack;
        name(gmr_libco_add(f->stack, STACK_BYTES, body), "libco", i);

        f = start(2, i, switch_tencent, 104, 72, 0);
        f->block[13] -= 8; /* sp as it is before the return address is popped */
        coctx_t *coctx = calloc(1, sizeof(*coctx));
        memcpy(coctx->regs, f->block, sizeof(coctx->regs));
        coctx->ss_sp = (char *)f->stack;
        coctx->ss_size = STACK_BYTES;
        f->place = coctx->regs;
        name(gmr_coctx_add(coctx, (void *)body, NULL), "tencent", i);

        f = start(3, i, switch_libmill, 24, 56, 0);
        name(gmr_libmill_add(f->block, f->stack, STACK_BYTES), "libmill", i);
        f = start(4, i, switch_libdill, 48, 56, 0);
        name(gmr_libdill_add(f->block, f->stack, STACK_BYTES), "libdill", i);
        f = start(5, i, switch_libcoro, 0, 0, 6);
        name(gmr_libcoro_add((coro_context *)f->block, f->stack, STACK_BYTES, (void *)body, NULL), "libcoro", i);
        f = start(6, i, switch_bthread, 0, 0, 7);
        name(gmr_bthread_add(f->block, f->stack + STACK_BYTES, STACK_BYTES, (void *)body, NULL), "bthread", i);
        f = start(7, i, switch_photon, 0, 0, 1);
        name(gmr_photon_add(f->block, f->stack, STACK_BYTES, (void *)body, NULL), "photon", i);
    }
    for (int kind = 0; kind < 8; kind++)
        for (int i = 0; i < 2; i++)
            run(&all[kind][i]);
    shared_stack();
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
