/*
 * tests/engine/self.c - the unwinder on snapshots of this very process: no ptrace, so it runs under an emulator, too.
 *
 * A snapshot is made in place: registers from a signal's ucontext or from getcontext, the stack's bytes, the map. What is expected is known
 * from the addresses of the functions themselves. TAP on standard output.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "arch/code.h"
#include "snapshot/arena.h"
#include "symbol/symbol.h"
#include "unwind/unwind.h"

#define KEEP __attribute__((noinline, noclone, used))
#define AFTER __asm__ volatile("" ::: "memory")
#define FUNCTION_BYTES 512

static struct gmr__snapshot *snapshot;
static struct gmr__modules *modules;
static struct gmr__unwinder *unwinder;
static int failed, number;

static int read_self(const struct gmr__snapshot *of, uint64_t address, void *to, size_t bytes)
{
    const struct gmr__map *map = gmr__snapshot_map(of, address);
    if (!map || !map->read || map->end - address < bytes)
        return -1;
    memcpy(to, (const void *)(uintptr_t)address, bytes);
    return 0;
}

static void result(bool good, const char *what, const struct gmr__stack *stack)
{
    failed += !good;
    printf("%sok %d - %s\n", good ? "" : "not ", ++number, what);
    if (good || !stack)
        return;
    printf("# end: %s, whole %d\n", stack->end ? stack->end : "-", stack->whole);
    for (uint32_t i = 0; i < stack->frame_count && i < 30; i++) {
        const struct gmr__module *module = gmr__modules_find(modules, stack->frames[i].pc);
        printf("#   %llx%s%s%s %s\n", (unsigned long long)stack->frames[i].pc,
               stack->frames[i].activation ? " activation" : "", stack->frames[i].signal_frame ? " signal" : "",
               stack->frames[i].guessed ? " guessed" : "", module ? module->path : "?");
    }
}

/* Do these functions appear in this order, innermost first? */
static bool in_order(const struct gmr__stack *stack, void *const *functions, size_t count)
{
    size_t found = 0;
    for (uint32_t i = 0; i < stack->frame_count && found < count; i++) {
        uint64_t start = (uint64_t)(uintptr_t)functions[found];
        found += stack->frames[i].pc >= start && stack->frames[i].pc - start < FUNCTION_BYTES;
    }
    return found == count;
}

static size_t count_signals(const struct gmr__stack *stack)
{
    size_t count = 0;
    for (uint32_t i = 0; i < stack->frame_count; i++)
        count += stack->frames[i].signal_frame;
    return count;
}

static const struct gmr__stack *unwind_from(const ucontext_t *context, bool activation)
{
    struct gmr__regs regs;
    if (!gmr__arch_regs_from_ucontext(&regs, context, sizeof(*context)))
        return NULL;
    uint64_t sp = regs.value[gmr__arch_sp];
    const struct gmr__map *map = gmr__snapshot_map(snapshot, sp);
    struct gmr__segment segment = {.address = sp};
    if (map) {
        segment.bytes = (uint32_t)(map->end - sp < 65536 ? map->end - sp : 65536);
        segment.data = malloc(segment.bytes);
        memcpy((void *)segment.data, (const void *)(uintptr_t)sp, segment.bytes);
    }
    const struct gmr__stack *stack = gmr__unwind(unwinder, &regs, &segment, 0, 0, activation);
    free((void *)segment.data);
    return stack;
}

/* ---------------------------------------------------------------------------------------- what is unwound */

static ucontext_t interrupted, inside;
static void *expected[4];
static size_t expected_count;

KEEP void in_handler(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)info;
    memcpy(&interrupted, context, sizeof(interrupted));
    getcontext(&inside);
    const struct gmr__stack *from_inside = unwind_from(&inside, false);
    void *functions[] = {(void *)in_handler};
    result(in_order(from_inside, functions, 1) && count_signals(from_inside) == 1 && from_inside->whole &&
               !from_inside->end,
           "a stack through a signal frame, to where the program began", from_inside);
    const struct gmr__stack *from_interrupted = unwind_from(&interrupted, true);
    result(in_order(from_interrupted, expected, expected_count) && from_interrupted->whole && !from_interrupted->end,
           "the stack that a signal interrupted", from_interrupted);
}

KEEP int inner(int value)
{
    raise(SIGUSR1);
    AFTER;
    return value + 1;
}

KEEP int middle(int value)
{
    volatile char local[value + 100];
    local[value] = 1;
    int below = inner(value + local[value]);
    AFTER;
    return below + 1;
}

KEEP int outer(int value)
{
    _Alignas(64) volatile char aligned[64];
    aligned[0] = (char)value;
    int below = middle(aligned[0]);
    AFTER;
    return below + 1;
}

static void *on_a_thread(void *argument)
{
    ucontext_t here;
    getcontext(&here);
    gmr__snapshot_read_maps(snapshot, "/proc", 0); /* the thread's stack is new */
    const struct gmr__stack *stack = unwind_from(&here, false);
    void *functions[] = {(void *)on_a_thread};
    result(in_order(stack, functions, 1) && stack->whole && !stack->end, "a thread's stack, to where it began", stack);
    return argument;
}

KEEP int deep(int left)
{
    int below = left ? deep(left - 1) : inner(1);
    AFTER;
    return below + 1;
}

/* A green thread: its stack is bounded, whatever the registers of its first frame say. */
static ucontext_t scheduler, green;
static char green_stack[65536];

KEEP void green_entry(void)
{
    swapcontext(&green, &scheduler);
    AFTER;
}

static void green_thread(void)
{
    getcontext(&green);
    green.uc_stack.ss_sp = green_stack;
    green.uc_stack.ss_size = sizeof(green_stack);
    makecontext(&green, green_entry, 0);
    swapcontext(&scheduler, &green);
    struct gmr__regs regs;
    gmr__arch_regs_from_ucontext(&regs, &green, sizeof(green));
    if (gmr__arch_link >= 0) /* swapcontext leaves a label of its own as pc, the return address in x1 */
        regs.value[gmr__arch_pc] = regs.value[1];
    uint64_t low = (uint64_t)(uintptr_t)green_stack, sp = regs.value[gmr__arch_sp];
    struct gmr__segment segment = {.address = sp, .bytes = (uint32_t)(low + sizeof(green_stack) - sp)};
    segment.data = (const unsigned char *)(uintptr_t)sp;
    const struct gmr__stack *stack = gmr__unwind(unwinder, &regs, &segment, low, low + sizeof(green_stack), false);
    void *functions[] = {(void *)green_entry};
    result(in_order(stack, functions, 1) && stack->frame_count <= 3 && !stack->end,
           "a green thread's stack ends with its bounds", stack);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = in_handler, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    setbuf(stdout, NULL);
    printf("1..6\n");
    snapshot = gmr__snapshot_new(getpid());
    if (!snapshot || gmr__snapshot_read_maps(snapshot, "/proc", 0) != 0)
        return 1;
    snapshot->read_live = read_self;
    modules = gmr__modules_new(snapshot);
    unwinder = gmr__unwinder_new(snapshot, modules, 200000);
    sigaction(SIGUSR1, &action, NULL);
    memcpy(expected, (void *[]){(void *)inner, (void *)middle, (void *)outer, (void *)main}, sizeof(expected));
    expected_count = 4;
    outer(3); /* the handler reports */
    pthread_create(&thread, NULL, on_a_thread, NULL);
    pthread_join(thread, NULL);
    expected[1] = (void *)deep;
    expected_count = 2;
    deep(100);
    green_thread();
    return failed != 0;
}
