/*
 * green/reader_flight.c - contexts in flight: saved, while their owner's variable does not hold the saved stack pointer (yet, or any more).
 *
 * Inspector only, while the OS threads stand. Boost's libraries clear the variable before they switch to a green thread and fill it once they are
 * back on the other side; in between the pointer is in a register of some OS thread, or on top of its stack. Any word there that points
 * into the stack, to a saved context that a call stands behind, is one; older ones left over lie lower.
 */
#include <stdlib.h>
#include <string.h>

#include "green/reader.h"
#include "sys/word.h"

#define TOP_BYTES 512u /* of each OS thread's stack */
#define ALWAYS 16

struct gmr__flying {
    const struct gmr__record *record;
    struct gmr__copied *copied;
    const struct gmr__shape *shape;
    uint64_t low, high;
    uint64_t saved[GMR__FLYING_GUESSES]; /* highest first */
    size_t count;
};

void gmr__reader_flies(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__record *record,
                       struct gmr__copied *copied, const struct gmr__shape *shape)
{
    if (!reader->flying)
        reader->flying = gmr__arena_alloc(&green->arena, GMR__FLYING * sizeof(*reader->flying));
    if (!reader->flying || reader->flying_count == GMR__FLYING || !record->stack_units)
        return;
    reader->flying[reader->flying_count++] =
        (struct gmr__flying){.record = record,
                             .copied = copied,
                             .shape = shape,
                             .low = record->stack_low,
                             .high = record->stack_low + (uint64_t)record->stack_units * 16};
}

static int compare(const void *a, const void *b)
{
    const struct gmr__flying *x = a, *y = b;
    return x->low < y->low ? -1 : x->low > y->low;
}

static void guess(struct gmr__reader *reader, uint64_t word)
{
    size_t low = 0, high = reader->flying_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (reader->flying[middle].low <= word)
            low = middle + 1;
        else
            high = middle;
    }
    struct gmr__flying *f = low ? &reader->flying[low - 1] : NULL;
    if (!f || word >= f->high || word & 7)
        return;
    size_t at = 0;
    while (at < f->count && f->saved[at] > word)
        at++;
    if (at == GMR__FLYING_GUESSES || (at < f->count && f->saved[at] == word))
        return;
    size_t behind = (f->count < GMR__FLYING_GUESSES ? f->count : GMR__FLYING_GUESSES - 1) - at;
    memmove(&f->saved[at + 1], &f->saved[at], behind * sizeof(f->saved[0]));
    f->saved[at] = word;
    f->count += f->count < GMR__FLYING_GUESSES;
}

static void look_through(struct gmr__reader *reader, const struct gmr__thread *thread)
{
    for (unsigned i = 0; i < GMR__MAX_REGS; i++)
        if (thread->regs.valid >> i & 1)
            guess(reader, thread->regs.value[i]);
    uint64_t sp = thread->regs.value[gmr__arch_sp];
    if (sp < thread->stack.address || sp - thread->stack.address > thread->stack.bytes)
        return;
    uint32_t from = (uint32_t)(sp - thread->stack.address);
    for (uint32_t at = from; at + 8 <= thread->stack.bytes && at < from + TOP_BYTES; at += 8)
        guess(reader, gmr__word(thread->stack.data, at));
}

/* The highest of the guesses behind which a call stands; one that never ran has none, but starts in code. */
static uint64_t choose(struct gmr__green *green, const struct gmr__flying *f)
{
    uint64_t starts = 0;
    for (size_t i = 0; i < f->count; i++) {
        uint64_t pc;
        if (gmr__green_read(green, f->saved[i] + (uint64_t)(int64_t)f->shape->layout.off_pc, &pc, sizeof(pc)) < 0 ||
            !gmr__green_is_code(green, pc))
            continue;
        if (gmr__green_is_return_address(green, pc))
            return f->saved[i];
        starts = starts ? starts : f->saved[i];
    }
    return starts;
}

void gmr__reader_copy_flying(struct gmr__green *green, struct gmr__reader *reader)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(green, &count);
    if (!reader->flying_count)
        return;
    qsort(reader->flying, reader->flying_count, sizeof(*reader->flying), compare);
    for (size_t i = 0; i < count; i++)
        if (threads[i].regs.valid >> gmr__arch_sp & 1)
            look_through(reader, &threads[i]);
    /* A few are looked at even when the time is used up: there is no copy made ahead that could stand for them. */
    for (size_t i = 0; i < reader->flying_count && (i < ALWAYS || !gmr__green_out_of_time(green)); i++) {
        const struct gmr__flying *f = &reader->flying[i];
        uint64_t saved = f->count && f->shape->layout.off_pc != GMR_NO_OFFSET ? choose(green, f) : 0;
        if (saved)
            gmr__reader_copy_saved(green, reader, f->record, f->copied, saved);
    }
    reader->flying_count = 0;
}
