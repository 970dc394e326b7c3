/*
 * green/scan_ucontext.c - of the traces that look like a ucontext_t, those that are one: at most one a stack.
 *
 * Inspector only, at the stop, so each is read once, hundreds by one system call. A program may hold many for a stack: copies, and those of
 * earlier users. The one whose return address still stands below its stack pointer, the furthest up, is the last; of an OS
 * thread's own position on the stack nothing of it is believed but the stack's bounds. Must not write to malloc's memory (see green_alloc).
 */
#include "green/scan.h"
#include "sys/word.h"

#define UCONTEXT_BYTES 176
#define ROUND 512
#define MAX_STACKS 4000000u
#define CHUNK 1024
#define STACK_LEAST 1024u

/* x86-64, glibc: sysdeps/unix/sysv/linux/x86_64/ucontext_i.sym */
enum { STACK = 16, STACK_SIZE = 32, ARGUMENT = 104, SP = 160, PC = 168 };

struct context {
    uint64_t address, stack, size, sp;
    uint64_t first; /* the word where makecontext puts the address that the stack's function returns to */
    pid_t carrier;  /* 0: suspended */
    uint8_t routine;
    unsigned char bytes[UCONTEXT_BYTES];
};

struct search {
    struct gmr__scan *scan;
    struct gmr__addrmap by_stack; /* stack -> number + 1 */
    struct context *chunks[MAX_STACKS / CHUNK + 1];
    size_t count;
    uint64_t asked; /* is_behind_call: the last question and its answer */
    bool answer;
};

static struct context *context_at(struct search *search, size_t number)
{
    return &search->chunks[number / CHUNK][number % CHUNK];
}

static bool in_its_stack(uint64_t sp, uint64_t stack, uint64_t size)
{
    return size != 0 && size <= (uint64_t)1 << 32 && sp > stack && sp - stack <= size;
}

static bool was_saved(const struct gmr__scan *scan, const unsigned char *bytes)
{
    return gmr__addrmap_get(&scan->sites, gmr__word(bytes, PC), NULL);
}

/* Is the stack pointer inside the stack that it names, and was it saved by a switch, or made? */
static bool is_context(struct gmr__scan *scan, const unsigned char *bytes)
{
    uint64_t sp = gmr__word(bytes, SP);
    return in_its_stack(sp, gmr__word(bytes, STACK), gmr__word(bytes, STACK_SIZE)) &&
           gmr__scan_is_writable(scan->green, sp - 8) &&
           (was_saved(scan, bytes) || (scan->start_context && gmr__green_is_code(scan->green, gmr__word(bytes, PC)))) &&
           !gmr__green_known(scan->green, sp);
}

static pid_t runs_on(struct gmr__green *green, uint64_t low, uint64_t high)
{
    size_t count;
    pid_t carrier = 0;
    const struct gmr__thread *threads = gmr__green_stopped(green, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t sp = threads[i].regs.value[gmr__arch_sp];
        if (sp > low && sp <= high)
            carrier = threads[i].tid;
    }
    return carrier;
}

/* words: below the stack pointer (of one that was only made: at it), and `first`. Such a one is shown only while it runs: whether it ever
 * did can't be told. */
static void keep(struct search *search, const struct gmr__scan_candidate *candidate, const unsigned char *bytes,
                 const uint64_t *words)
{
    struct context now = {.address = candidate->context,
                          .first = words[1],
                          .stack = gmr__word(bytes, STACK),
                          .size = gmr__word(bytes, STACK_SIZE),
                          .sp = gmr__word(bytes, SP),
                          .routine = candidate->routine};
    uint64_t number;
    struct context *best =
        gmr__addrmap_get(&search->by_stack, now.stack, &number) ? context_at(search, number - 1) : NULL;
    if (best && best->carrier)
        return;
    now.carrier = runs_on(search->scan->green, now.stack, now.stack + now.size);
    /* swapcontext's return address still stands below its stack pointer: so it did when it was saved. Of those that were on one stack one
     * after the other, the last would have written over what the others left further up. */
    if (!was_saved(search->scan, bytes) && (!now.carrier || words[0] != search->scan->start_context))
        return;
    if (!now.carrier && (words[0] != gmr__word(bytes, PC) || (best && best->sp >= now.sp)))
        return;
    memcpy(now.bytes, bytes, UCONTEXT_BYTES);
    if (!best) {
        struct context **chunk = &search->chunks[search->count / CHUNK];
        if (!*chunk && !(*chunk = gmr__green_alloc(search->scan->green, CHUNK * sizeof(**chunk))))
            return;
        if (!gmr__addrmap_put(&search->by_stack, now.stack, search->count + 1))
            return;
        best = context_at(search, search->count++);
    }
    *best = now;
}

/* glibc's makecontext, for up to six arguments; with more it is another word. */
static uint64_t first_at(const unsigned char *bytes)
{
    return ((gmr__word(bytes, STACK) + gmr__word(bytes, STACK_SIZE) - 8) & ~(uint64_t)15) - 8;
}

static void read_round(struct search *search, const struct gmr__scan_candidate *candidates, size_t count)
{
    struct gmr__scan *scan = search->scan;
    unsigned char bytes[ROUND][UCONTEXT_BYTES];
    uint64_t words[ROUND][2];
    size_t which[ROUND], left = 0;
    struct gmr__green_piece pieces[2 * ROUND];
    for (size_t i = 0; i < count; i++)
        pieces[i] =
            (struct gmr__green_piece){.address = candidates[i].context, .to = bytes[i], .bytes = UCONTEXT_BYTES};
    gmr__green_read_many(scan->green, pieces, count);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].got == UCONTEXT_BYTES && is_context(scan, bytes[i]))
            which[left++] = i;
    memset(words, 0, sizeof(words));
    for (size_t i = 0; i < left; i++) {
        uint64_t below = gmr__word(bytes[which[i]], SP) - (was_saved(scan, bytes[which[i]]) ? 8 : 0),
                 first = first_at(bytes[which[i]]);
        pieces[2 * i] = (struct gmr__green_piece){.address = below, .to = &words[i][0], .bytes = 8};
        pieces[2 * i + 1] = (struct gmr__green_piece){.address = first, .to = &words[i][1], .bytes = 8};
    }
    gmr__green_read_many(scan->green, pieces, 2 * left);
    for (size_t i = 0; i < left; i++)
        keep(search, &candidates[which[i]], bytes[which[i]], words[i]);
}

static bool is_behind_call(struct search *search, uint64_t address)
{
    struct gmr__green *green = search->scan->green;
    unsigned char call;
    if (address != search->asked)
        search->answer =
            gmr__green_is_code(green, address) && gmr__green_read(green, address - 5, &call, 1) == 0 && call == 0xe8;
    search->asked = address;
    return search->answer;
}

static void emit(struct search *search, const struct context *context)
{
    struct gmr__scan *scan = search->scan;
    static const uint8_t numbers[] = {12, 13, 14, 15, 6, 3, 7, 16};
    static const uint8_t offsets[] = {72, 80, 88, 96, 120, 128, SP, PC};
    struct gmr__green_thread thread = {.kind = scan->routines[context->routine].kind,
                                       .address = context->address,
                                       .state = context->carrier ? GMR__GREEN_RUNNING : GMR__GREEN_SUSPENDED,
                                       .carrier = context->carrier,
                                       .discovered = true,
                                       .stack_low = context->stack,
                                       .stack_high = context->stack + context->size};
    /* The function of one that has ended has returned to the start of __start_context, whose call of setcontext stands where its address
     * stood. Two stacks that overlap are one. */
    if ((!context->carrier && is_behind_call(search, context->first)) || gmr__green_known(scan->green, context->sp))
        return;
    if (!was_saved(scan, context->bytes)) { /* as makecontext left it */
        thread.entry = gmr__word(context->bytes, PC);
        thread.argument = gmr__word(context->bytes, ARGUMENT);
        thread.has_argument = true;
    }
    for (size_t i = 0; !context->carrier && i < sizeof(numbers); i++)
        gmr__scan_set_register(&thread.regs, numbers[i], context->bytes + offsets[i]);
    if (!was_saved(scan, context->bytes) && scan->late_count < GMR__SCAN_LATE)
        scan->late[scan->late_count++] = thread; /* may be in the registry, which finds out afterwards */
    else
        gmr__green_emit(scan->green, &thread);
}

bool gmr__scan_is_late(const struct gmr__scan *scan, pid_t carrier)
{
    bool is = false;
    for (size_t i = 0; i < scan->late_count; i++)
        is = is || scan->late[i].carrier == carrier;
    return is;
}

void gmr__scan_emit_late(struct gmr__scan *scan)
{
    for (size_t i = 0; i < scan->late_count; i++)
        if (!gmr__green_known(scan->green, scan->late[i].stack_high - 1))
            gmr__green_emit(scan->green, &scan->late[i]);
}

/* The words of a ucontext_t at their distances from that of the stack pointer. makecontext aligns it as a call does. */
void gmr__scan_see_made(struct gmr__scan *scan, uint64_t address, const uint64_t *words, size_t count)
{
    enum { BACK = (SP - STACK) / 8, BACK_SIZE = (SP - STACK_SIZE) / 8 };
    uint8_t routine = 0;
    while (routine < GMR__SCAN_ROUTINES - 1 && scan->routines[routine].form != GMR__SCAN_UCONTEXT)
        routine++;
    for (size_t i = 0; i < count; i++) {
        uint64_t around[BACK + 2], sp = words[i];
        const uint64_t *at = words + i;
        if (sp % 16 != 8 || sp < STACK_LEAST)
            continue;
        if (i < BACK || i + 1 == count) { /* it lies across two pieces */
            if (gmr__green_read(scan->green, address + (i - BACK) * 8, around, sizeof(around)) != 0)
                continue;
            at = around + BACK;
        }
        if (in_its_stack(sp, at[-BACK], at[-BACK_SIZE]) && at[-BACK_SIZE] >= STACK_LEAST &&
            gmr__green_is_code(scan->green, at[1]) && !gmr__scan_add_ucontext(scan, address + i * 8 - SP, routine))
            scan->cut = true;
    }
}

void gmr__scan_check_ucontexts(struct gmr__scan *scan)
{
    struct search *search = scan->count ? gmr__green_alloc(scan->green, sizeof(*search)) : NULL;
    if (!search)
        return;
    search->scan = scan;
    gmr__addrmap_init(&search->by_stack, MAX_STACKS);
    for (size_t i = 0; i < scan->count && !gmr__green_out_of_time(scan->green); i += ROUND)
        read_round(search, scan->candidates + i, scan->count - i < ROUND ? scan->count - i : ROUND);
    for (size_t i = 0; i < search->count && !gmr__green_out_of_time(scan->green); i++)
        emit(search, context_at(search, i));
    gmr__addrmap_free(&search->by_stack);
}
