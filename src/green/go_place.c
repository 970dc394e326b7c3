/*
 * green/go_place.c - where the frames of each goroutine begin, and copies of the stacks.
 *
 * Inspector only. The scheduler saves a goroutine's stack pointer when it is switched away from and when it makes a system call or a call into
 * C; one that runs is found by the registers of its OS thread, which is known by its runtime.m. Only those that may be elsewhere
 * than at their last copy are looked at again.
 */
#include <string.h>

#include "green/go.h"

#define STACK_BYTES (16u << 10) /* copied of one stack */
#define MAX_STACKS ((uint64_t)1 << 30)
#define ROUND 1024

void gmr__go_stand(struct gmr__go *go)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(go->green, &count);
    for (size_t i = 0; i < count; i++)
        if (threads[i].tid > 0)
            gmr__addrmap_put(&go->standing, (uint64_t)threads[i].tid, i + 1);
}

/* The OS thread of a runtime.m; the runtime does not give an m to another one. */
static pid_t tid_of(struct gmr__go *go, uint64_t m)
{
    uint64_t tid = 0;
    if (m == 0 || gmr__addrmap_get(&go->tids, m, &tid))
        return (pid_t)tid;
    if (gmr__green_read(go->green, m + go->layout.m_procid, &tid, sizeof(tid)) != 0 || tid == 0 || tid > INT32_MAX)
        return 0;
    gmr__addrmap_put(&go->tids, m, tid);
    return (pid_t)tid;
}

static const struct gmr__thread *carrier_of(struct gmr__go *go, struct gmr__go_g *g)
{
    uint64_t number;
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(go->green, &count);
    g->carrier = tid_of(go, g->m);
    if (g->carrier == 0 || !gmr__addrmap_get(&go->standing, (uint64_t)g->carrier, &number) || number > count)
        return NULL;
    return threads[number - 1].regs.valid >> gmr__arch_sp & 1 ? &threads[number - 1] : NULL;
}

static bool holds(const struct gmr__go_g *g, uint64_t sp)
{
    return sp >= g->low && sp < g->high;
}

/*
 * The OS thread is in a signal handler (the runtime preempts by SIGURG): what was interrupted stands in the ucontext that the
 * kernel put on the signal stack, where x86-64 has rsp and rip side by side.
 */
static void place_interrupted(struct gmr__go *go, struct gmr__go_g *g, uint64_t thread_sp)
{
    uint64_t signal_g, range[2], stack[4096];
    struct gmr__go_function function;
    if (gmr__green_read(go->green, g->m + go->layout.m_signal_g, &signal_g, 8) != 0 ||
        gmr__green_read(go->green, signal_g, range, sizeof(range)) != 0 || thread_sp < range[0] ||
        thread_sp >= range[1])
        return;
    uint64_t bytes = range[1] - thread_sp < sizeof(stack) ? (range[1] - thread_sp) & ~(uint64_t)7 : sizeof(stack);
    if (gmr__green_read(go->green, thread_sp, stack, bytes) != 0)
        return;
    for (size_t i = 0; i + 1 < bytes / 8; i++)
        if (holds(g, stack[i]) && gmr__go_function(&go->table, stack[i + 1], &function)) {
            g->sp = stack[i];
            g->pc = stack[i + 1];
            g->interrupted = true;
            return;
        }
}

/* The end of a switch: the stack pointer is the goroutine's already, its pc is still on the way from what was saved, which stays. */
static bool is_switched_to(const struct gmr__go *go, uint64_t pc)
{
    struct gmr__go_function function;
    const char *name =
        gmr__go_function(&go->table, pc, &function) ? gmr__go_function_name(&go->table, &function) : NULL;
    return name && (strcmp(name, "gogo") == 0 || strcmp(name, "runtime.gogo") == 0);
}

static void place_running(struct gmr__go *go, struct gmr__go_g *g)
{
    const struct gmr__thread *thread = carrier_of(go, g);
    uint64_t vdso[2] = {0, 0};
    if (!thread) {
        g->problem = "it runs on an OS thread that was not stopped";
        return;
    }
    uint64_t sp = thread->regs.value[gmr__arch_sp];
    if (holds(g, sp)) {
        uint64_t pc = thread->regs.value[gmr__arch_pc];
        g->sp = sp;
        g->interrupted = !is_switched_to(go, pc);
        g->pc = g->interrupted ? pc : g->sched_pc;
        return;
    }
    if (go->layout.m_vdso_sp && gmr__green_read(go->green, g->m + go->layout.m_vdso_sp, vdso, sizeof(vdso)) == 0 &&
        holds(g, vdso[0])) {
        g->sp = vdso[0];
        g->pc = vdso[1];
        return;
    }
    place_interrupted(go, g, sp);
}

/*
 * In a system call, or in C: then its OS thread is on the stack of g0, above what the scheduler has there, which g0's own saved stack
 * pointer tells.
 */
static void place_in_call(struct gmr__go *go, struct gmr__go_g *g)
{
    uint64_t g0, saved;
    const struct gmr__thread *thread = carrier_of(go, g);
    if (g->syscall_sp != 0) {
        g->sp = g->syscall_sp;
        g->pc = g->syscall_pc;
    }
    if (!thread)
        return;
    uint64_t sp = thread->regs.value[gmr__arch_sp];
    if (!holds(g, sp) && gmr__green_read(go->green, g->m, &g0, 8) == 0 &&
        gmr__green_read(go->green, g0 + go->layout.sched_sp, &saved, 8) == 0 && saved > sp &&
        saved - sp < (uint64_t)64 << 20) {
        g->in_c = true;
        g->g0_sp = saved;
    }
}

static void place(struct gmr__go *go, struct gmr__go_g *g)
{
    g->sp = g->sched_sp;
    g->pc = g->sched_pc;
    g->interrupted = g->in_c = false;
    g->problem = NULL;
    g->carrier = 0;
    if (g->status == GMR__GO_RUNNING)
        place_running(go, g);
    else if (g->status == GMR__GO_SYSCALL)
        place_in_call(go, g);
    bool dead = g->status == GMR__GO_DEAD || g->status == GMR__GO_IDLE || g->status == GMR__GO_DEAD_EXTRA;
    if (!dead && !g->problem && (!holds(g, g->sp) || g->sp % 8 != 0))
        g->problem = "it runs, and where on its stack can't be told";
    if (dead || g->problem)
        g->sp = 0;
}

static void copy_round(struct gmr__go *go, struct gmr__green_piece *pieces, struct gmr__go_g **whose, size_t count)
{
    gmr__green_read_many(go->green, pieces, count);
    for (size_t i = 0; i < count; i++) {
        whose[i]->stack_bytes = pieces[i].got;
        whose[i]->moved = false;
    }
}

/* Where the copy goes: over the former one if that is as long. */
static bool make_stack(struct gmr__go *go, struct gmr__go_g *g, uint32_t bytes)
{
    if (g->stack_room >= bytes)
        return true;
    if (go->stack_total + bytes > MAX_STACKS || !(g->stack = gmr__green_alloc(go->green, bytes))) {
        g->stack_room = 0;
        return false;
    }
    go->stack_total += bytes;
    g->stack_room = bytes;
    return true;
}

bool gmr__go_copy(struct gmr__go *go)
{
    struct gmr__green_piece pieces[ROUND];
    struct gmr__go_g *whose[ROUND];
    size_t count = 0;
    bool all = true, late = false;
    for (size_t i = 0; i < go->count; i++) {
        struct gmr__go_g *g = &go->gs[i];
        if (!g->readable || (!g->moved && g->status != GMR__GO_SYSCALL))
            continue;
        place(go, g);
        if (g->sp == 0 || !g->moved)
            continue;
        uint32_t bytes = g->high - g->sp < STACK_BYTES ? (uint32_t)(g->high - g->sp) : STACK_BYTES;
        if (late || !make_stack(go, g, bytes)) {
            g->sp = 0;
            g->problem = "the time or the memory for the stop was used up before its stack was copied";
            all = false;
            continue;
        }
        pieces[count] = (struct gmr__green_piece){.address = g->sp, .to = g->stack, .bytes = bytes};
        whose[count++] = g;
        if (count == ROUND) {
            copy_round(go, pieces, whose, count);
            count = 0;
            late = gmr__green_out_of_time(go->green);
        }
    }
    copy_round(go, pieces, whose, count);
    return all;
}
