/*
 * capture/copies.c - where the copies of stacks go.
 *
 * Inspector only, in the capturing process. Where somebody drains them, an area of two halves: one is filled while the inspector unwinds what
 * is in the other, so that 25,000 deep stacks take no more memory than the area. Nothing is handed over before a half is full: the copies of most
 * processes stay until the analysis. What does not fit in the half, and what must last, goes to the snapshot's arena, and all does once
 * the inspector says that it keeps them, or does not answer. No thread stands while this process waits.
 */
#include <sys/mman.h>

#include "capture/tracer.h"
#include "sys/sys.h"

#define LEAST_ROOM (256u << 10) /* for the next stack; a larger one finds room in the arena */
#define PATIENCE_NS 3000000000ULL
#define LOOK_MS 10

void gmr__copies_begin(struct gmr__tracer *tracer)
{
    struct gmr__copies *copies = &tracer->copies;
    if (tracer->share->ask_fd < 0)
        return;
    copies->half_bytes = tracer->options->batch_bytes ? tracer->options->batch_bytes : GMR__BATCH_BYTES;
    copies->area = gmr__snapshot_alloc(tracer->snapshot, 2 * copies->half_bytes);
    if (!copies->area)
        return;
    tracer->state->area = copies->area;
    tracer->state->area_end = copies->area + 2 * copies->half_bytes;
}

static unsigned char *half(const struct gmr__copies *copies)
{
    return copies->area + copies->which * copies->half_bytes;
}

unsigned char *gmr__copies_room(struct gmr__tracer *tracer, size_t bytes, bool lasting)
{
    struct gmr__copies *copies = &tracer->copies;
    if (copies->area && !lasting && bytes <= copies->half_bytes - copies->used)
        return half(copies) + copies->used;
    return gmr__snapshot_room(tracer->snapshot, bytes);
}

void gmr__copies_claim(struct gmr__tracer *tracer, const unsigned char *room, size_t bytes, size_t touched)
{
    struct gmr__copies *copies = &tracer->copies;
    if (!copies->area || room != half(copies) + copies->used) {
        gmr__snapshot_claim(tracer->snapshot, bytes, touched);
        return;
    }
    copies->used += (bytes + 15) & ~(size_t)15;
    if (copies->used > copies->half_bytes)
        copies->used = copies->half_bytes;
}

/* The inspector has taken what was handed over last. False: it keeps the copies, or does not come. */
static bool wait_for_inspector(struct gmr__tracer *tracer)
{
    struct gmr__capture_state *state = tracer->state;
    uint64_t deadline = gmr__tracer_now_ns() + PATIENCE_NS, count;
    struct pollfd fd = {tracer->share->answer_fd, POLLIN, 0};
    for (;;) {
        bool drained = __atomic_load_n(&state->drained, __ATOMIC_ACQUIRE) == state->handed;
        if (__atomic_load_n(&state->keep, __ATOMIC_ACQUIRE))
            return false;
        if (drained)
            return true;
        if (gmr__tracer_now_ns() >= deadline)
            return false;
        if (gmr__poll(&fd, 1, LOOK_MS) > 0)
            gmr__read(fd.fd, &count, sizeof(count));
        gmr__tracer_serve_late(tracer);
    }
}

static void hand_over(struct gmr__tracer *tracer, size_t done)
{
    struct gmr__copies *copies = &tracer->copies;
    struct gmr__capture_state *state = tracer->state;
    uint64_t one = 1;
    if (!wait_for_inspector(tracer)) {
        copies->area = NULL;
        return;
    }
    state->batch =
        (struct gmr__batch){state->threads, copies->first, done, half(copies), half(copies) + copies->half_bytes};
    __atomic_store_n(&state->handed, state->handed + 1, __ATOMIC_RELEASE);
    gmr__write(tracer->share->ask_fd, &one, sizeof(one));
    copies->first = done;
    copies->which = !copies->which;
    copies->used = 0;
}

void gmr__copies_ahead(struct gmr__tracer *tracer, size_t done)
{
    struct gmr__copies *copies = &tracer->copies;
    size_t least = copies->half_bytes / 4 < LEAST_ROOM ? copies->half_bytes / 4 : LEAST_ROOM;
    if (copies->area && copies->half_bytes - copies->used < least)
        hand_over(tracer, done);
    if (copies->area)
        gmr__populate_ahead(half(copies), copies->half_bytes, copies->used, &copies->present[copies->which],
                            GMR__POPULATE_BYTES);
    else
        gmr__snapshot_populate(tracer->snapshot, GMR__POPULATE_BYTES);
}
