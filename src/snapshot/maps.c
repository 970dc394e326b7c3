/*
 * snapshot/maps.c - the memory map of a snapshot, from /proc/PID/maps.
 *
 * Inspector only; runs in a forked process of its own, as reading that file waits for the target's mmap lock. Paths are the target's and
 * kept as they stand; a path that follows itself (the segments of one library) is stored once.
 */
#include <errno.h>
#include <string.h>

#include "snapshot/arena.h"
#include "sys/proc.h"

static const char *keep_path(struct gmr__snapshot *snapshot, const char *path, const char *last)
{
    if (!*path)
        return "";
    if (strcmp(path, last) == 0)
        return last;
    const char *copy = gmr__snapshot_strdup(snapshot, path);
    return copy ? copy : "";
}

/* Maps grow in place at the arena's end as long as no path is stored in between; so they are gathered in chunks, then joined. */
#define CHUNK 512
struct chunk {
    struct chunk *next;
    size_t count;
    struct gmr__map maps[CHUNK];
};

static int join(struct gmr__snapshot *snapshot, const struct chunk *first, size_t count)
{
    struct gmr__map *maps = gmr__snapshot_alloc(snapshot, (count + 1) * sizeof(*maps));
    if (!maps)
        return -ENOMEM;
    size_t at = 0;
    for (const struct chunk *chunk = first; chunk; chunk = chunk->next) {
        memcpy(maps + at, chunk->maps, chunk->count * sizeof(*maps));
        at += chunk->count;
    }
    snapshot->maps = maps;
    snapshot->map_count = count;
    return 0;
}

int gmr__snapshot_read_maps(struct gmr__snapshot *snapshot, const char *proc, pid_t tid)
{
    struct gmr__lines lines;
    struct gmr__proc_map from;
    int error = gmr__proc_lines_open(&lines, proc, snapshot->pid, tid == snapshot->pid ? 0 : tid, "maps");
    if (error)
        return error;
    struct chunk *first = NULL, *last = NULL;
    const char *last_path = "";
    uint64_t last_end = 0;
    size_t count = 0;
    while (gmr__proc_maps_next(&lines, &from)) {
        if (from.start < last_end)
            continue; /* the map changed between two reads of the file */
        if (!last || last->count == CHUNK) {
            struct chunk *chunk = gmr__snapshot_alloc(snapshot, sizeof(*chunk));
            if (!chunk)
                break;
            *(last ? &last->next : &first) = chunk;
            last = chunk;
        }
        const char *path = keep_path(snapshot, from.path, last_path);
        if (*path)
            last_path = path;
        last->maps[last->count++] = (struct gmr__map){
            .start = from.start,
            .end = from.end,
            .offset = from.offset,
            .inode = from.inode,
            .dev_major = from.dev_major,
            .dev_minor = from.dev_minor,
            .read = from.read,
            .write = from.write,
            .exec = from.exec,
            .shared = from.shared,
            .deleted = from.deleted,
            .path = path,
        };
        last_end = from.end;
        count++;
    }
    error = lines.error;
    gmr__lines_close(&lines);
    if (error && !count)
        return error;
    return join(snapshot, first, count);
}
