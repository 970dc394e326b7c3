/*
 * green/scan_memory.c - walks over the writable memory of a target that has pages behind it.
 *
 * Inspector only, target running. A hundred thousand stacks are tens of gigabytes of addresses and little memory: /proc/PID/pagemap
 * tells which pages are there, so that none is touched that was not. Where it can't be read (a core file, no permission) all of a
 * mapping is tried.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/scan.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define PAGE 4096u
#define PIECE (1u << 20)
#define ENTRIES 8192                /* of the page map at once */
#define PRESENT ((uint64_t)3 << 62) /* in memory, or swapped out */
#define MAX_MAPPING ((uint64_t)1 << 40)
#define MAX_HEAP ((uint64_t)512 << 20)

struct walk {
    struct gmr__green *green;
    void (*see)(void *userdata, uint64_t address, const uint64_t *words, size_t count);
    void *userdata;
    uint64_t *buffer; /* PIECE bytes */
    uint64_t *entries;
    int pagemap;
};

/* A run of pages that are present. */
static bool see_run(struct walk *walk, uint64_t start, uint64_t end)
{
    while (start < end) {
        uint64_t bytes = end - start < PIECE ? end - start : PIECE;
        struct gmr__green_piece piece = {.address = start, .to = walk->buffer, .bytes = (uint32_t)bytes};
        gmr__green_read_many(walk->green, &piece, 1);
        if (piece.got >= 8)
            walk->see(walk->userdata, start, walk->buffer, piece.got / 8);
        /* A hole: go on behind the page that could not be read. */
        start = piece.got < bytes ? (start + piece.got + PAGE) & ~(uint64_t)(PAGE - 1) : start + bytes;
        if (gmr__green_out_of_time(walk->green))
            return false;
    }
    return true;
}

static bool see_mapping(struct walk *walk, const struct gmr__map *map)
{
    uint64_t run = 0; /* where the run of present pages began, 0: not in one */
    if (walk->pagemap < 0)
        return see_run(walk, map->start, map->end);
    for (uint64_t at = map->start; at < map->end;) {
        uint64_t pages = (map->end - at) / PAGE;
        if (pages > ENTRIES)
            pages = ENTRIES;
        ssize_t got = gmr__pread(walk->pagemap, walk->entries, pages * 8, (int64_t)(at / PAGE * 8));
        if (got < 8)
            return see_run(walk, run ? run : at, map->end);
        pages = (uint64_t)got / 8;
        for (uint64_t i = 0; i < pages; i++, at += PAGE) {
            bool present = (walk->entries[i] & PRESENT) != 0;
            if (present && run == 0) {
                run = at;
            } else if (!present && run != 0) {
                if (!see_run(walk, run, at))
                    return false;
                run = 0;
            }
        }
        if (gmr__green_out_of_time(walk->green))
            return false;
    }
    return run == 0 || see_run(walk, run, map->end);
}

bool gmr__scan_is_heap(void *userdata, const struct gmr__map *map)
{
    (void)userdata;
    return (map->path[0] == 0 && map->end - map->start < MAX_HEAP) || strcmp(map->path, "[heap]") == 0;
}

bool gmr__scan_memory(struct gmr__green *green, bool (*wanted)(void *userdata, const struct gmr__map *map),
                      void (*see)(void *userdata, uint64_t address, const uint64_t *words, size_t count),
                      void *userdata)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(green);
    char path[GMR__PROC_PATH_MAX];
    gmr__proc_path(path, sizeof(path), "/proc", snapshot->pid, 0, "pagemap");
    bool core = snapshot->method && strcmp(snapshot->method, "core") == 0; /* its pid may be somebody else's by now */
    struct walk walk = {
        .green = green, .see = see, .userdata = userdata, .pagemap = core ? -1 : gmr__open(path, O_RDONLY)};
    walk.buffer = malloc(PIECE);
    walk.entries = malloc(ENTRIES * sizeof(*walk.entries));
    bool whole = walk.buffer && walk.entries;
    for (size_t i = 0; whole && i < snapshot->map_count; i++) {
        const struct gmr__map *map = &snapshot->maps[i];
        if (map->write && map->read && !map->shared && map->end - map->start < MAX_MAPPING &&
            (!wanted || wanted(userdata, map)))
            whole = see_mapping(&walk, map);
    }
    free(walk.buffer);
    free(walk.entries);
    if (walk.pagemap >= 0)
        gmr__close(walk.pagemap);
    return whole;
}
