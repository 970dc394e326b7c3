/*
 * green/go_read.c - the list of a Go program's goroutines, and what their runtime.g say.
 *
 * Inspector only. A runtime.g is never freed, so the list only grows; the runtime allocates them side by side, so that a hundred thousand are
 * read in a few thousand pieces, which share a window small enough for the processor's cache: at the stop this is what takes time.
 * Memory is the set's, which the capturing process has no share in: no copy on write while threads stand.
 */
#include <stdlib.h>
#include <string.h>

#include "green/go.h"
#include "sys/word.h"

#define MAX_GOROUTINES 4000000u
#define GAP 4096u           /* runtime.g closer than this are read as one piece */
#define WINDOW (512u << 10) /* bytes read by one call */
#define MAX_REGION (64u << 10)
#define PIECES 256

/* Room for `more`; while the target runs it may be made, with as much again for what will be added until it stands. */
static size_t make_room(struct gmr__go *go, size_t more, bool stopped)
{
    size_t left = go->room - go->count, room = (go->count + more) + (go->count + more) / 4 + 4096;
    if (left >= more || stopped)
        return left < more ? left : more;
    struct gmr__go_g *gs = gmr__green_alloc(go->green, room * sizeof(*gs));
    struct gmr__go_region *regions = gmr__green_alloc(go->green, room * sizeof(*regions));
    if (!gs || !regions)
        return left;
    if (go->count) {
        memcpy(gs, go->gs, go->count * sizeof(*gs));
        memcpy(regions, go->regions, go->region_count * sizeof(*regions));
    }
    go->gs = gs;
    go->regions = regions;
    go->room = room;
    return more;
}

/* One more at the end, as part of the last region if it lies near. */
static void append(struct gmr__go *go, uint64_t address, size_t first)
{
    struct gmr__go_region *last = go->region_count ? &go->regions[go->region_count - 1] : NULL;
    uint64_t end = address + GMR__GO_G_BYTES;
    if (end < address)
        return;
    if (last && last->first >= first && address - last->address < last->bytes + GAP &&
        end - last->address <= MAX_REGION) {
        last->bytes = end - last->address;
        last->count++;
    } else {
        go->regions[go->region_count++] =
            (struct gmr__go_region){.address = address, .bytes = GMR__GO_G_BYTES, .first = go->count, .count = 1};
    }
    go->gs[go->count++] = (struct gmr__go_g){.address = address};
}

bool gmr__go_list(struct gmr__go *go, bool stopped)
{
    uint64_t slice[2];
    if (gmr__green_read(go->green, go->allgs, slice, sizeof(slice)) != 0)
        return false;
    if (slice[1] <= go->listed)
        return true;
    size_t wanted = slice[1] < MAX_GOROUTINES ? (size_t)slice[1] - go->listed : MAX_GOROUTINES - go->listed;
    size_t count = make_room(go, wanted, stopped), first = go->count;
    go->cut |= count < slice[1] - go->listed;
    uint64_t *addresses = malloc((count ? count : 1) * sizeof(*addresses));
    if (!addresses || gmr__green_read(go->green, slice[0] + go->listed * 8, addresses, count * 8) != 0) {
        free(addresses);
        return false;
    }
    go->listed += count;
    qsort(addresses, count, sizeof(*addresses), gmr__compare_words);
    for (size_t i = 0; i < count; i++)
        if (addresses[i] != 0 && addresses[i] % 8 == 0 && (i == 0 || addresses[i] != addresses[i - 1]))
            append(go, addresses[i], first);
    free(addresses);
    return true;
}

/* Takes in what a runtime.g says. It is the same as before if nothing ran: then nothing else is looked at, nor written. */
static void see(const struct gmr__go_layout *layout, struct gmr__go_g *g, const unsigned char *bytes)
{
    uint64_t sp = gmr__word(bytes, layout->sched_sp), pc = gmr__word(bytes, layout->sched_pc),
             id = gmr__word(bytes, layout->id);
    uint32_t status = (uint32_t)gmr__word(bytes, layout->status) & 0xfff; /* without the collector's bit */
    uint8_t ran = bytes[layout->ran];
    if (g->readable && layout->ran && g->sched_sp == sp && g->sched_pc == pc && g->id == id && g->status == status &&
        g->ran == ran && status != GMR__GO_RUNNING)
        return;
    g->readable = g->moved = true;
    g->sched_sp = sp;
    g->sched_pc = pc;
    g->id = id;
    g->status = status;
    g->ran = ran;
    g->reason = bytes[layout->wait_reason];
    g->since = gmr__word(bytes, layout->wait_since);
    g->low = gmr__word(bytes, 0);
    g->high = gmr__word(bytes, 8);
    g->syscall_sp = gmr__word(bytes, layout->syscall_sp);
    g->syscall_pc = gmr__word(bytes, layout->syscall_pc);
    g->m = gmr__word(bytes, layout->m);
    g->created_at = layout->created_at ? gmr__word(bytes, layout->created_at) : 0;
    g->start = layout->start ? gmr__word(bytes, layout->start) : 0;
}

static size_t see_region(struct gmr__go *go, const struct gmr__go_region *region, const struct gmr__green_piece *piece)
{
    size_t moved = 0;
    for (size_t i = region->first; i < region->first + region->count; i++) {
        struct gmr__go_g *g = &go->gs[i];
        uint64_t offset = g->address - region->address;
        if (offset + GMR__GO_G_BYTES <= piece->got)
            see(&go->layout, g, (const unsigned char *)piece->to + offset);
        else
            g->readable = false;
        moved += g->moved;
    }
    return moved;
}

size_t gmr__go_read(struct gmr__go *go)
{
    struct gmr__green_piece pieces[PIECES];
    size_t moved = 0;
    if (!go->window)
        go->window = gmr__green_alloc(go->green, WINDOW);
    for (size_t first = 0; go->window && first < go->region_count;) {
        size_t count = 0, used = 0;
        while (count < PIECES && first + count < go->region_count &&
               used + go->regions[first + count].bytes <= WINDOW) {
            const struct gmr__go_region *region = &go->regions[first + count];
            pieces[count++] = (struct gmr__green_piece){
                .address = region->address, .to = go->window + used, .bytes = (uint32_t)region->bytes};
            used += region->bytes;
        }
        gmr__green_read_many(go->green, pieces, count);
        for (size_t i = 0; i < count; i++)
            moved += see_region(go, &go->regions[first + i], &pieces[i]);
        first += count;
    }
    return moved;
}
