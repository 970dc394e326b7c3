/*
 * green/reader_unowned.c - which of the contexts that `gmr run` saw being made are still there.
 *
 * Inspector only, after the stop. Of such a record (interpose.c) nobody tells the end, and its stack may be unmapped, in use for
 * something else, or switched by other means than swapcontext. What can't be believed is not shown: as long as the context lives, the first
 * word of its stack is the address its function returns to, its saved stack pointer lies in its stack, and the word below the start is
 * zero until it first runs. A better source (the program's own calls, a library's lists) that has shown a stack has precedence.
 */
#include <stdlib.h>
#include <string.h>

#include "green/reader.h"

struct gmr__unowned_range {
    uint64_t low, high;
    uint32_t sequence;
    bool shown; /* by another source */
};

static int compare(const void *a, const void *b)
{
    const struct gmr__unowned_range *x = a, *y = b;
    return x->low < y->low ? -1 : x->low > y->low;
}

static bool is_unowned(const struct gmr__reader *reader, const struct gmr__copied *copied)
{
    return copied->shape && copied->shape != UINT16_MAX && gmr__unowned(&reader->shapes[copied->shape - 1]);
}

static void add(struct gmr__unowned *u, uint64_t low, uint64_t high, uint32_t sequence, bool shown)
{
    if (u->count < u->cap && low < high)
        u->ranges[u->count++] = (struct gmr__unowned_range){low, high, sequence, shown};
}

static void add_records(struct gmr__reader *reader, struct gmr__unowned *u, bool only_count)
{
    for (size_t r = 0; r < reader->root_count; r++)
        for (size_t s = 0; s < reader->roots[r].slab_count; s++) {
            const struct gmr__slab *slab = reader->roots[r].slabs[s];
            for (uint32_t i = 0; i < slab->count; i++) {
                const struct gmr__record *record = &slab->records[i];
                if (!(record->generation & 1) || !is_unowned(reader, &slab->copied[i]))
                    continue;
                u->cap += only_count;
                if (!only_count)
                    add(u, record->stack_low, record->stack_low + (uint64_t)record->stack_units * 16, record->switches,
                        false);
            }
        }
}

/* Of two that overlap the one stays that another source has shown, else the later one. */
static void keep_later(struct gmr__unowned *u)
{
    size_t kept = 0;
    for (size_t i = 0; i < u->count; i++) {
        struct gmr__unowned_range *now = &u->ranges[i], *last = kept ? &u->ranges[kept - 1] : NULL;
        if (!last || now->low >= last->high)
            u->ranges[kept++] = *now;
        else if (now->shown || (!last->shown && (int32_t)(now->sequence - last->sequence) > 0))
            *last = *now;
    }
    u->count = kept;
}

void gmr__unowned_begin(struct gmr__green *green, struct gmr__reader *reader, struct gmr__unowned *u)
{
    *u = (struct gmr__unowned){0};
    add_records(reader, u, true);
    if (!u->cap)
        return;
    u->cap += green->count;
    u->ranges = malloc(u->cap * sizeof(*u->ranges));
    if (!u->ranges)
        u->cap = 0;
    for (size_t i = 0; i < green->count; i++) {
        const struct gmr__green_entry *e = gmr__green_entry(green, i);
        add(u, e->stack_low, e->stack_high, 0, true);
    }
    add_records(reader, u, false);
    qsort(u->ranges, u->count, sizeof(*u->ranges), compare);
    keep_later(u);
}

void gmr__unowned_end(struct gmr__green *green, struct gmr__unowned *u)
{
    if (u->elsewhere)
        gmr__green_note(green,
                        "%llu contexts were made by makecontext and then switched by other means (setjmp, perhaps): "
                        "they are here only as far as they were found otherwise",
                        (unsigned long long)u->elsewhere);
    free(u->ranges);
}

/* A word of the stack: as it was copied, else as it is now. */
static uint64_t stack_word(struct gmr__green *green, const struct gmr__copied *copied, uint64_t address)
{
    uint64_t word = 0;
    if (address >= copied->stack_start && address + 8 <= copied->stack_start + copied->stack_got)
        memcpy(&word, copied->stack + (address - copied->stack_start), sizeof(word));
    else if (gmr__green_read(green, address, &word, sizeof(word)) < 0)
        return 0;
    return word;
}

/* Made, started, and yet its ucontext_t says it never ran. */
static bool saved_elsewhere(struct gmr__green *green, const struct gmr__record *record,
                            const struct gmr__copied *copied)
{
    return record->saved_sp && copied->stack_start + 8 == record->saved_sp &&
           stack_word(green, copied, copied->stack_start) != 0;
}

bool gmr__unowned_claims(struct gmr__green *green, const struct gmr__record *record, const struct gmr__copied *copied)
{
    return copied->stack_got && !saved_elsewhere(green, record, copied);
}

bool gmr__unowned_there(struct gmr__green *green, struct gmr__unowned *u, const struct gmr__shape *shape,
                        const struct gmr__record *record, const struct gmr__copied *copied,
                        const struct gmr__green_thread *thread)
{
    size_t low = 0, high = u->count;
    while (low < high) { /* the last that starts at or below it */
        size_t middle = low + (high - low) / 2;
        if (u->ranges[middle].low <= thread->stack_low)
            low = middle + 1;
        else
            high = middle;
    }
    const struct gmr__unowned_range *range = low ? &u->ranges[low - 1] : NULL;
    if (!range || range->shown || range->low != thread->stack_low || range->high != thread->stack_high ||
        range->sequence != record->switches)
        return false;
    uint64_t first = (uint64_t)(uintptr_t)shape->layout.entry_low;
    if (record->saved_sp && first && stack_word(green, copied, record->saved_sp) != first)
        return false; /* it has ended, or its stack is not one any more */
    if (thread->state == GMR__GREEN_RUNNING)
        return true;
    if (saved_elsewhere(green, record, copied)) {
        u->elsewhere++;
        return false;
    }
    return !thread->problem;
}
