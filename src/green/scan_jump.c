/*
 * green/scan_jump.c - of the traces that look like a jmp_buf, those that somebody may jump back to, on a stack of their own.
 *
 * Inspector only. glibc mangles three of the registers in it, the pc among them, with a value that the inspector can read: so each return address
 * behind a setjmp is looked for in its mangled form, which nothing else looks like. Most jmp_bufs are there to handle errors; who leaves
 * a stack by one calls longjmp next, so that right below the saved stack pointer, or a little further, stands the return address of that
 * call. x86-64: sysdeps/x86_64/jmpbuf-offsets.h, __longjmp.S.
 */
#include "arch/green.h"
#include "green/scan.h"
#include "sys/proc.h"

#define WORDS 8 /* rbx rbp r12 r13 r14 r15 rsp pc */
#define ROUND 256
#define MAX_JUMPS 100000u
#define BELOW 32 /* words below the stack pointer */
#define RED_ZONE 128u
#define NEAR 8192u
#define MAX_RUNNING 256
#define CONTROL_WORDS 256
#define THREAD_BLOCK 16384u /* at a thread's stack's end: what holds its control block */

enum { RSP = 6, PC = 7 };

struct jump {
    uint64_t address, sp, words[WORDS];
    unsigned left_at;
};

static unsigned filter_of(uint64_t word)
{
    return (unsigned)(word >> 24) % GMR__SCAN_FILTER;
}

void gmr__scan_add_jump(struct gmr__scan *scan, uint64_t site, enum gmr__scan_form form)
{
    struct gmr__scan_jumps *jumps = &scan->jumps;
    if (form == GMR__SCAN_LONGJMP) {
        gmr__addrmap_put(&jumps->leaves, site, 1);
        return;
    }
    uint64_t mangled = gmr__arch_mangle(site, jumps->guard);
    unsigned bit = filter_of(mangled);
    if (gmr__addrmap_put(&jumps->sites, mangled, site))
        jumps->seen[bit / 8] |= (uint8_t)(1u << bit % 8);
}

/* A thread library's control block holds its own address twice. That of the leader, whose stack is elsewhere, lies anywhere; it holds its pid. */
static bool is_control_block(const uint64_t *words, size_t count, uint64_t address, pid_t leader)
{
    if (words[0] != address || words[2] != address)
        return false;
    for (size_t i = 3; i < count && i < CONTROL_WORDS; i++)
        if ((pid_t)words[i] == leader || (pid_t)(words[i] >> 32) == leader)
            return false;
    return true;
}

/* Does the mapping end with a control block? Then it is the stack of an OS thread, or of one that has ended. */
static bool is_threads_stack(struct gmr__scan *scan, uint64_t sp)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(scan->green);
    const struct gmr__map *map = gmr__snapshot_map(snapshot, sp);
    uint64_t words[THREAD_BLOCK / 8], is = 0;
    if (strcmp(map->path, "[stack]") == 0)
        return true;
    if (gmr__addrmap_get(&scan->jumps.stacks, map->start, &is))
        return is;
    struct gmr__proc_status status;
    bool core = snapshot->method && strcmp(snapshot->method, "core") == 0;
    pid_t leader = !core && gmr__proc_status("/proc", snapshot->pid, 0, &status) == 0 && status.ns_pid ? status.ns_pid
                                                                                                       : snapshot->pid;
    size_t bytes = map->end - map->start < sizeof(words) ? map->end - map->start : sizeof(words);
    if (gmr__green_read(scan->green, map->end - bytes, words, bytes) == 0)
        for (size_t i = 0; i + 2 < bytes / 8 && !is; i++)
            is = is_control_block(words + i, bytes / 8 - i, map->end - bytes + i * 8, leader);
    gmr__addrmap_put(&scan->jumps.stacks, map->start, is);
    return is;
}

void gmr__scan_see_jumps(struct gmr__scan *scan, uint64_t address, const uint64_t *words, size_t count)
{
    struct gmr__scan_jumps *jumps = &scan->jumps;
    uint64_t saved;
    for (size_t i = 0; i < count; i++) {
        unsigned bit = filter_of(words[i]);
        if (!(jumps->seen[bit / 8] >> bit % 8 & 1) || !gmr__addrmap_get(&jumps->sites, words[i], NULL) ||
            gmr__green_read(scan->green, address + i * 8 - 8, &saved, 8) != 0)
            continue;
        uint64_t sp = gmr__arch_demangle(saved, jumps->guard);
        if (!gmr__scan_is_writable(scan->green, sp - 8) || sp % 8 != 0 || is_threads_stack(scan, sp - 8))
            continue;
        if (jumps->found.used >= MAX_JUMPS || !gmr__addrmap_put(&jumps->found, address + i * 8 - PC * 8, 1) ||
            !gmr__addrmap_put(&scan->pages, sp >> 12, 1))
            scan->cut = true;
        if (!scan->kind)
            scan->kind = "setjmp coroutine";
    }
}

/* How many words below the stack pointer the return address of a longjmp stands; BELOW: none does. */
static unsigned left_at(const struct gmr__scan *scan, const uint64_t *stack)
{
    unsigned i = 0;
    while (i < BELOW && !gmr__addrmap_get(&scan->jumps.leaves, stack[BELOW - 1 - i], NULL))
        i++;
    return i;
}

static bool is_candidate(struct gmr__scan *scan, struct jump *jump)
{
    struct gmr__green *green = scan->green;
    if (!gmr__addrmap_get(&scan->jumps.sites, jump->words[PC], NULL))
        return false;
    jump->sp = gmr__arch_demangle(jump->words[RSP], scan->jumps.guard);
    return gmr__scan_is_writable(green, jump->sp - 8) && jump->sp % 8 == 0 && !gmr__green_known(green, jump->sp) &&
           gmr__addrmap_get(&scan->pages, jump->sp >> 12, NULL) && !gmr__scan_in_dead_stack(green, jump->sp) &&
           !gmr__scan_in_dead_stack(green, jump->address);
}

static void emit(struct gmr__scan *scan, const struct jump *jump)
{
    static const uint8_t numbers[WORDS] = {3, 6, 12, 13, 14, 15, 7, 16}; /* DWARF */
    struct gmr__green_thread thread = {
        .kind = "setjmp coroutine", .address = jump->address, .state = GMR__GREEN_SUSPENDED, .discovered = true};
    for (unsigned i = 0; i < WORDS; i++) {
        bool mangled = numbers[i] == 6 || numbers[i] == 7 || numbers[i] == 16;
        thread.regs.value[numbers[i]] =
            mangled ? gmr__arch_demangle(jump->words[i], scan->jumps.guard) : jump->words[i];
        thread.regs.valid |= 1ull << numbers[i];
    }
    gmr__green_emit(scan->green, &thread);
}

/* Reads jump[0 .. count), whose addresses are set, and moves those that are candidates to the front: how many. */
static size_t read_round(struct gmr__scan *scan, struct jump *jumps, size_t count)
{
    struct gmr__green_piece pieces[ROUND];
    uint64_t stacks[ROUND][BELOW];
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct gmr__green_piece){
            .address = jumps[i].address, .to = jumps[i].words, .bytes = sizeof(jumps[i].words)};
    gmr__green_read_many(scan->green, pieces, count);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].got == pieces[i].bytes && is_candidate(scan, &jumps[i]))
            jumps[left++] = jumps[i];
    memset(stacks, 0, sizeof(stacks));
    for (size_t i = 0; i < left; i++)
        pieces[i] = (struct gmr__green_piece){
            .address = jumps[i].sp - sizeof(stacks[i]), .to = stacks[i], .bytes = sizeof(stacks[i])};
    gmr__green_read_many(scan->green, pieces, left);
    for (size_t i = 0; i < left; i++)
        jumps[i].left_at = left_at(scan, stacks[i]);
    return left;
}

/* An OS thread on such a stack has jumped back to the nearest of those above it: what that says is not of this time. */
static void drop_running(struct gmr__scan *scan, struct jump *jumps, size_t count)
{
    size_t all;
    const struct gmr__thread *threads = gmr__green_stopped(scan->green, &all);
    for (size_t t = 0, looked = 0; t < all && looked < MAX_RUNNING; t++) {
        uint64_t sp = threads[t].regs.value[gmr__arch_sp], nearest = NEAR + RED_ZONE;
        if (!gmr__scan_near_contexts(scan, sp))
            continue;
        looked++;
        struct jump *whose = NULL;
        for (size_t i = 0; i < count; i++)
            if (jumps[i].sp + RED_ZONE - sp < nearest) {
                nearest = jumps[i].sp + RED_ZONE - sp;
                whose = &jumps[i];
            }
        if (whose)
            whose->left_at = BELOW;
    }
}

static void emit_all(struct gmr__scan *scan, const struct jump *jumps, size_t count)
{
    struct gmr__addrmap by_sp, emitted; /* stack pointers */
    gmr__addrmap_init(&by_sp, MAX_JUMPS);
    gmr__addrmap_init(&emitted, MAX_JUMPS);
    for (size_t i = 0; i < count; i++)
        gmr__addrmap_put(&by_sp, jumps[i].sp, 1);
    for (size_t i = 0; i < count; i++) {
        /* A longjmp's return address belongs to the jmp_buf whose stack pointer is the nearest above it. */
        bool nearer = false;
        for (unsigned k = 1; k <= jumps[i].left_at; k++)
            nearer = nearer || gmr__addrmap_get(&by_sp, jumps[i].sp - k * 8, NULL);
        /* A copy of a jmp_buf is not another one. */
        if (jumps[i].left_at < BELOW && !nearer && !gmr__addrmap_get(&emitted, jumps[i].sp, NULL)) {
            gmr__addrmap_put(&emitted, jumps[i].sp, 1);
            emit(scan, &jumps[i]);
        }
    }
    gmr__addrmap_free(&by_sp);
    gmr__addrmap_free(&emitted);
}

void gmr__scan_check_jumps(struct gmr__scan *scan)
{
    const struct gmr__addrmap *found = &scan->jumps.found;
    struct jump *jumps = found->used ? gmr__green_alloc(scan->green, (found->used + ROUND) * sizeof(*jumps)) : NULL;
    size_t count = 0, round = 0;
    for (size_t i = 0; jumps && i < found->slots && !gmr__green_out_of_time(scan->green); i++) {
        if (found->keys[i] == 0)
            continue;
        jumps[count + round++].address = found->keys[i];
        if (round < ROUND)
            continue;
        count += read_round(scan, jumps + count, round);
        round = 0;
    }
    if (!jumps)
        return;
    count += read_round(scan, jumps + count, round);
    drop_running(scan, jumps, count);
    emit_all(scan, jumps, count);
}
