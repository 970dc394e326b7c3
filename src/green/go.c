/*
 * green/go.c - the source of goroutines.
 *
 * Inspector only. Goroutines move between OS threads, so all of these stand for `collect`. `ahead` copies every runtime.g and its
 * stack while the program runs, and again what moved meanwhile; at the stop the runtime.g are read once more, and only stacks of those that ran
 * since are copied again: a byte in runtime.g counts how often it was switched away from. Names and lines come afterwards from the
 * function table. What an OS thread does in C that Go called is shown before the Go frames that called it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys/word.h"

#include "green/go.h"

#define MANY 100 /* one in so many that moved makes another round of copies worth while */
#define END_WORDS 32

static int find(struct gmr__green *green, void **state)
{
    struct gmr__go *go = calloc(1, sizeof(*go));
    if (!go)
        return -ENOMEM;
    go->green = green;
    gmr__addrmap_init(&go->sites, 1u << 20);
    gmr__addrmap_init(&go->shared, 1u << 20);
    gmr__addrmap_init(&go->tids, 1u << 20);
    gmr__addrmap_init(&go->standing, 1u << 20);
    *state = go;
    return gmr__go_find(go);
}

static int ahead(struct gmr__green *green, void *state)
{
    (void)green;
    struct gmr__go *go = state;
    if (!gmr__go_list(go, false))
        return 0;
    size_t moved = gmr__go_read(go);
    gmr__go_copy(go);
    return moved > go->count / MANY;
}

static int collect(struct gmr__green *green, void *state)
{
    (void)green;
    struct gmr__go *go = state;
    gmr__go_stand(go);
    gmr__go_list(go, true);
    gmr__go_read(go);
    gmr__go_copy(go);
    return 0;
}

static const char *wait_reason(struct gmr__go *go, unsigned reason)
{
    uint64_t text[2];
    char room[64];
    if (go->wait_reasons == 0 || reason >= 64 ||
        gmr__green_read(go->green, go->wait_reasons + (uint64_t)reason * 16, text, sizeof(text)) != 0 ||
        text[1] >= sizeof(room) || gmr__green_read(go->green, text[0], room, text[1]) != 0)
        return NULL;
    room[text[1]] = 0;
    return gmr__green_intern(go->green, room);
}

/*
 * Where the C part of an OS thread's stack ends: at the return address to runtime.asmcgocall, close to where the scheduler's part begins. Call-frame
 * information does not describe how that changed stacks. 0: it is not there.
 */
static uint64_t end_of_c(struct gmr__go *go, const struct gmr__segment *stack, uint64_t g0_sp)
{
    for (uint64_t at = g0_sp & ~(uint64_t)7, steps = 0; at >= stack->address + 8 && steps < END_WORDS; steps++) {
        struct gmr__go_function function;
        at -= 8;
        if (at + 8 > stack->address + stack->bytes)
            return 0;
        uint64_t pc = gmr__word(stack->data, at - stack->address);
        if (!gmr__go_function(&go->table, pc, &function))
            continue;
        const char *name = gmr__go_function_name(&go->table, &function);
        if (name && strncmp(name, "runtime.asmcgocall", 18) == 0)
            return at + 8;
    }
    return 0;
}

/* What its OS thread does in C, from that thread's stack, copied when it stood. */
static void add_c_frames(struct gmr__go *go, const struct gmr__go_g *g, struct gmr__green_thread *thread)
{
    size_t count;
    uint64_t number;
    const struct gmr__thread *threads = gmr__green_stopped(go->green, &count);
    if (!gmr__addrmap_get(&go->standing, (uint64_t)g->carrier, &number) || number > count ||
        threads[number - 1].tid != g->carrier)
        return;
    const struct gmr__thread *carrier = &threads[number - 1];
    const struct gmr__segment *stack = &carrier->stack;
    uint64_t sp = carrier->regs.value[gmr__arch_sp];
    uint64_t end = stack->data ? end_of_c(go, stack, g->g0_sp) : 0;
    if (sp < stack->address || sp >= end)
        return;
    thread->regs = carrier->regs;
    thread->activation = true;
    thread->stack_low = sp;
    thread->stack_high = end;
    thread->copy = (struct gmr__segment){
        .address = sp, .bytes = (uint32_t)(end - sp), .data = stack->data + (sp - stack->address)};
    /* A range that no frame lies in: the native frames come first, then Go's. */
    thread->language.interpreter_low = 1;
    thread->language.interpreter_high = 2;
}

static void emit_one(struct gmr__go *go, const struct gmr__go_g *g, const char **reasons)
{
    static const enum gmr__green_state states[] = {
        [GMR__GO_RUNNABLE] = GMR__GREEN_RUNNABLE, [GMR__GO_RUNNING] = GMR__GREEN_RUNNING,
        [GMR__GO_SYSCALL] = GMR__GREEN_SYSCALL,   [GMR__GO_WAITING] = GMR__GREEN_WAITING,
        [GMR__GO_COPYING] = GMR__GREEN_WAITING,   [GMR__GO_PREEMPTED] = GMR__GREEN_RUNNABLE,
        [GMR__GO_LEAKED] = GMR__GREEN_WAITING};
    struct gmr__green_thread thread = {.id = g->id,
                                       .address = g->address,
                                       .kind = "goroutine",
                                       .carrier = g->carrier,
                                       .problem = g->problem,
                                       .state = states[g->status],
                                       .entry = g->start,
                                       .creator = {g->created_at}};
    if (thread.state == GMR__GREEN_WAITING) {
        if (!reasons[g->reason])
            reasons[g->reason] = wait_reason(go, g->reason);
        thread.wait_reason = reasons[g->reason];
        thread.since_ns = g->since;
    }
    gmr__go_walk(go, g, &thread.language);
    if (g->carrier && g->status == GMR__GO_RUNNING && thread.language.frame_count > 0)
        gmr__green_emit_os_thread(go->green, g->carrier, &thread.language);
    if (g->in_c)
        add_c_frames(go, g, &thread);
    gmr__green_emit(go->green, &thread);
}

struct order {
    uint64_t id;
    const struct gmr__go_g *g;
};

/* For the report: as they were made. */
static int by_id(const void *left, const void *right)
{
    const struct order *a = left, *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int finish(struct gmr__green *green, void *state)
{
    struct gmr__go *go = state;
    struct order *order = malloc((go->count ? go->count : 1) * sizeof(*order));
    const char *reasons[256] = {NULL};
    size_t damaged = 0, count = 0;
    if (!order)
        return -ENOMEM;
    gmr__go_stand(go); /* their numbers have changed */
    for (size_t i = 0; i < go->count; i++) {
        const struct gmr__go_g *g = &go->gs[i];
        if (g->readable && (g->status == GMR__GO_DEAD || g->status == GMR__GO_IDLE || g->status == GMR__GO_DEAD_EXTRA))
            continue; /* kept by the runtime for the next `go` */
        if (!g->readable || g->status > GMR__GO_LEAKED || g->id >> 48 != 0 || g->high <= g->low)
            damaged++;
        else
            order[count++] = (struct order){g->id, g};
    }
    qsort(order, count, sizeof(*order), by_id);
    for (size_t i = 0; i < count; i++)
        emit_one(go, order[i].g, reasons);
    free(order);
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
    gmr__addrmap_free(&go->tids);
    gmr__addrmap_free(&go->standing);
    free(go->table.bytes);
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
