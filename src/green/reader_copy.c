/*
 * green/reader_copy.c - copies contexts, stacks and details of the registry's records, ahead of the stop and in it.
 *
 * Inspector only. Ahead: everything. At the stop: first what changed since, then what may have changed unnoticed (no switch counter),
 * as far as the budget goes. Reads go out hundreds at a time; memory for stacks that grew is touched beforehand, so that the
 * stop pays no page fault. Analyses nothing.
 */
#include <stddef.h>
#include <string.h>

#include "green/lua.h"
#include "green/reader.h"

#define BATCH 512u
#define RESERVE_BYTES (4u << 20)
#define SLACK 32u

struct work {
    const struct gmr__record *record;
    struct gmr__copied *copied;
    const struct gmr__shape *shape;
    uint64_t record_address;
    uint64_t base; /* slot, or S */
    uint64_t word[2];
};

struct gmr__copy_batch {
    struct work work[BATCH];
    struct gmr__green_piece pieces[2 * BATCH];
    struct work *owner[2 * BATCH];
    size_t count;
};

static unsigned char *room(struct gmr__green *green, struct gmr__reader *reader, size_t bytes)
{
    if (green->phase == GMR__PHASE_COLLECT && bytes <= reader->reserve_left) {
        unsigned char *memory = reader->reserve;
        bytes = (bytes + 7) & ~(size_t)7;
        reader->reserve += bytes;
        reader->reserve_left -= bytes < reader->reserve_left ? bytes : reader->reserve_left;
        return memory;
    }
    return gmr__arena_alloc(&green->arena, bytes);
}

/* Where each context is: S for those whose slot points to it, the block's bytes for the others. */
static void read_contexts(struct gmr__green *green, struct gmr__reader *reader, struct gmr__copy_batch *batch)
{
    size_t n = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct work *w = &batch->work[i];
        w->base = w->record->slot;
        if (!w->shape->usable || !w->record->slot)
            continue;
        if (w->shape->layout.kind == GMR_CONTEXT_SP_SLOT) {
            if (w->record->slot == w->record_address + offsetof(struct gmr__record, saved_sp)) {
                w->base = w->record->saved_sp;
                continue;
            }
            w->base = 0;
            batch->pieces[n] = (struct gmr__green_piece){.address = w->record->slot, .to = &w->base, .bytes = 8};
        } else {
            uint32_t bytes = (uint32_t)(w->shape->high - w->shape->low);
            if (w->copied->block_cap < bytes) {
                w->copied->block = room(green, reader, bytes);
                w->copied->block_cap = w->copied->block ? (uint16_t)bytes : 0;
            }
            if (!w->copied->block)
                continue;
            batch->pieces[n] = (struct gmr__green_piece){
                .address = w->record->slot + (uint64_t)(int64_t)w->shape->low, .to = w->copied->block, .bytes = bytes};
        }
        batch->owner[n++] = w;
    }
    gmr__green_read_many(green, batch->pieces, n);
    for (size_t i = 0; i < n; i++)
        if (batch->pieces[i].got < batch->pieces[i].bytes)
            batch->owner[i]->base = 0;
}

/* The stack pointer as it stands in the copy of the context; 0 if there is none. */
static uint64_t start_of(struct gmr__reader *reader, const struct work *w)
{
    if (!w->base || !w->shape->usable || w->shape->layout.kind == GMR_CONTEXT_SP_SLOT)
        return gmr__arch_strip(w->base);
    struct gmr__regs regs;
    if (!w->copied->block || !gmr__context_decode(w->shape, w->base, w->copied->block, reader->guard, &regs))
        return 0;
    return regs.value[gmr__arch_sp];
}

static uint32_t bytes_from(struct gmr__green *green, const struct gmr__record *record, uint64_t start)
{
    uint64_t low = record->stack_low, high = low + (uint64_t)record->stack_units * 16;
    if (!start)
        return 0;
    if (high <= low) {
        const struct gmr__map *map = gmr__snapshot_map(green->snapshot, start);
        low = map ? map->start : start;
        high = map ? map->end : start;
    }
    if (start < low || start >= high)
        return 0;
    return high - start < green->options.stack_bytes ? (uint32_t)(high - start) : green->options.stack_bytes;
}

static bool make_room(struct gmr__green *green, struct gmr__reader *reader, struct gmr__copied *copied, uint32_t bytes)
{
    if (copied->stack_cap >= bytes)
        return true;
    uint32_t cap = bytes + SLACK;
    if (green->stack_total + cap > green->options.max_stack_bytes) {
        green->dropped_stacks++;
        return false;
    }
    unsigned char *memory = room(green, reader, cap);
    if (!memory)
        return false;
    green->stack_total += cap;
    copied->stack = memory;
    copied->stack_cap = cap;
    return true;
}

static void read_stacks(struct gmr__green *green, struct gmr__reader *reader, struct gmr__copy_batch *batch)
{
    size_t n = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct work *w = &batch->work[i];
        uint64_t start = start_of(reader, w);
        if (start && start == w->record->saved_sp && gmr__unowned(w->shape))
            start -= 8; /* the mark that tells whether it ever ran */
        uint32_t bytes = bytes_from(green, w->record, start);
        w->copied->stack_start = start;
        w->copied->stack_got = 0;
        w->copied->copied_away = false;
        if (!bytes || !make_room(green, reader, w->copied, bytes))
            continue;
        batch->pieces[n] = (struct gmr__green_piece){.address = start, .to = w->copied->stack, .bytes = bytes};
        batch->owner[n++] = w;
    }
    gmr__green_read_many(green, batch->pieces, n);
    for (size_t i = 0; i < n; i++)
        batch->owner[i]->copied->stack_got = batch->pieces[i].got;
}

static void read_details(struct gmr__green *green, struct gmr__reader *reader, struct gmr__copy_batch *batch)
{
    size_t n = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct work *w = &batch->work[i];
        if (!(w->record->home & GMR__RECORD_DETAIL))
            continue;
        if (!w->copied->detail &&
            !(w->copied->detail = (struct gmr__detail *)room(green, reader, sizeof(struct gmr__detail))))
            continue;
        uint64_t slab = w->record_address & ~(uint64_t)(GMR__SLAB_BYTES - 1);
        uint64_t number = (w->record_address - slab) / sizeof(struct gmr__record);
        batch->pieces[n] =
            (struct gmr__green_piece){.address = slab + GMR__SLAB_DETAILS + number * sizeof(struct gmr__detail),
                                      .to = w->copied->detail,
                                      .bytes = sizeof(struct gmr__detail)};
        batch->owner[n++] = w;
    }
    gmr__green_read_many(green, batch->pieces, n);
    for (size_t i = 0; i < n; i++)
        if (batch->pieces[i].got < batch->pieces[i].bytes)
            memset(batch->owner[i]->copied->detail, 0, sizeof(struct gmr__detail));
}

/* Stacks that their library copied away: the bytes stand at *copy rather than at sp. */
static void read_copied_away(struct gmr__green *green, struct gmr__reader *reader, struct gmr__copy_batch *batch)
{
    size_t n = 0, m = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct work *w = &batch->work[i];
        if (!(w->record->home & GMR__RECORD_DETAIL) || !w->copied->detail || !w->copied->detail->copy)
            continue;
        w->word[0] = w->word[1] = 0;
        batch->pieces[n] = (struct gmr__green_piece){.address = w->copied->detail->copy, .to = &w->word[0], .bytes = 8};
        batch->owner[n++] = w;
        batch->pieces[n] =
            (struct gmr__green_piece){.address = w->copied->detail->copy_bytes, .to = &w->word[1], .bytes = 8};
        batch->owner[n++] = w;
    }
    gmr__green_read_many(green, batch->pieces, n);
    for (size_t i = 0; i + 1 < n; i += 2) {
        struct work *w = batch->owner[i];
        uint32_t bytes = w->word[1] < green->options.stack_bytes ? (uint32_t)w->word[1] : green->options.stack_bytes;
        uint64_t owner = 0;
        if (w->copied->detail->copy_owner)
            gmr__green_read(green, w->copied->detail->copy_owner, &owner, sizeof(owner));
        if (owner && owner == w->record->slot)
            continue; /* its bytes are on the stack itself */
        if (!w->word[0] || !bytes || !make_room(green, reader, w->copied, bytes))
            continue;
        batch->pieces[m] = (struct gmr__green_piece){.address = w->word[0], .to = w->copied->stack, .bytes = bytes};
        batch->owner[m++] = w;
    }
    gmr__green_read_many(green, batch->pieces, m);
    for (size_t i = 0; i < m; i++) {
        batch->owner[i]->copied->stack_got = batch->pieces[i].got;
        batch->owner[i]->copied->copied_away = true;
    }
}

static void flush(struct gmr__green *green, struct gmr__reader *reader, struct gmr__copy_batch *batch)
{
    if (!batch->count)
        return;
    read_contexts(green, reader, batch);
    read_stacks(green, reader, batch);
    read_details(green, reader, batch);
    read_copied_away(green, reader, batch);
    bool standing = green->phase == GMR__PHASE_COLLECT;
    for (size_t i = 0; i < batch->count; i++) {
        struct work *w = &batch->work[i];
        w->copied->fresh = standing;
        if (standing && !w->base && w->record->slot && w->shape->layout.flags & GMR_LAYOUT_NULL_RUNS)
            gmr__reader_flies(green, reader, w->record, w->copied, w->shape);
    }
    batch->count = 0;
}

void gmr__reader_copy_saved(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__record *record,
                            struct gmr__copied *copied, uint64_t saved)
{
    uint32_t bytes = bytes_from(green, record, saved);
    if (!bytes || !make_room(green, reader, copied, bytes))
        return;
    struct gmr__green_piece piece = {.address = saved, .to = copied->stack, .bytes = bytes};
    gmr__green_read_many(green, &piece, 1);
    copied->stack_start = saved;
    copied->stack_got = piece.got;
}

/* Copies what belongs to the records of one class. */
static void copy_pass(struct gmr__green *green, struct gmr__reader *reader, struct gmr__copy_batch *batch,
                      enum gmr__record_class class)
{
    bool late = green->phase == GMR__PHASE_FINISH;
    for (size_t r = 0; r < reader->root_count; r++) {
        for (size_t s = 0; s < reader->roots[r].slab_count; s++) {
            struct gmr__slab *slab = reader->roots[r].slabs[s];
            for (uint32_t i = 0; slab->class_count[class] && i < slab->count; i++) {
                if (slab->class[i] != class || (late && slab->copied[i].shape) ||
                    !gmr__reader_stands(reader, &slab->records[i]))
                    continue;
                struct gmr__record *record = &slab->records[i];
                const struct gmr__shape *shape = gmr__reader_shape(green, reader, record, &slab->copied[i]);
                if (!shape)
                    continue;
                batch->work[batch->count++] =
                    (struct work){.record = record,
                                  .copied = &slab->copied[i],
                                  .shape = shape,
                                  .record_address = slab->address + i * sizeof(struct gmr__record)};
                if (batch->count == BATCH)
                    flush(green, reader, batch);
                if (batch->count == 0 && gmr__green_out_of_time(green))
                    return;
            }
            slab->copied_ahead = slab->copied_ahead || green->phase == GMR__PHASE_FIND;
        }
    }
    flush(green, reader, batch);
}

static struct gmr__copy_batch *batch_memory(struct gmr__green *green, struct gmr__reader *reader)
{
    if (!reader->batch)
        reader->batch = gmr__arena_alloc(&green->arena, sizeof(*reader->batch));
    if (reader->batch)
        reader->batch->count = 0;
    return reader->batch;
}

bool gmr__reader_copy_late(struct gmr__green *green, struct gmr__reader *reader)
{
    struct gmr__copy_batch *batch = batch_memory(green, reader);
    if (!batch)
        return false;
    copy_pass(green, reader, batch, GMR__RECORD_CHANGED);
    if (!gmr__green_out_of_time(green))
        copy_pass(green, reader, batch, GMR__RECORD_UNSURE);
    return true;
}

void gmr__reader_copy_one(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__record *record,
                          struct gmr__copied *copied, const struct gmr__shape *shape)
{
    struct gmr__copy_batch *batch = reader->batch ? reader->batch : batch_memory(green, reader);
    if (!batch)
        return;
    if (record) {
        copied->fresh = false;
        batch->work[batch->count++] = (struct work){.record = record, .copied = copied, .shape = shape};
    }
    /* Out of time: the copies made ahead stand. */
    if (gmr__green_out_of_time(green))
        batch->count = 0;
    else if (!record || batch->count == BATCH)
        flush(green, reader, batch);
}

/* Records that stand for a Lua state; the states' coroutines are found by themselves. */
static void find_lua(struct gmr__green *green, struct gmr__reader *reader)
{
    for (size_t r = 0; r < reader->root_count; r++)
        for (size_t s = 0; s < reader->roots[r].slab_count; s++) {
            struct gmr__slab *slab = reader->roots[r].slabs[s];
            for (uint32_t i = 0; i < slab->count; i++) {
                const struct gmr__record *record = &slab->records[i];
                struct gmr__copied *copied = &slab->copied[i];
                if (!(record->generation & 1) || !(record->home & GMR__RECORD_DETAIL) || !copied->detail ||
                    copied->detail->language_kind != GMR__LANGUAGE_READER)
                    continue;
                const char *name = gmr__reader_string(green, reader, copied->detail->language);
                copied->lua = name && strcmp(name, "lua5.4") == 0 &&
                              gmr__lua_add(green, &reader->lua, copied->detail->language_state,
                                           (pid_t)(record->home & GMR__RECORD_TID));
            }
        }
}

void gmr__reader_copy_ahead(struct gmr__green *green, struct gmr__reader *reader)
{
    struct gmr__copy_batch *batch = batch_memory(green, reader);
    if (!batch)
        return;
    copy_pass(green, reader, batch, GMR__RECORD_UNSURE);
    find_lua(green, reader);
    if (reader->lua)
        gmr__lua_ahead(green, reader->lua);
    /* What the stop may write to is touched now. */
    if (!reader->reserve && (reader->reserve = gmr__arena_alloc(&green->arena, RESERVE_BYTES))) {
        memset(reader->reserve, 1, RESERVE_BYTES);
        reader->reserve_left = RESERVE_BYTES;
    }
}

void gmr__reader_copy_stopped(struct gmr__green *green, struct gmr__reader *reader)
{
    if (gmr__reader_copy_late(green, reader))
        gmr__reader_copy_flying(green, reader);
}
