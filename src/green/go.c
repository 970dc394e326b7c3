/*
 * green/go.c - the source of goroutines.
 *
 * Inspector only. Goroutines move between OS threads, so all of these stand for `collect`. `ahead` copies every runtime.g and its
 * stack while the program runs; at the stop the runtime.g are read once more, in a few large pieces since they lie
 * side by side, and only stacks whose stack pointer, pc or state changed are copied again. Names and lines come afterwards from
 * the function table. A goroutine that runs is walked from its OS thread's registers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/go.h"

#define MAX_GOROUTINES 4000000u
#define GAP 8192u               /* runtime.g closer than this are read as one piece */
#define MAX_REGION (1u << 20)   /* bytes read as one piece */
#define STACK_BYTES (16u << 10) /* copied of one stack */
#define MAX_STACKS ((size_t)1 << 30)

enum { IDLE, RUNNABLE, RUNNING, SYSCALL, WAITING, DEAD = 6, COPYING = 8, PREEMPTED = 9, STATUS = 0xfff };

static uint64_t word(const struct gmr__go_g *g, unsigned offset)
{
    uint64_t value;
    memcpy(&value, g->bytes + offset, sizeof(value));
    return value;
}

static unsigned status_of(const struct gmr__go *go, const struct gmr__go_g *g)
{
    return (unsigned)word(g, go->layout.status) & STATUS;
}

static int find(struct gmr__green *green, void **state)
{
    struct gmr__go *go = calloc(1, sizeof(*go));
    if (!go)
        return -ENOMEM;
    go->green = green;
    gmr__addrmap_init(&go->sites, 1u << 20);
    gmr__addrmap_init(&go->shared, 1u << 20);
    *state = go;
    return gmr__go_find(go);
}

static int by_address(const void *left, const void *right)
{
    const struct gmr__go_g *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

/* Reads runtime.allgs into go->gs; runtime.g are never freed, so that the list only grows. */
static bool read_list(struct gmr__go *go)
{
    uint64_t slice[2];
    if (gmr__green_read(go->green, go->allgs, slice, sizeof(slice)) != 0)
        return false;
    if (slice[1] > MAX_GOROUTINES) {
        slice[1] = MAX_GOROUTINES;
        go->cut = true;
    }
    size_t count = (size_t)slice[1];
    uint64_t *addresses = malloc((count ? count : 1) * sizeof(*addresses));
    struct gmr__go_g *gs = calloc(count ? count : 1, sizeof(*gs));
    bool ok = addresses && gs && gmr__green_read(go->green, slice[0], addresses, count * 8) == 0;
    if (ok) {
        for (size_t i = 0; i < count; i++)
            gs[i].address = addresses[i];
        qsort(gs, count, sizeof(*gs), by_address);
        size_t kept = 0;
        for (size_t i = 0; i < count; i++)
            if (gs[i].address % 8 == 0 && gs[i].address != 0 && (kept == 0 || gs[i].address != gs[kept - 1].address))
                gs[kept++] = gs[i];
        free(go->gs);
        go->gs = gs;
        go->count = kept;
        gs = NULL;
    }
    free(addresses);
    free(gs);
    return ok;
}

/* Lays the runtime.g out in pieces. */
static bool plan_regions(struct gmr__go *go)
{
    struct gmr__go_region *regions = calloc(go->count ? go->count : 1, sizeof(*regions));
    size_t count = 0, at = 0;
    if (!regions)
        return false;
    for (size_t i = 0; i < go->count; i++) {
        uint64_t start = go->gs[i].address, end = start + GMR__GO_G_BYTES;
        struct gmr__go_region *last = count ? &regions[count - 1] : NULL;
        if (last && start - (last->address + last->bytes) + GMR__GO_G_BYTES < GAP + GMR__GO_G_BYTES &&
            end - last->address <= MAX_REGION)
            last->bytes = end - last->address;
        else if (last && start < last->address + last->bytes && end - last->address <= MAX_REGION)
            last->bytes = end - last->address;
        else
            regions[count++] = (struct gmr__go_region){.address = start, .bytes = GMR__GO_G_BYTES};
    }
    for (size_t i = 0; i < count; i++) {
        regions[i].at = at;
        at += regions[i].bytes;
    }
    free(go->regions);
    free(go->now);
    go->regions = regions;
    go->region_count = count;
    go->now_bytes = at;
    go->now = malloc(at ? at : 1);
    return go->now != NULL;
}

static void read_regions(struct gmr__go *go)
{
    struct gmr__green_piece *pieces = calloc(go->region_count ? go->region_count : 1, sizeof(*pieces));
    if (!pieces)
        return;
    for (size_t i = 0; i < go->region_count; i++)
        pieces[i] = (struct gmr__green_piece){.address = go->regions[i].address,
                                              .to = go->now + go->regions[i].at,
                                              .bytes = (uint32_t)go->regions[i].bytes};
    gmr__green_read_many(go->green, pieces, go->region_count);
    size_t region = 0;
    for (size_t i = 0; i < go->count; i++) {
        struct gmr__go_g *g = &go->gs[i];
        while (region + 1 < go->region_count && go->regions[region + 1].address <= g->address)
            region++;
        uint64_t offset = g->address - go->regions[region].address;
        g->bytes = offset + GMR__GO_G_BYTES <= pieces[region].got ? go->now + go->regions[region].at + offset : NULL;
    }
    free(pieces);
}

/* The OS thread a goroutine runs on, from its runtime.m. */
static const struct gmr__thread *carrier_of(struct gmr__go *go, const struct gmr__go_g *g, uint64_t *vdso)
{
    uint64_t m = word(g, go->layout.m), tid = 0;
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(go->green, &count);
    vdso[0] = vdso[1] = 0;
    if (m == 0 || gmr__green_read(go->green, m + go->layout.m_procid, &tid, sizeof(tid)) != 0)
        return NULL;
    if (go->layout.m_vdso_sp && gmr__green_read(go->green, m + go->layout.m_vdso_sp, vdso, 16) != 0)
        vdso[0] = 0;
    for (size_t i = 0; i < count; i++)
        if ((uint64_t)threads[i].tid == tid)
            return &threads[i];
    return NULL;
}

/*
 * The OS thread is in a signal handler (the runtime preempts by SIGURG): what was interrupted stands in the ucontext that the
 * kernel put on the signal stack, where x86-64 has rsp and rip side by side.
 */
static void place_interrupted(struct gmr__go *go, struct gmr__go_g *g, uint64_t thread_sp)
{
    uint64_t signal_g, range[2], stack[4096];
    struct gmr__go_function function;
    if (gmr__green_read(go->green, word(g, go->layout.m) + go->layout.m_procid + 8, &signal_g, 8) != 0 ||
        gmr__green_read(go->green, signal_g, range, sizeof(range)) != 0 || thread_sp < range[0] ||
        thread_sp >= range[1])
        return;
    uint64_t bytes = range[1] - thread_sp < sizeof(stack) ? (range[1] - thread_sp) & ~(uint64_t)7 : sizeof(stack);
    if (gmr__green_read(go->green, thread_sp, stack, bytes) != 0)
        return;
    for (size_t i = 0; i + 1 < bytes / 8; i++)
        if (stack[i] >= g->low && stack[i] < g->high && gmr__go_function(&go->table, stack[i + 1], &function)) {
            g->sp = stack[i];
            g->pc = stack[i + 1];
            g->interrupted = true;
            return;
        }
}

/* Where its frames begin: saved by the scheduler, at a system call, or in the registers of the OS thread it runs on. */
static void place(struct gmr__go *go, struct gmr__go_g *g)
{
    unsigned status = status_of(go, g);
    uint64_t vdso[2];
    g->low = word(g, 0);
    g->high = word(g, 8);
    g->sp = word(g, go->layout.sched_sp);
    g->pc = word(g, go->layout.sched_pc);
    g->interrupted = false;
    g->problem = NULL;
    if (status == SYSCALL && word(g, go->layout.syscall_sp) != 0) {
        g->sp = word(g, go->layout.syscall_sp);
        g->pc = word(g, go->layout.syscall_pc);
    }
    if (status == RUNNING || status == SYSCALL) {
        const struct gmr__thread *thread = carrier_of(go, g, vdso);
        g->carrier = thread ? thread->tid : 0;
        if (status == RUNNING && thread && thread->regs.valid) {
            uint64_t sp = thread->regs.value[gmr__arch_sp];
            if (sp >= g->low && sp < g->high) {
                g->sp = sp;
                g->pc = thread->regs.value[gmr__arch_pc];
                g->interrupted = true;
            } else if (vdso[0] >= g->low && vdso[0] < g->high) {
                g->sp = vdso[0];
                g->pc = vdso[1];
            } else {
                place_interrupted(go, g, sp);
            }
        } else if (status == RUNNING) {
            g->problem = "it runs on an OS thread that was not stopped";
        }
    }
    if (status == DEAD || status == IDLE || g->problem || g->sp < g->low || g->sp >= g->high || g->sp % 8 != 0) {
        g->sp = 0;
        if (status != DEAD && status != IDLE && !g->problem)
            g->problem = "it runs, and where on its stack can't be told";
    }
}

static void copy_round(struct gmr__go *go, struct gmr__green_piece *pieces, struct gmr__go_g **whose, size_t count)
{
    gmr__green_read_many(go->green, pieces, count);
    for (size_t i = 0; i < count; i++) {
        whose[i]->stack = pieces[i].to;
        whose[i]->stack_bytes = pieces[i].got;
        whose[i]->copied_sp = whose[i]->sp;
        whose[i]->copied_pc = whose[i]->pc;
    }
}

/* Copies stacks of those that moved since their last copy. true: all of them could be. */
static bool copy_stacks(struct gmr__go *go)
{
    enum { ROUND = 1024 };
    struct gmr__green_piece pieces[ROUND];
    struct gmr__go_g *whose[ROUND];
    size_t count = 0;
    if (!go->stacks) {
        go->stacks_size = go->count * 2048 + (16u << 20);
        if (go->stacks_size > MAX_STACKS)
            go->stacks_size = MAX_STACKS;
        go->stacks = malloc(go->stacks_size);
    }
    for (size_t i = 0; go->stacks && i < go->count; i++) {
        struct gmr__go_g *g = &go->gs[i];
        if (!g->bytes || g->sp == 0 || (g->stack && g->copied_sp == g->sp && g->copied_pc == g->pc && !g->interrupted))
            continue;
        uint64_t bytes = g->high - g->sp < STACK_BYTES ? g->high - g->sp : STACK_BYTES;
        if (go->stacks_size - go->stacks_used < bytes) {
            go->cut = true;
            return false;
        }
        pieces[count] =
            (struct gmr__green_piece){.address = g->sp, .to = go->stacks + go->stacks_used, .bytes = (uint32_t)bytes};
        go->stacks_used += bytes;
        whose[count++] = g;
        if (count == ROUND) {
            copy_round(go, pieces, whose, count);
            count = 0;
            if (gmr__green_out_of_time(go->green))
                return false;
        }
    }
    copy_round(go, pieces, whose, count);
    return go->stacks != NULL;
}

static int ahead(struct gmr__green *green, void *state)
{
    struct gmr__go *go = state;
    if (!read_list(go) || !plan_regions(go))
        return 0;
    read_regions(go);
    for (size_t i = 0; i < go->count; i++)
        if (go->gs[i].bytes)
            place(go, &go->gs[i]);
    copy_stacks(go);
    return 0;
}

/* Goroutines made since: read one by one, there are few. */
static void add_new(struct gmr__go *go)
{
    struct gmr__go_g *old = go->gs;
    size_t old_count = go->count;
    uint64_t slice[2];
    if (gmr__green_read(go->green, go->allgs, slice, sizeof(slice)) != 0 || slice[1] == old_count)
        return;
    go->gs = NULL;
    if (!read_list(go)) {
        go->gs = old;
        go->count = old_count;
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < go->count; i++) {
        uint64_t address = go->gs[i].address;
        while (at < old_count && old[at].address < address)
            at++;
        if (at < old_count && old[at].address == address) {
            go->gs[i] = old[at];
            continue;
        }
        unsigned char *bytes = gmr__green_alloc(go->green, GMR__GO_G_BYTES);
        if (bytes && gmr__green_read(go->green, address, bytes, GMR__GO_G_BYTES) == 0)
            go->gs[i].bytes = bytes;
    }
    free(old);
}

static int collect(struct gmr__green *green, void *state)
{
    struct gmr__go *go = state;
    read_regions(go);
    add_new(go);
    for (size_t i = 0; i < go->count; i++)
        if (go->gs[i].bytes)
            place(go, &go->gs[i]);
    if (!copy_stacks(go))
        for (size_t i = 0; i < go->count; i++) {
            struct gmr__go_g *g = &go->gs[i];
            if (g->bytes && g->sp != 0 && (g->copied_sp != g->sp || g->copied_pc != g->pc)) {
                g->sp = 0;
                g->problem = "the time or the memory for the stop was used up before its stack was copied";
            }
        }
    return 0;
}

/* The wait reasons of 1.18 and 1.19, by number; other releases keep the array's symbol or go without words. */
static const char *const reasons_119[] = {"",
                                          "GC assist marking",
                                          "IO wait",
                                          "chan receive (nil chan)",
                                          "chan send (nil chan)",
                                          "dumping heap",
                                          "garbage collection",
                                          "garbage collection scan",
                                          "panicwait",
                                          "select",
                                          "select (no cases)",
                                          "GC assist wait",
                                          "GC sweep wait",
                                          "GC scavenge wait",
                                          "chan receive",
                                          "chan send",
                                          "finalizer wait",
                                          "force gc (idle)",
                                          "semacquire",
                                          "sleep",
                                          "sync.Cond.Wait",
                                          "timer goroutine (idle)",
                                          "trace reader (blocked)",
                                          "wait for GC cycle",
                                          "GC worker (idle)",
                                          "preempted",
                                          "debug call"};

static const char *wait_reason(struct gmr__go *go, unsigned reason)
{
    uint64_t text[2];
    char room[64];
    if (go->wait_reasons && reason < 128) {
        if (gmr__green_read(go->green, go->wait_reasons + (uint64_t)reason * 16, text, sizeof(text)) == 0 &&
            text[1] < sizeof(room) && gmr__green_read(go->green, text[0], room, text[1]) == 0) {
            room[text[1]] = 0;
            return gmr__green_intern(go->green, room);
        }
    }
    if (go->minor <= 19 && reason < sizeof(reasons_119) / sizeof(reasons_119[0]))
        return reasons_119[reason];
    return NULL;
}

static void emit_one(struct gmr__go *go, const struct gmr__go_g *g, const char **reasons)
{
    static const enum gmr__green_state states[] = {
        [RUNNABLE] = GMR__GREEN_RUNNABLE, [RUNNING] = GMR__GREEN_RUNNING, [SYSCALL] = GMR__GREEN_SYSCALL,
        [WAITING] = GMR__GREEN_WAITING,   [COPYING] = GMR__GREEN_WAITING, [PREEMPTED] = GMR__GREEN_RUNNABLE};
    unsigned status = status_of(go, g);
    struct gmr__green_thread thread = {.id = word(g, go->layout.id),
                                       .address = g->address,
                                       .kind = "goroutine",
                                       .carrier = g->carrier,
                                       .approximate = g->approximate,
                                       .problem = g->problem,
                                       .since_ns = word(g, go->layout.wait_since)};
    thread.state = status < sizeof(states) / sizeof(states[0]) ? states[status] : GMR__GREEN_UNKNOWN;
    if (status == WAITING) {
        unsigned reason = (unsigned)word(g, go->layout.wait_reason) & 0xff;
        if (!reasons[reason])
            reasons[reason] = wait_reason(go, reason);
        thread.wait_reason = reasons[reason];
    } else {
        thread.since_ns = 0;
    }
    if (go->layout.start)
        thread.entry = word(g, go->layout.start);
    if (go->layout.created_at)
        thread.creator[0] = word(g, go->layout.created_at);
    gmr__go_walk(go, g, &thread.language);
    if (g->carrier && status == RUNNING && thread.language.frame_count > 0)
        gmr__green_emit_os_thread(go->green, g->carrier, &thread.language);
    gmr__green_emit(go->green, &thread);
}

/* For the report: in the order they were made. What can't be read goes last. */
static int by_id(const void *left, const void *right)
{
    const struct gmr__go_g *a = left, *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int finish(struct gmr__green *green, void *state)
{
    struct gmr__go *go = state;
    for (size_t i = 0; i < go->count; i++)
        go->gs[i].id = go->gs[i].bytes ? word(&go->gs[i], go->layout.id) : UINT64_MAX;
    if (go->count > 1)
        qsort(go->gs, go->count, sizeof(*go->gs), by_id);
    const char *reasons[256] = {NULL};
    size_t damaged = 0;
    for (size_t i = 0; i < go->count; i++) {
        const struct gmr__go_g *g = &go->gs[i];
        if (!g->bytes) {
            damaged++;
            continue;
        }
        unsigned status = status_of(go, g);
        if (status == DEAD || status == IDLE)
            continue; /* kept by the runtime for the next `go` */
        if (status > PREEMPTED || word(g, go->layout.id) >> 48 != 0 || g->high <= g->low) {
            damaged++;
            continue;
        }
        emit_one(go, g, reasons);
    }
    if (damaged)
        gmr__green_note(green, "%zu goroutines are damaged or laid out in a way that gmr does not know", damaged);
    if (go->cut)
        gmr__green_note(green, "there are more goroutines or stacks than a report takes");
    return 0;
}

static void release(void *state)
{
    struct gmr__go *go = state;
    if (!go)
        return;
    gmr__go_forget_sites(go);
    free(go->table.bytes);
    free(go->gs);
    free(go->regions);
    free(go->now);
    free(go->stacks);
    free(go);
}

const struct gmr__green_source gmr__green_source_go = {
    .name = "go",
    .find = find,
    .ahead = ahead,
    .collect = collect,
    .finish = finish,
    .release = release,
    .together = true,
};
