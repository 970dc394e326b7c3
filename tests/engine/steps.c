/*
 * tests/engine/steps.c - unwinds a program at every single instruction it executes.
 *
 * Prologues, epilogues, PLT stubs, the lazy binder, memory functions in assembly, signal delivery and return: wherever a thread may stand, its
 * stack must lead out to where the program began. A child runs a mixed workload under single-stepping; at each step the stack is
 * copied and unwound. TAP on standard output: one test a workload. With the argument "blind", the same without call-frame information: what
 * the machine code alone tells must be right wherever it tells something, and it must do so almost everywhere.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arch/code.h"
#include "arch/trace.h"
#include "snapshot/arena.h"
#include "symbol/symbol.h"
#include "sys/sys.h"
#include "unwind/unwind.h"

#define MAX_STEPS 60000
#define STACK_BYTES (128u << 10)

/* ---------------------------------------------------------------------------------------- what the child does */

static volatile int sink;
static int status_word;

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void sort_and_print(void)
{
    int numbers[50];
    char text[200];
    for (int i = 0; i < 50; i++)
        numbers[i] = (i * 7919) % 101;
    qsort(numbers, 50, sizeof(*numbers), compare);
    snprintf(text, sizeof(text), "%d %s %.3f %p", numbers[3], "text", 3.25, (void *)text);
    sink = (int)strlen(text) + atoi("12") + memcmp(text, "x", 1);
    void *memory = malloc(100000);
    memset(memory, 1, 100000);
    free(memory);
    sink += (int)time(NULL);
    struct timeval now;
    gettimeofday(&now, NULL);
}

static void handler(int number)
{
    sink += number + (int)strtol("77", NULL, 10);
}

static void signals(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    static char other[65536];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof(other)};
    sigaltstack(&stack, NULL);
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
}

static __attribute__((noinline)) int variable(int bytes)
{
    char local[bytes + 1];
    _Alignas(64) char aligned[64];
    memset(local, 0, (size_t)bytes + 1);
    memset(aligned, 1, sizeof(aligned));
    sink += local[bytes / 2] + aligned[5];
    return bytes ? variable(bytes / 2) + 1 : 0;
}

static __attribute__((noinline)) void leaving(void)
{
    sink = variable(300);
    char *text = getenv("PATH");
    sink += text ? (int)strlen(text) : 0;
    qsort(&status_word, 1, sizeof(status_word), compare);
}

static const struct {
    const char *name;
    void (*run)(void);
} workloads[] = {
    {"libc calls", sort_and_print}, {"signal handlers", signals}, {"variable and aligned frames", leaving}};

/* ---------------------------------------------------------------------------------------- the tracer */

static bool blind; /* no module has call-frame information */
void __real_gmr__module_cfi(struct gmr__modules *modules, const struct gmr__module *module, Dwarf_CFI **eh_frame,
                            uint64_t *eh_bias, Dwarf_CFI **debug_frame, uint64_t *debug_bias);
void __wrap_gmr__module_cfi(struct gmr__modules *modules, const struct gmr__module *module, Dwarf_CFI **eh_frame,
                            uint64_t *eh_bias, Dwarf_CFI **debug_frame, uint64_t *debug_bias);

void __wrap_gmr__module_cfi(struct gmr__modules *modules, const struct gmr__module *module, Dwarf_CFI **eh_frame,
                            uint64_t *eh_bias, Dwarf_CFI **debug_frame, uint64_t *debug_bias)
{
    if (!blind)
        __real_gmr__module_cfi(modules, module, eh_frame, eh_bias, debug_frame, debug_bias);
}

struct stepper {
    pid_t child;
    struct gmr__snapshot *snapshot;
    struct gmr__modules *modules;
    struct gmr__unwinder *unwinder, *blind;
    bool compare;
    int right, wrong, silent; /* what is told without call-frame information of the caller */
    unsigned char bytes[STACK_BYTES];
};

static void look_again(struct stepper *s)
{
    gmr__unwinder_free(s->unwinder);
    gmr__unwinder_free(s->blind);
    gmr__modules_free(s->modules);
    gmr__snapshot_read_maps(s->snapshot, "/proc", 0);
    s->modules = gmr__modules_new(s->snapshot);
    s->unwinder = gmr__unwinder_new(s->snapshot, s->modules, 0);
    s->blind = gmr__unwinder_new(s->snapshot, s->modules, 0);
}

/* Everything may be read: the child stands. */
static int read_child(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)address, bytes};
    return process_vm_readv(snapshot->pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes ? 0 : -1;
}

static const struct gmr__stack *unwind(struct stepper *s, struct gmr__unwinder *unwinder)
{
    struct gmr__stopped stopped;
    if (gmr__arch_stopped(s->child, &stopped) != 0)
        return NULL;
    uint64_t from = stopped.regs.value[gmr__arch_sp] - gmr__arch_red_zone;
    struct iovec local = {s->bytes, STACK_BYTES}, remote = {(void *)(uintptr_t)from, STACK_BYTES};
    ssize_t got = process_vm_readv(s->child, &local, 1, &remote, 1, 0);
    struct gmr__segment segment = {.address = from, .bytes = got > 0 ? (uint32_t)got : 0, .data = s->bytes};
    return gmr__unwind(unwinder, &stopped.regs, &segment, 0, 0, true);
}

static void complain(struct stepper *s, const struct gmr__stack *stack, int step)
{
    printf("# step %d: %s\n", step, stack->end ? stack->end : stack->whole ? "whole, but elsewhere" : "not whole");
    for (uint32_t i = 0; i < stack->frame_count && i < 20; i++) {
        const struct gmr__module *module = gmr__modules_find(s->modules, stack->frames[i].pc);
        printf("#   %llx %s+%llx%s\n", (unsigned long long)stack->frames[i].pc, module ? module->path : "?",
               module ? (unsigned long long)(stack->frames[i].pc - module->bias) : 0,
               stack->frames[i].guessed ? " guessed" : "");
    }
}

static void compare_blind(struct stepper *s, const struct gmr__stack *known, int step)
{
    blind = true;
    const struct gmr__stack *guess = unwind(s, s->blind);
    blind = false;
    if (known->frame_count < 2)
        return;
    if (!guess || guess->frame_count < 2) {
        s->silent++;
    } else if (guess->frames[1].pc == known->frames[1].pc) {
        s->right++;
    } else if (s->wrong++ < 5) {
        complain(s, known, step);
        complain(s, guess, step);
    }
}

/* The kernel's own code has no call-frame information on aarch64. */
static bool undescribed(const struct stepper *s, uint64_t pc)
{
    const struct gmr__module *module = gmr__modules_find(s->modules, pc);
    return gmr__arch_link >= 0 && module && strcmp(module->path, "[vdso]") == 0;
}

static bool step_through(struct stepper *s, int *steps)
{
    uint64_t outermost = 0;
    int status, bad = 0;
    for (*steps = 0; *steps < MAX_STEPS; ++*steps) {
        const struct gmr__stack *stack = unwind(s, s->unwinder);
        if (stack && (!stack->whole || stack->frames[stack->frame_count - 1].cfa != outermost) && *steps) {
            look_again(s); /* a library was loaded, memory mapped */
            stack = unwind(s, s->unwinder);
        }
        if (!stack)
            return false;
        uint64_t cfa = stack->frame_count ? stack->frames[stack->frame_count - 1].cfa : 0;
        if (!*steps)
            outermost = cfa;
        if (s->compare)
            compare_blind(s, stack, *steps);
        bool guessed = false;
        for (uint32_t i = 0; i < stack->frame_count; i++)
            guessed = guessed || (stack->frames[i].guessed && (i == 0 || !undescribed(s, stack->frames[i - 1].pc)));
        if ((!stack->whole || cfa != outermost || guessed) && bad++ < 5)
            complain(s, stack, *steps);
        int signal = WIFSTOPPED(status) && *steps ? WSTOPSIG(status) : 0;
        if (ptrace(PTRACE_SINGLESTEP, s->child, NULL, (void *)(long)(signal == SIGTRAP ? 0 : signal)) != 0)
            return false;
        if (waitpid(s->child, &status, __WALL) != s->child || WIFEXITED(status))
            return bad == 0;
    }
    return bad == 0;
}

static bool run_workload(void (*run)(void), int *steps, bool compare)
{
    static struct stepper s;
    int status;
    s.compare = compare;
    s.right = s.wrong = s.silent = 0;
    s.child = fork();
    if (s.child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        run();
        _exit(0);
    }
    if (waitpid(s.child, &status, 0) != s.child)
        return false;
    s.snapshot = gmr__snapshot_new(s.child);
    s.snapshot->read_live = read_child;
    s.unwinder = s.blind = NULL;
    s.modules = NULL;
    look_again(&s);
    bool good = step_through(&s, steps);
    kill(s.child, SIGKILL);
    waitpid(s.child, &status, __WALL);
    gmr__unwinder_free(s.unwinder);
    gmr__unwinder_free(s.blind);
    gmr__modules_free(s.modules);
    gmr__snapshot_free(s.snapshot);
    if (compare)
        printf("# without call-frame information: the caller is right %d times, wrong %d times, not told %d times\n",
               s.right, s.wrong, s.silent);
    /* A jump table can't be told from a tail call where the return address may stand in a register. */
    int most_wrong = gmr__arch_link >= 0 ? 100 : 1000;
    return good && s.wrong * most_wrong <= s.right && s.silent * 100 <= s.right;
}

int main(int argc, char **argv)
{
    bool compare = argc > 1 && strcmp(argv[1], "blind") == 0;
    size_t count = sizeof(workloads) / sizeof(*workloads);
    int failed = 0;
    printf("1..%zu\n", count);
    fflush(stdout);
    for (size_t i = 0; i < count; i++) {
        int steps = 0;
        bool good = run_workload(workloads[i].run, &steps, compare);
        failed += !good || steps < 100;
        printf("%sok %zu - every instruction of %s unwinds to the start (%d steps)\n",
               good && steps >= 100 ? "" : "not ", i + 1, workloads[i].name, steps);
        fflush(stdout);
    }
    return failed;
}
