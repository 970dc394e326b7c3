/*
 * tests/fuzz/fuzz_snapshot.c - the arena of a snapshot and what is read from it, against a model. The input is a list of things to do: a
 * byte that says what, then its arguments (place, length: 2 bytes each). What was written stays as it was; what is allocated is zeroed; a read
 * gives the bytes that were copied, else those of the live process, else fails.
 */
#include <errno.h>

#include "fuzz.h"
#include "snapshot/arena.h"

#define BASE 0x100000u
#define POOL 4096u
#define LIVE 3072u /* from here on the process itself can be read */
#define BLOCKS 64
#define MAPS 16
#define MOST 8192u

static unsigned char pool[POOL];
static bool copied[POOL];

struct block {
    unsigned char *at, mark;
    size_t bytes;
};

struct run {
    struct gmr__snapshot *snapshot;
    struct block blocks[BLOCKS];
    size_t count;
    const uint8_t *data;
    size_t size;
};

static uint16_t number(struct run *run)
{
    uint16_t value = 0;
    if (run->size >= 2)
        memcpy(&value, run->data, 2);
    size_t used = run->size < 2 ? run->size : 2;
    run->data += used;
    run->size -= used;
    return value;
}

static int live(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    (void)snapshot;
    if (address < BASE + LIVE || address - BASE > POOL || bytes > POOL - (address - BASE))
        return -EFAULT;
    memcpy(to, pool + (address - BASE), bytes);
    return 0;
}

static void keep(struct run *run, unsigned char *at, size_t bytes, size_t zeroed)
{
    for (size_t i = 0; i < zeroed; i++)
        if (at[i] != 0)
            abort();
    if (run->count == BLOCKS)
        return;
    struct block *block = &run->blocks[run->count++];
    *block = (struct block){at, (unsigned char)(run->count * 7 + 1), bytes};
    memset(at, block->mark, bytes);
}

static void allocate(struct run *run)
{
    size_t bytes = number(run) % MOST;
    unsigned char *at = gmr__snapshot_alloc(run->snapshot, bytes);
    if (at)
        keep(run, at, bytes, bytes);
}

/* Writes more than it takes in the end. */
static void take_part(struct run *run)
{
    size_t bytes = number(run) % MOST, part = number(run) % (bytes + 1);
    unsigned char *at = gmr__snapshot_room(run->snapshot, bytes);
    if (!at)
        return;
    memset(at, 0xee, bytes);
    gmr__snapshot_claim(run->snapshot, part, bytes);
    keep(run, at, part, 0);
}

static struct gmr__segment segment(struct run *run)
{
    size_t at = number(run) % POOL, bytes = number(run) % 512;
    bytes = bytes < POOL - at ? bytes : POOL - at;
    return (struct gmr__segment){.address = BASE + at, .bytes = (uint32_t)bytes, .data = pool + at};
}

static void add_extra(struct run *run)
{
    struct gmr__segment segments[4];
    size_t count = 1 + number(run) % 4;
    for (size_t i = 0; i < count; i++)
        segments[i] = segment(run);
    if (gmr__snapshot_add_extra(run->snapshot, segments, count) != 0)
        return;
    for (size_t i = 0; i < count; i++)
        memset(copied + (segments[i].address - BASE), true, segments[i].bytes);
    for (size_t i = 1; i < run->snapshot->extra_count; i++)
        if (run->snapshot->extra[i].address < run->snapshot->extra[i - 1].address + run->snapshot->extra[i - 1].bytes)
            abort();
}

static void read_some(struct run *run)
{
    unsigned char to[512];
    struct gmr__segment stack = segment(run);
    size_t at = number(run) % POOL, bytes = number(run) % sizeof(to);
    bool there = true;
    for (size_t i = at; i < at + bytes; i++)
        there = there && i < POOL && (copied[i] || i >= LIVE || i - (stack.address - BASE) < stack.bytes);
    int error = gmr__snapshot_read(run->snapshot, &stack, BASE + at, to, bytes);
    if ((error == 0) != there || (there && memcmp(to, pool + at, bytes) != 0))
        abort();
}

static void look_up(struct run *run)
{
    struct gmr__map maps[MAPS] = {0};
    uint64_t end = BASE, address = BASE + number(run);
    size_t count = number(run) % (MAPS + 1), expected = MAPS;
    for (size_t i = 0; i < count; i++) {
        maps[i].start = end + number(run) % 4096;
        maps[i].end = end = maps[i].start + number(run) % 4096;
        if (address >= maps[i].start && address < maps[i].end)
            expected = i;
    }
    run->snapshot->maps = maps;
    run->snapshot->map_count = count;
    if (gmr__snapshot_map(run->snapshot, address) != (expected < MAPS ? &maps[expected] : NULL))
        abort();
    run->snapshot->maps = NULL;
    run->snapshot->map_count = 0;
}

static void adopt(struct run *run)
{
    struct gmr__snapshot *other = gmr__snapshot_new(2);
    if (!other)
        return;
    unsigned char *at = gmr__snapshot_alloc(other, 100);
    if (at)
        keep(run, at, 100, 100);
    gmr__snapshot_adopt(run->snapshot, other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.data = data, .size = size};
    run.snapshot = gmr__snapshot_new(1);
    if (!run.snapshot)
        return 0;
    run.snapshot->read_live = live;
    memset(copied, 0, sizeof(copied));
    for (size_t i = 0; i < POOL; i++)
        pool[i] = (unsigned char)(i * 31 + i / 256);
    for (unsigned adopted = 0; run.size > 0;) {
        uint8_t what = *run.data++ % 7;
        run.size--;
        if (what == 0)
            allocate(&run);
        else if (what == 1)
            take_part(&run);
        else if (what == 2)
            add_extra(&run);
        else if (what == 3)
            read_some(&run);
        else if (what == 4)
            look_up(&run);
        else if (what == 5 && adopted++ < 4)
            adopt(&run);
        else
            gmr__snapshot_populate(run.snapshot, number(&run) % MOST);
    }
    for (size_t i = 0; i < run.count; i++)
        for (size_t k = 0; k < run.blocks[i].bytes; k++)
            if (run.blocks[i].at[k] != run.blocks[i].mark)
                abort();
    gmr__snapshot_free(run.snapshot);
    return 0;
}
