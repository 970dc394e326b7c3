/*
 * green/scan.c - the source of green threads that were discovered rather than told of.
 *
 * Inspector only. `ahead` scans memory twice while the target runs: for words that are return addresses behind a switch, and for words that
 * are the saved stack pointers those would belong to; and again, since one that runs at that moment is owned by nobody. A return
 * address that stayed behind in dead stack has nobody who keeps its stack pointer; what is left is checked again at the stop, where the owner's
 * word may have moved on to a new value. In the middle of a switch the owner is a register. Words in the dead part of an OS
 * thread's stack own nothing. An OS thread whose stack pointer is not in its own stack runs one. Results are marked "discovered".
 */
#include "green/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys/grow.h"
#include "sys/sys.h"
#include "sys/word.h"

#define MAX_CANDIDATES 4000000u
#define OWN_STACK 8192u /* an owner this little below S stands in the dead part of the same stack */
#define DEAD_STACK ((uint64_t)8 << 20)
#define RED_ZONE 128u
#define PAGE 4096u
#define ROUND 512
#define CONTEXT_BYTES 80 /* from S: all that the routines push */
#define ROUNDS 3
#define SHORT_NS 300000000u /* a search that took less is worth another one */
#define NEAR_PAGES 64       /* an OS thread this near to where contexts were seen may be on one's stack */
#define STACK_WORDS 16
#define MAX_PAGES 4096
#define MOST_RESERVED 2048u
#define USUAL_COPY (16u << 10)

static int find(struct gmr__green *green, void **state)
{
    struct gmr__scan *scan = calloc(1, sizeof(*scan));
    if (!scan)
        return -ENOMEM;
    scan->green = green;
    gmr__addrmap_init(&scan->by_context, MAX_CANDIDATES);
    gmr__addrmap_init(&scan->pages, MAX_CANDIDATES);
    gmr__addrmap_init(&scan->owned, MAX_CANDIDATES);
    gmr__addrmap_init(&scan->contexts, MAX_CANDIDATES);
    *state = scan;
    return gmr__scan_find_sites(scan) ? 1 : 0;
}

bool gmr__scan_add_ucontext(struct gmr__scan *scan, uint64_t context, uint8_t routine)
{
    if (gmr__addrmap_get(&scan->contexts, context, NULL))
        return true;
    if (!gmr__addrmap_put(&scan->contexts, context, 1) ||
        !GMR__GROW_UP_TO(scan->candidates, scan->room, scan->count + 1, MAX_CANDIDATES))
        return false;
    scan->candidates[scan->count++] = (struct gmr__scan_candidate){context, routine};
    return true;
}

static bool add_context(struct gmr__scan *scan, uint64_t context, uint64_t routine)
{
    if (scan->routines[routine - 1].form == GMR__SCAN_UCONTEXT)
        return gmr__scan_add_ucontext(scan, context, (uint8_t)(routine - 1));
    if (scan->context_low == 0 || context < scan->context_low)
        scan->context_low = context;
    if (context > scan->context_high)
        scan->context_high = context;
    scan->kind = scan->routines[routine - 1].kind;
    return gmr__addrmap_put(&scan->by_context, context, routine) && gmr__addrmap_put(&scan->pages, context >> 12, 1);
}

static void see_sites(void *userdata, uint64_t address, const uint64_t *words, size_t count)
{
    struct gmr__scan *scan = userdata;
    uint64_t low = scan->site_low, span = scan->site_high - scan->site_low, routine;
    for (size_t i = 0; i < count; i++)
        if (words[i] - low <= span && gmr__addrmap_get(&scan->sites, words[i], &routine) &&
            !add_context(scan, address + i * 8 - scan->routines[routine - 1].pc_offset, routine))
            scan->cut = true;
    if (scan->start_context)
        gmr__scan_see_made(scan, address, words, count);
    if (scan->jumps.sites.used > 0)
        gmr__scan_see_jumps(scan, address, words, count);
}

/*
 * A green thread that goes on between the two passes is switched away from elsewhere in its stack; so outside stacks every word
 * that points into a page of one is looked at again at the stop, inside stacks only those that hit exactly.
 */
static void see_owners(void *userdata, uint64_t address, const uint64_t *words, size_t count)
{
    struct gmr__scan *scan = userdata;
    uint64_t low = scan->context_low, span = scan->context_high - scan->context_low;
    for (size_t i = 0; i < count; i++) {
        uint64_t owner = address + i * 8, word = words[i];
        if (word - low > span || word % 8 != 0 || word - owner < OWN_STACK ||
            !gmr__addrmap_get(&scan->pages, word >> 12, NULL) ||
            (gmr__addrmap_get(&scan->pages, owner >> 12, NULL) && !gmr__addrmap_get(&scan->by_context, word, NULL)) ||
            gmr__addrmap_get(&scan->owned, owner, NULL))
            continue;
        if (!GMR__GROW_UP_TO(scan->owners, scan->owner_room, scan->owner_count + 1, MAX_CANDIDATES)) {
            scan->cut = true;
            return;
        }
        gmr__addrmap_put(&scan->owned, owner, 1);
        scan->owners[scan->owner_count++] = owner;
    }
}

static int ahead(struct gmr__green *green, void *state)
{
    struct gmr__scan *scan = state;
    uint64_t began = gmr__now_ns();
    bool whole = gmr__scan_memory(green, NULL, see_sites, scan) &&
                 (scan->by_context.used == 0 || gmr__scan_memory(green, NULL, see_owners, scan));
    scan->rounds++;
    if (!whole && scan->rounds == 1)
        gmr__green_note(green, "memory could not be scanned to its end in time: green threads may be missing");
    if (whole && scan->by_context.used > 0 && scan->rounds < ROUNDS && gmr__now_ns() - began < SHORT_NS)
        return 1;
    /* Their stacks are copied at the stop: room for the copies of about as many as there may be. */
    size_t stacks = scan->owner_count + scan->count + scan->jumps.found.used;
    gmr__green_reserve(green, (stacks < MOST_RESERVED ? stacks : MOST_RESERVED) * USUAL_COPY);
    if (scan->cut)
        gmr__green_note(green, "there are more traces of green threads than can be looked at");
    return 0;
}

/* Is the word at `address` in the part of an OS thread's stack that is not in use? */
bool gmr__scan_in_dead_stack(struct gmr__green *green, uint64_t address)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(green, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t sp = threads[i].regs.value[gmr__arch_sp];
        if (!(threads[i].regs.valid >> gmr__arch_sp & 1) || address + RED_ZONE >= sp || sp - address > DEAD_STACK)
            continue;
        const struct gmr__map *map = gmr__snapshot_map(gmr__green_snapshot(green), sp);
        /* Stacks side by side make one mapping; then only what is near is surely the same stack. */
        if (map && address >= map->start && (strcmp(map->path, "[stack]") == 0 || sp - address < OWN_STACK))
            return true;
    }
    return false;
}

/* What the leader saved on its own stack is of no use to anybody while it runs there: it has been switched back to. */
static bool is_leaders(struct gmr__green *green, const struct gmr__map *map)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(green, &count);
    for (size_t i = 0; i < count; i++)
        if (threads[i].tid == gmr__green_snapshot(green)->pid &&
            threads[i].regs.value[gmr__arch_sp] - map->start < map->end - map->start)
            return true;
    return false;
}

/* At the end of a switch both are the same: what the OS thread runs and what is saved. */
static bool is_running(struct gmr__green *green, uint64_t context)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(green, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t sp = threads[i].regs.value[gmr__arch_sp];
        if (threads[i].regs.valid >> gmr__arch_sp & 1 && context + CONTEXT_BYTES >= sp && context <= sp + CONTEXT_BYTES)
            return true;
    }
    return false;
}

bool gmr__scan_is_writable(struct gmr__green *green, uint64_t address)
{
    const struct gmr__map *map = gmr__snapshot_map(gmr__green_snapshot(green), address);
    return map && map->write;
}

bool gmr__scan_near_contexts(const struct gmr__scan *scan, uint64_t sp)
{
    for (uint64_t page = sp >> 12, i = 0; i < NEAR_PAGES; i++)
        if (gmr__addrmap_get(&scan->pages, page + i, NULL))
            return true;
    return false;
}

/* On a stack that is not the OS thread's own: the leader's is [stack], a thread library's ends with its control block, where the copy does. */
static bool is_on_foreign_stack(struct gmr__scan *scan, const struct gmr__thread *thread, uint64_t sp)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(scan->green);
    const struct gmr__map *map = gmr__snapshot_map(snapshot, sp);
    if (!map || !map->write || strcmp(map->path, "[stack]") == 0 ||
        (thread->tid != snapshot->pid && thread->stack.address + thread->stack.bytes != map->end))
        return false;
    return gmr__scan_near_contexts(scan, sp);
}

/* DWARF numbers of x86-64: rbx 3, rbp 6, rsp 7, r12 to r15, rip 16. */
void gmr__scan_pushed(struct gmr__regs *regs, enum gmr__scan_form form, uint64_t at, const unsigned char *bytes)
{
    static const uint8_t fcontext[] = {12, 13, 14, 15, 3, 6, 16}, coro[] = {15, 14, 13, 12, 3, 6, 16};
    const uint8_t *order = form == GMR__SCAN_FCONTEXT ? fcontext : coro;
    for (uint32_t i = 0; i < sizeof(coro); i++)
        gmr__scan_set_register(regs, order[i], bytes + i * 8);
    regs->value[7] = at + GMR__SCAN_PUSHED_BYTES;
    regs->valid |= 1u << 7;
}

static void emit_pushed(struct gmr__scan *scan, const struct gmr__scan_routine *routine, uint64_t context,
                        uint64_t owner, const unsigned char *bytes)
{
    uint32_t first = routine->pc_offset - 48;
    struct gmr__green_thread thread = {
        .kind = routine->kind, .address = owner, .state = GMR__GREEN_SUSPENDED, .discovered = true};
    gmr__scan_pushed(&thread.regs, routine->form, context + first, bytes + first);
    const struct gmr__map *map = gmr__snapshot_map(gmr__green_snapshot(scan->green), context);
    if (map && strcmp(map->path, "[stack]") == 0) {
        if (is_leaders(scan->green, map))
            return;
        thread.name = "leader"; /* what the OS thread did before it switched to the one that runs */
    }
    gmr__green_emit(scan->green, &thread);
}

/* What the owners hold now is a context if the return address of a switch stands where it must. */
static void check_contexts(struct gmr__scan *scan, const uint64_t *owners, const uint64_t *contexts, size_t count)
{
    unsigned char bytes[ROUND][CONTEXT_BYTES];
    struct gmr__green_piece pieces[ROUND];
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct gmr__green_piece){.address = contexts[i], .to = bytes[i], .bytes = CONTEXT_BYTES};
    gmr__green_read_many(scan->green, pieces, count);
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < GMR__SCAN_ROUTINES; r++) {
            const struct gmr__scan_routine *routine = &scan->routines[r];
            uint64_t found;
            if (routine->form > GMR__SCAN_CORO || routine->pc_offset == 0 || pieces[i].got < routine->pc_offset + 8)
                continue;
            if (gmr__addrmap_get(&scan->sites, gmr__word(bytes[i], routine->pc_offset), &found) && found == r + 1) {
                emit_pushed(scan, routine, contexts[i], owners[i], bytes[i]);
                break;
            }
        }
}

/* What is being switched to, or was switched from a moment ago, may be known to registers and the top of the stack alone. */
static void check_in_flight(struct gmr__scan *scan, const struct gmr__thread *thread, struct gmr__addrmap *done)
{
    uint64_t contexts[GMR__MAX_REGS + STACK_WORDS], owners[GMR__MAX_REGS + STACK_WORDS], top[STACK_WORDS];
    uint64_t sp = thread->regs.value[gmr__arch_sp];
    size_t count = 0, all = 0;
    for (unsigned i = 0; i < GMR__MAX_REGS; i++)
        if (thread->regs.valid >> i & 1 && i != gmr__arch_sp)
            contexts[all++] = thread->regs.value[i];
    if (gmr__green_read(scan->green, sp, top, sizeof(top)) == 0)
        for (unsigned i = 0; i < STACK_WORDS; i++)
            contexts[all++] = top[i];
    for (size_t i = 0; i < all; i++) {
        uint64_t context = contexts[i];
        if (context % 8 != 0 || !gmr__addrmap_get(&scan->pages, context >> 12, NULL) ||
            gmr__addrmap_get(done, context, NULL) || is_running(scan->green, context) ||
            !gmr__scan_is_writable(scan->green, context) || gmr__scan_in_dead_stack(scan->green, context) ||
            gmr__green_known(scan->green, context))
            continue;
        gmr__addrmap_put(done, context, 1);
        owners[count] = context;
        contexts[count++] = context;
    }
    check_contexts(scan, owners, contexts, count);
}

/* One that runs has the registers of its OS thread. */
static void check_threads(struct gmr__scan *scan, struct gmr__addrmap *done)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(scan->green, &count);
    for (size_t i = 0; i < count && scan->pages.used > 0; i++) {
        const struct gmr__thread *thread = &threads[i];
        uint64_t sp = thread->regs.value[gmr__arch_sp];
        if (!(thread->regs.valid >> gmr__arch_sp & 1))
            continue;
        check_in_flight(scan, thread, done);
        if (!is_on_foreign_stack(scan, thread, sp) || gmr__green_known(scan->green, sp) ||
            gmr__scan_is_late(scan, thread->tid))
            continue;
        struct gmr__green_thread running = {.kind = scan->kind,
                                            .address = sp,
                                            .state = GMR__GREEN_RUNNING,
                                            .discovered = true,
                                            .carrier = thread->tid,
                                            .regs = thread->regs,
                                            .activation = true,
                                            .copy = thread->stack, /* with the red zone; the snapshot's */
                                            .copy_lasts = true};
        gmr__green_emit(scan->green, &running);
    }
}

static void check_words(struct gmr__scan *scan, const uint64_t *owners, const uint64_t *words, size_t count,
                        struct gmr__addrmap *done)
{
    uint64_t whose[ROUND], contexts[ROUND];
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        if (words[i] % 8 == 0 &&
            words[i] - scan->context_low + PAGE <= scan->context_high - scan->context_low + 2 * PAGE &&
            !gmr__addrmap_get(done, words[i], NULL) && gmr__scan_is_writable(scan->green, words[i]) &&
            !gmr__scan_in_dead_stack(scan->green, owners[i]) && !gmr__scan_in_dead_stack(scan->green, words[i]) &&
            !is_running(scan->green, words[i]) && !gmr__green_known(scan->green, words[i])) {
            gmr__addrmap_put(done, words[i], 1);
            contexts[left] = words[i];
            whose[left++] = owners[i];
        }
    check_contexts(scan, whose, contexts, left);
}

static void check_owners(struct gmr__scan *scan, const uint64_t *owners, size_t count, struct gmr__addrmap *done)
{
    uint64_t words[ROUND], whose[ROUND];
    struct gmr__green_piece pieces[ROUND];
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct gmr__green_piece){.address = owners[i], .to = &words[i], .bytes = 8};
    gmr__green_read_many(scan->green, pieces, count);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].got == 8) {
            words[left] = words[i];
            whose[left++] = owners[i];
        }
    check_words(scan, whose, words, left, done);
}

/*
 * One that ran during all searches, since the program got no processor meanwhile, has an owner that nobody has seen: likely beside the
 * others' owners, in the array or on the heap page that they are in. These pages are read whole; seen: which.
 */
static void check_pages(struct gmr__scan *scan, struct gmr__addrmap *seen, struct gmr__addrmap *done)
{
    for (size_t i = 0; i < scan->owner_count && seen->used < MAX_PAGES; i++) {
        uint64_t words[PAGE / 8], owners[PAGE / 8], page = scan->owners[i] & ~(uint64_t)(PAGE - 1);
        size_t count = 0;
        if (gmr__addrmap_get(seen, page, NULL) || gmr__addrmap_get(&scan->pages, page >> 12, NULL))
            continue;
        if (gmr__green_out_of_time(scan->green))
            return;
        if (gmr__green_read(scan->green, page, words, sizeof(words)) != 0)
            continue;
        gmr__addrmap_put(seen, page, 1);
        for (size_t k = 0; k < PAGE / 8; k++)
            if (gmr__addrmap_get(&scan->pages, words[k] >> 12, NULL)) {
                owners[count] = page + k * 8;
                words[count++] = words[k];
            }
        check_words(scan, owners, words, count, done);
    }
}

static void check_others(struct gmr__scan *scan, const struct gmr__addrmap *seen, struct gmr__addrmap *done)
{
    uint64_t owners[ROUND];
    size_t count = 0;
    for (size_t i = 0; i < scan->owner_count && !gmr__green_out_of_time(scan->green); i++) {
        if (gmr__addrmap_get(seen, scan->owners[i] & ~(uint64_t)(PAGE - 1), NULL))
            continue;
        owners[count++] = scan->owners[i];
        if (count == ROUND) {
            check_owners(scan, owners, count, done);
            count = 0;
        }
    }
    check_owners(scan, owners, count, done);
}

static int collect(struct gmr__green *green, void *state)
{
    struct gmr__scan *scan = state;
    struct gmr__addrmap done, seen;
    gmr__addrmap_init(&done, MAX_CANDIDATES);
    gmr__addrmap_init(&seen, MAX_PAGES * 2);
    gmr__scan_check_ucontexts(scan);
    gmr__scan_check_jumps(scan);
    check_threads(scan, &done);
    check_pages(scan, &seen, &done);
    check_others(scan, &seen, &done);
    if (gmr__green_out_of_time(green))
        gmr__green_note(green, "the time for the stop was used up before all that was discovered was checked");
    gmr__addrmap_free(&done);
    gmr__addrmap_free(&seen);
    return 0;
}

static int finish(struct gmr__green *green, void *state)
{
    gmr__scan_emit_late(state);
    return 0;
}

static void release(void *state)
{
    struct gmr__scan *scan = state;
    if (!scan)
        return;
    gmr__addrmap_free(&scan->sites);
    gmr__addrmap_free(&scan->by_context);
    gmr__addrmap_free(&scan->pages);
    gmr__addrmap_free(&scan->owned);
    gmr__addrmap_free(&scan->contexts);
    gmr__addrmap_free(&scan->jumps.sites);
    gmr__addrmap_free(&scan->jumps.leaves);
    gmr__addrmap_free(&scan->jumps.found);
    gmr__addrmap_free(&scan->jumps.stacks);
    free(scan->candidates);
    free(scan->owners);
    free(scan);
}

const struct gmr__green_source gmr__green_source_scan = {
    .name = "scan",
    .find = find,
    .ahead = ahead,
    .collect = collect,
    .finish = finish,
    .release = release,
    .together = true,
};
