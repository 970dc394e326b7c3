/*
 * green/qemu.c - the source of QEMU's coroutines, in qemu-system, qemu-io, qemu-nbd, ... as distributions ship them.
 *
 * Inspector only. QEMU keeps no list of those that live. Each has a stack of its own with a guard page below, which the mappings tell, and
 * a struct CoroutineUContext on the heap that holds the stack's address and size side by side: `ahead` looks for these pairs. What counts is
 * what else stands there at the stop: code to start with, and a sigjmp_buf (mangled by glibc) whose stack pointer lies in
 * that stack and whose pc is behind a call. A freed one fails: malloc's links overwrite the start function. Offsets are those of
 * include/qemu/coroutine_int.h and util/coroutine-ucontext.c on x86-64, the same in Debian's 5.2, 7.2, 10.0 and 11.1.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/green.h"
#include "green/addrmap.h"
#include "green/green.h"
#include "green/scan.h"
#include "sys/grow.h"
#include "sys/word.h"

#define MAX_COROUTINES 1000000u
#define MAX_NESTING 64
#define MIN_STACK 16384u
#define PAGE 4096u
#define BATCH 256
#define SITES 251
#define TOP_WORDS 16 /* of the stack's outer end */

enum { ENTRY = 0, ARGUMENT = 8, CALLER = 16, SCHEDULED = 48, STACK = 88, STACK_BYTES = 96, JMP_BUF = 104, BYTES = 168 };

enum site { SITE_NONE, SITE_CALL, SITE_CALL_BY_NAME }; /* what stands before a return address */

struct coroutine {
    uint64_t address;
    unsigned char bytes[BYTES];
    uint64_t top[TOP_WORDS];
    bool has_top;
};

struct qemu {
    struct gmr__green *green;
    uint64_t guard;
    struct gmr__addrmap stacks; /* lowest address, that of the guard page -> end of the mapping */
    uint64_t stack_low, stack_high;
    uint64_t *found; /* where a struct CoroutineUContext may be */
    size_t count, room;
    uint64_t seen_end, seen_last; /* the word before */
    struct gmr__addrmap running;  /* stack -> the OS thread on it */
    struct gmr__addrmap emitted;  /* stacks */
    struct gmr__addrmap leaders;
    struct {
        uint64_t pc;
        enum site is;
    } sites[SITES];
    uint64_t reason_address;
    char reason[32];
    bool cut;
    size_t unlike; /* whose stack is there, but no saved registers of it */
    struct coroutine batch[BATCH];
};

static bool is_qemu(struct gmr__green *green)
{
    const char *exe = gmr__green_snapshot(green)->exe, *slash = exe ? strrchr(exe, '/') : NULL;
    uint64_t enter;
    return (slash && strncmp(slash, "/qemu-", 6) == 0) ||
           gmr__green_symbol(green, "", "qemu_aio_coroutine_enter", &enter, NULL) == 0;
}

/* What could be a coroutine's stack: writable, of nobody's file, and what is below is no stack: a guard page, which a core that
 * gdb wrote calls readable. */
static void find_stacks(struct qemu *qemu)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(qemu->green);
    for (size_t i = 0; i < snapshot->map_count; i++) {
        const struct gmr__map *map = &snapshot->maps[i], *below = i ? map - 1 : NULL;
        if (!map->read || !map->write || map->exec || map->shared || map->path[0] ||
            map->end - map->start < MIN_STACK || (below && below->end == map->start && (below->write || below->exec)))
            continue;
        uint64_t stack = map->start - PAGE;
        if (!gmr__addrmap_put(&qemu->stacks, stack, map->end))
            qemu->cut = true;
        if (qemu->stack_low == 0)
            qemu->stack_low = stack;
        qemu->stack_high = stack;
    }
}

static int find(struct gmr__green *green, void **state)
{
    if (gmr__arch_pc != 16 || !is_qemu(green))
        return 0;
    struct qemu *qemu = calloc(1, sizeof(*qemu));
    if (!qemu)
        return -ENOMEM;
    qemu->green = green;
    gmr__addrmap_init(&qemu->stacks, MAX_COROUTINES);
    gmr__addrmap_init(&qemu->running, MAX_COROUTINES);
    gmr__addrmap_init(&qemu->emitted, MAX_COROUTINES);
    gmr__addrmap_init(&qemu->leaders, MAX_COROUTINES);
    *state = qemu;
    int error = gmr__green_pointer_guard(green, &qemu->guard);
    if (error) {
        gmr__green_note(green, "QEMU's coroutines can't be read: glibc's pointer guard is not known");
        return error;
    }
    find_stacks(qemu);
    return 1;
}

static uint64_t stack_end(const struct qemu *qemu, uint64_t stack, uint64_t bytes)
{
    uint64_t end;
    if (stack - qemu->stack_low > qemu->stack_high - qemu->stack_low || stack % PAGE != 0 || bytes % PAGE != 0 ||
        bytes < MIN_STACK || !gmr__addrmap_get(&qemu->stacks, stack, &end) || bytes > end - stack)
        return 0;
    return stack + bytes;
}

static void see_pair(struct qemu *qemu, uint64_t at, uint64_t stack, uint64_t bytes)
{
    uint64_t end = stack_end(qemu, stack, bytes);
    /* Inside of it: an OS thread's, whose descriptor is in its own stack. */
    if (end == 0 || (at >= stack && at < end))
        return;
    if (!GMR__GROW_UP_TO(qemu->found, qemu->room, qemu->count + 1, MAX_COROUTINES)) {
        qemu->cut = true;
        return;
    }
    qemu->found[qemu->count++] = at - STACK;
}

static void see_words(void *userdata, uint64_t address, const uint64_t *words, size_t count)
{
    struct qemu *qemu = userdata;
    if (count == 0)
        return;
    if (qemu->seen_end == address) /* a pair may lie across two pieces */
        see_pair(qemu, address - 8, qemu->seen_last, words[0]);
    for (size_t i = 0; i + 1 < count; i++)
        see_pair(qemu, address + i * 8, words[i], words[i + 1]);
    qemu->seen_end = address + count * 8;
    qemu->seen_last = words[count - 1];
}

static int ahead(struct gmr__green *green, void *state)
{
    struct qemu *qemu = state;
    if (qemu->stacks.used > 0 && !gmr__scan_memory(green, gmr__scan_is_heap, see_words, qemu))
        gmr__green_note(green, "memory could not be searched to its end in time: coroutines may be missing");
    if (qemu->cut)
        gmr__green_note(green, "there are more traces of coroutines than can be looked at");
    return 0;
}

/* Kept, since coroutines share few of them and each costs system calls. */
static enum site site_at(struct qemu *qemu, uint64_t pc)
{
    size_t slot = pc % SITES;
    if (qemu->sites[slot].pc == pc)
        return qemu->sites[slot].is;
    unsigned char code[5];
    int32_t distance;
    enum site is = gmr__green_is_return_address(qemu->green, pc) ? SITE_CALL : SITE_NONE;
    if (is == SITE_CALL && gmr__green_read(qemu->green, pc - sizeof(code), code, sizeof(code)) == 0 &&
        code[0] == 0xe8) {
        memcpy(&distance, code + 1, sizeof(distance));
        if (gmr__green_is_code(qemu->green, pc + (uint64_t)(int64_t)distance))
            is = SITE_CALL_BY_NAME;
    }
    qemu->sites[slot].pc = pc;
    qemu->sites[slot].is = is;
    return is;
}

/* The registers in a sigjmp_buf; false unless it is one whose stack pointer lies in the stack. */
static bool saved_regs(struct qemu *qemu, const unsigned char *bytes, uint64_t low, uint64_t high,
                       struct gmr__regs *regs)
{
    static const uint8_t order[] = {3, 6, 12, 13, 14, 15, 7, 16}; /* DWARF numbers */
    *regs = (struct gmr__regs){0};
    for (unsigned i = 0; i < sizeof(order); i++) {
        bool mangled = order[i] == 6 || order[i] == 7 || order[i] == 16;
        uint64_t value = gmr__word(bytes, JMP_BUF + i * 8);
        regs->value[order[i]] = mangled ? gmr__arch_demangle(value, qemu->guard) : value;
        regs->valid |= 1ull << order[i];
    }
    uint64_t sp = regs->value[7];
    return sp > low && sp < high && sp % 8 == 0 && site_at(qemu, regs->value[16]) != SITE_NONE;
}

/*
 * A coroutine starts in a function that calls it through a pointer, and when it has ended calls the switch by name. Both calls leave
 * their return address at the same place, the outermost of the stack: which of the two tells whether it has work to do.
 */
static bool is_idle(struct qemu *qemu, const struct coroutine *coroutine)
{
    for (unsigned i = TOP_WORDS; coroutine->has_top && i-- > 0;) {
        enum site is = site_at(qemu, coroutine->top[i]);
        if (is != SITE_NONE)
            return is == SITE_CALL_BY_NAME;
    }
    return false;
}

/* The function that put it on a queue, while it is on one. */
static void say_scheduled(struct qemu *qemu, uint64_t scheduled, struct gmr__green_thread *thread)
{
    if (scheduled == 0)
        return;
    if (scheduled != qemu->reason_address) {
        qemu->reason_address = scheduled;
        if (gmr__green_read_string(qemu->green, scheduled, qemu->reason, sizeof(qemu->reason)) < 0)
            qemu->reason[0] = 0;
    }
    if (strcmp(qemu->reason, "aio_co_schedule") == 0) {
        thread->state = GMR__GREEN_RUNNABLE;
    } else if (strncmp(qemu->reason, "qemu_co_sleep", 13) == 0) {
        thread->state = GMR__GREEN_WAITING;
        thread->wait_reason = "sleep";
    }
}

/* What runs in a coroutine had to leave the OS thread's own stack, whose registers only the leader's struct still holds. */
static void emit_leader(struct qemu *qemu, uint64_t caller, pid_t carrier)
{
    unsigned char bytes[BYTES];
    struct gmr__green_thread thread = {
        .kind = "QEMU coroutine", .name = "leader", .state = GMR__GREEN_SUSPENDED, .carrier = carrier};
    for (int steps = 0; caller != 0 && steps < MAX_NESTING; steps++, caller = gmr__word(bytes, CALLER)) {
        if (gmr__green_read(qemu->green, caller, bytes, sizeof(bytes)) != 0)
            return;
        if (gmr__word(bytes, STACK) != 0 || gmr__word(bytes, STACK_BYTES) != 0)
            continue;
        uint64_t sp = gmr__arch_demangle(gmr__word(bytes, JMP_BUF + 48), qemu->guard);
        const struct gmr__map *map = gmr__snapshot_map(gmr__green_snapshot(qemu->green), sp);
        if (!map || !map->write || gmr__addrmap_get(&qemu->leaders, caller, NULL) ||
            !saved_regs(qemu, bytes, map->start, map->end, &thread.regs))
            return;
        gmr__addrmap_put(&qemu->leaders, caller, 1);
        thread.address = caller;
        thread.stack_low = map->start;
        thread.stack_high = map->end;
        thread.wait_reason = "a coroutine that it entered";
        gmr__green_emit(qemu->green, &thread);
        return;
    }
}

static void emit(struct qemu *qemu, const struct coroutine *coroutine)
{
    const unsigned char *bytes = coroutine->bytes;
    uint64_t stack = gmr__word(bytes, STACK), end = stack_end(qemu, stack, gmr__word(bytes, STACK_BYTES)), carrier = 0;
    struct gmr__green_thread thread = {.kind = "QEMU coroutine",
                                       .address = coroutine->address,
                                       .state = GMR__GREEN_SUSPENDED,
                                       .entry = gmr__word(bytes, ENTRY),
                                       .argument = gmr__word(bytes, ARGUMENT),
                                       .has_argument = true,
                                       .parent = gmr__word(bytes, CALLER),
                                       .stack_low = stack + PAGE,
                                       .stack_high = end};
    if (end == 0 || gmr__addrmap_get(&qemu->emitted, stack, NULL))
        return;
    if (!gmr__green_is_code(qemu->green, thread.entry) || !saved_regs(qemu, bytes, stack + PAGE, end, &thread.regs)) {
        qemu->unlike++;
        return;
    }
    gmr__addrmap_put(&qemu->emitted, stack, 1);
    if (gmr__addrmap_get(&qemu->running, stack, &carrier)) {
        thread.state = GMR__GREEN_RUNNING;
        thread.carrier = (pid_t)carrier;
        thread.regs.valid = 0;
    } else if (thread.parent != 0) {
        thread.wait_reason = "a coroutine that it entered";
    } else if (gmr__word(bytes, SCHEDULED) == 0 && is_idle(qemu, coroutine)) {
        thread.idle = true;
        thread.entry = thread.argument = 0; /* of what it did before */
        thread.has_argument = false;
    } else {
        say_scheduled(qemu, gmr__word(bytes, SCHEDULED), &thread);
    }
    gmr__green_emit(qemu->green, &thread);
    if (thread.state == GMR__GREEN_RUNNING)
        emit_leader(qemu, thread.parent, thread.carrier);
}

static void find_running(struct qemu *qemu)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(qemu->green, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t sp = threads[i].regs.value[gmr__arch_sp];
        const struct gmr__map *map =
            threads[i].regs.valid >> gmr__arch_sp & 1 ? gmr__snapshot_map(gmr__green_snapshot(qemu->green), sp) : NULL;
        if (map && gmr__addrmap_get(&qemu->stacks, map->start - PAGE, NULL))
            gmr__addrmap_put(&qemu->running, map->start - PAGE, (uint64_t)threads[i].tid);
    }
}

static void collect_batch(struct qemu *qemu, const uint64_t *addresses, size_t count)
{
    struct coroutine *batch = qemu->batch;
    struct gmr__green_piece pieces[BATCH];
    for (size_t i = 0; i < count; i++) {
        batch[i].address = addresses[i];
        batch[i].has_top = false;
        pieces[i] = (struct gmr__green_piece){.address = addresses[i], .to = batch[i].bytes, .bytes = BYTES};
    }
    gmr__green_read_many(qemu->green, pieces, count);
    size_t left = 0, tops = 0;
    for (size_t i = 0; i < count; i++)
        if (pieces[i].got == BYTES)
            batch[left++] = batch[i];
    for (size_t i = 0; i < left; i++) {
        uint64_t end = stack_end(qemu, gmr__word(batch[i].bytes, STACK), gmr__word(batch[i].bytes, STACK_BYTES));
        pieces[tops++] = (struct gmr__green_piece){
            .address = end ? end - sizeof(batch[i].top) : 0, .to = batch[i].top, .bytes = sizeof(batch[i].top)};
    }
    gmr__green_read_many(qemu->green, pieces, tops);
    for (size_t i = 0; i < left; i++) {
        batch[i].has_top = pieces[i].got == sizeof(batch[i].top);
        emit(qemu, &batch[i]);
    }
}

static int collect(struct gmr__green *green, void *state)
{
    struct qemu *qemu = state;
    find_running(qemu);
    for (size_t i = 0; i < qemu->count; i += BATCH) {
        if (gmr__green_out_of_time(green)) {
            gmr__green_note(green, "the time for the stop was used up before all coroutines were read");
            break;
        }
        collect_batch(qemu, qemu->found + i, qemu->count - i < BATCH ? qemu->count - i : BATCH);
    }
    /* One that was freed a moment ago looks like that too, but not all of them do. */
    if (qemu->unlike > 0 && qemu->emitted.used == 0)
        gmr__green_note(green,
                        "%zu stacks are owned as those of QEMU's coroutines are, by structs that are not laid out as "
                        "in QEMU 5.2 to 11.1: "
                        "its coroutines are not read",
                        qemu->unlike);
    return 0;
}

static void release(void *state)
{
    struct qemu *qemu = state;
    if (!qemu)
        return;
    gmr__addrmap_free(&qemu->stacks);
    gmr__addrmap_free(&qemu->running);
    gmr__addrmap_free(&qemu->emitted);
    gmr__addrmap_free(&qemu->leaders);
    free(qemu->found);
    free(qemu);
}

const struct gmr__green_source gmr__green_source_qemu = {
    .name = "qemu",
    .find = find,
    .ahead = ahead,
    .collect = collect,
    .release = release,
    .together = true,
};
