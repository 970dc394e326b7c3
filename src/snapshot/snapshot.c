/*
 * snapshot/snapshot.c - the arena a snapshot lives in, and reading from it.
 *
 * Inspector only. The arena is one shared anonymous mapping with a bump pointer, because the ptrace capture runs in a forked process that
 * ends before anything is analysed: what it places here is in the inspector's memory at the same addresses, without
 * a copy. Only one of the two processes allocates at a time. Never talks to the target.
 */
#include "snapshot/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "snapshot/arena.h"
#include "sys/grow.h"

#define LARGEST_ARENA (1ULL << 38) /* address space only: pages are taken as they are written */
#define SMALLEST_ARENA (1ULL << 24)
#define PAGE_BYTES 4096

struct arena {
    size_t mapped, used;
    size_t dirty;          /* bytes before this offset may have been written and given back */
    size_t populated;      /* pages before this offset are there already */
    struct arena *adopted; /* of other snapshots, freed with this one */
    struct gmr__snapshot snapshot;
};

static struct arena *arena_of(const struct gmr__snapshot *snapshot)
{
    return snapshot->arena;
}

struct gmr__snapshot *gmr__snapshot_new(pid_t pid)
{
    /* A limit on address space (ulimit -v) or strict overcommit refuses a large one. */
    for (unsigned long long bytes = LARGEST_ARENA; bytes >= SMALLEST_ARENA; bytes /= 2) {
        void *place = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (place == MAP_FAILED)
            continue;
        struct arena *arena = place;
        arena->mapped = bytes;
        arena->used = (sizeof(*arena) + 15) & ~(size_t)15;
        arena->snapshot.arena = arena;
        arena->snapshot.pid = pid;
        arena->snapshot.method = "";
        arena->snapshot.exe = "";
        arena->snapshot.root = "";
        return &arena->snapshot;
    }
    return NULL;
}

void gmr__snapshot_free(struct gmr__snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (struct arena *arena = arena_of(snapshot), *next; arena; arena = next) {
        next = arena->adopted;
        munmap(arena, arena->mapped);
    }
}

void *gmr__snapshot_room(struct gmr__snapshot *snapshot, size_t bytes)
{
    struct arena *arena = arena_of(snapshot);
    if (bytes > arena->mapped - arena->used)
        return NULL;
    return (char *)arena + arena->used;
}

void gmr__snapshot_claim(struct gmr__snapshot *snapshot, size_t bytes, size_t touched)
{
    struct arena *arena = arena_of(snapshot);
    if (arena->used + touched > arena->dirty)
        arena->dirty = arena->used + touched;
    arena->used += (bytes + 15) & ~(size_t)15;
    if (arena->used > arena->mapped)
        arena->used = arena->mapped;
}

void gmr__populate(void *place, size_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    uintptr_t from = (uintptr_t)place & ~(uintptr_t)(PAGE_BYTES - 1);
    madvise((void *)from, (uintptr_t)place + bytes - from,
            MADV_POPULATE_WRITE); /* Linux 5.14; else faulted in one by one */
#else
    (void)place;
    (void)bytes;
#endif
}

void gmr__populate_ahead(void *area, size_t area_bytes, size_t used, size_t *present, size_t bytes)
{
    if (used + bytes / 2 <= *present || *present == area_bytes)
        return;
    size_t from = used & ~(size_t)(PAGE_BYTES - 1);
    if (from < *present)
        from = *present;
    if (bytes > area_bytes - from)
        bytes = area_bytes - from;
    gmr__populate((char *)area + from, bytes);
    *present = from + bytes;
}

void gmr__snapshot_populate(struct gmr__snapshot *snapshot, size_t bytes)
{
    struct arena *arena = arena_of(snapshot);
    gmr__populate_ahead(arena, arena->mapped, arena->used, &arena->populated, bytes);
}

void gmr__snapshot_adopt(struct gmr__snapshot *snapshot, struct gmr__snapshot *other)
{
    struct arena *arena = arena_of(snapshot), *last = arena_of(other);
    while (last->adopted)
        last = last->adopted;
    last->adopted = arena->adopted;
    arena->adopted = arena_of(other);
}

void *gmr__snapshot_alloc(struct gmr__snapshot *snapshot, size_t bytes)
{
    struct arena *arena = arena_of(snapshot);
    char *place = gmr__snapshot_room(snapshot, bytes);
    if (!place)
        return NULL;
    if (arena->dirty > arena->used) {
        size_t stale = arena->dirty - arena->used;
        memset(place, 0, stale < bytes ? stale : bytes);
    }
    gmr__snapshot_claim(snapshot, bytes, 0);
    return place;
}

bool gmr__snapshot_grow(struct gmr__snapshot *snapshot, void *list, size_t element_bytes, size_t *cap, size_t want)
{
    if (want <= *cap)
        return true;
    size_t grown = gmr__grown(*cap, want, SIZE_MAX, element_bytes);
    return grown != 0 &&
           gmr__grow_into(gmr__snapshot_alloc(snapshot, grown * element_bytes), list, element_bytes, cap, grown);
}

const char *gmr__snapshot_strdup(struct gmr__snapshot *snapshot, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = gmr__snapshot_alloc(snapshot, bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

const struct gmr__map *gmr__snapshot_map(const struct gmr__snapshot *snapshot, uint64_t address)
{
    size_t low = 0, high = snapshot->map_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct gmr__map *map = &snapshot->maps[middle];
        if (address < map->start)
            high = middle;
        else if (address >= map->end)
            low = middle + 1;
        else
            return map;
    }
    return NULL;
}

/* How many bytes from address on the segment has; they are copied. */
static size_t from_segment(const struct gmr__segment *segment, uint64_t address, void *to, size_t bytes)
{
    if (!segment || !segment->data || address < segment->address || address - segment->address >= segment->bytes)
        return 0;
    size_t offset = address - segment->address, have = segment->bytes - offset;
    if (have > bytes)
        have = bytes;
    memcpy(to, segment->data + offset, have);
    return have;
}

/* The last extra segment that starts at or before address. */
static const struct gmr__segment *find_extra(const struct gmr__snapshot *snapshot, uint64_t address)
{
    size_t low = 0, high = snapshot->extra_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (snapshot->extra[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &snapshot->extra[low - 1] : NULL;
}

/* Where the next copied byte after address is, at most `bytes` away: how far a live read may go. */
static size_t until_copied(const struct gmr__snapshot *snapshot, const struct gmr__segment *stack, uint64_t address,
                           size_t bytes)
{
    if (stack && stack->data && stack->address > address && stack->address - address < bytes)
        bytes = stack->address - address;
    if (!snapshot->extra_count)
        return bytes;
    const struct gmr__segment *next = find_extra(snapshot, address);
    next = next ? next + 1 : snapshot->extra;
    if (next < snapshot->extra + snapshot->extra_count && next->address - address < bytes)
        bytes = next->address - address;
    return bytes;
}

int gmr__snapshot_read(const struct gmr__snapshot *snapshot, const struct gmr__segment *stack, uint64_t address,
                       void *to, size_t bytes)
{
    unsigned char *place = to;
    while (bytes) {
        size_t got = from_segment(stack, address, place, bytes);
        if (!got)
            got = from_segment(find_extra(snapshot, address), address, place, bytes);
        if (!got) {
            got = until_copied(snapshot, stack, address, bytes);
            if (!snapshot->read_live || snapshot->read_live(snapshot, address, place, got) != 0)
                return -EFAULT;
        }
        address += got;
        place += got;
        bytes -= got;
    }
    return 0;
}

int gmr__snapshot_read_code(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    if (gmr__snapshot_read(snapshot, NULL, address, to, bytes) == 0)
        return 0;
    return snapshot->read_code ? snapshot->read_code(snapshot, address, to, bytes) : -EFAULT;
}

static int by_address(const void *a, const void *b)
{
    const struct gmr__segment *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

int gmr__snapshot_add_extra(struct gmr__snapshot *snapshot, const struct gmr__segment *segments, size_t count)
{
    if (!count)
        return 0;
    struct gmr__segment *all = gmr__snapshot_alloc(snapshot, (snapshot->extra_count + count) * sizeof(*all));
    if (!all)
        return -ENOMEM;
    if (snapshot->extra_count)
        memcpy(all, snapshot->extra, snapshot->extra_count * sizeof(*all));
    memcpy(all + snapshot->extra_count, segments, count * sizeof(*all));
    size_t total = snapshot->extra_count + count, kept = 0;
    qsort(all, total, sizeof(*all), by_address);
    /* Cut what overlaps: the lookup relies on it, and the same page copied twice says nothing new. */
    for (size_t i = 0; i < total; i++) {
        struct gmr__segment segment = all[i];
        uint64_t end = kept ? all[kept - 1].address + all[kept - 1].bytes : 0;
        if (kept && segment.address < end) {
            uint64_t cut = end - segment.address;
            if (cut >= segment.bytes)
                continue;
            segment.address += cut;
            segment.data += cut;
            segment.bytes -= (uint32_t)cut;
        }
        all[kept++] = segment;
    }
    snapshot->extra = all;
    snapshot->extra_count = kept;
    return 0;
}
