/*
 * capture/core_maps.c - the memory map of a core file: its segments, named by NT_FILE.
 *
 * Inspector only. The kernel writes one PT_LOAD a mapping and one NT_FILE entry a mapped file; other writers (gdb's gcore) may join or
 * leave out some. So both lists are swept together, and a piece is what neither of them divides.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/core_internal.h"
#include "sys/word.h"

/* The path with " (deleted)" cut off, or the executable that the user named in its stead. */
static const char *path_of(struct gmr__snapshot *s, const char *path, bool *deleted)
{
    static const char mark[] = " (deleted)";
    size_t length = strlen(path), mark_length = sizeof(mark) - 1;
    *deleted = length > mark_length && strcmp(path + length - mark_length, mark) == 0;
    char *copy = (char *)gmr__snapshot_strdup(s, path);
    if (copy && *deleted)
        copy[length - mark_length] = 0;
    return copy ? copy : "";
}

static void add_map(struct gmr__core *core, const struct gmr__core_notes *notes, uint64_t start, uint64_t end,
                    const struct gmr__core_segment *segment, const struct gmr__core_file *file)
{
    struct gmr__snapshot *s = core->snapshot;
    struct gmr__map *map = &s->maps[s->map_count], *last = s->map_count ? map - 1 : NULL;
    *map = (struct gmr__map){.start = start, .end = end, .path = ""};
    if (segment) {
        map->read = segment->flags & PF_R;
        map->write = segment->flags & PF_W;
        map->exec = segment->flags & PF_X;
    } else { /* named by NT_FILE only: nothing tells its permissions */
        map->read = map->exec = true;
    }
    if (file) {
        map->offset = file->offset + (start - file->start);
        /* One library's mappings follow each other: compare with the last path before a copy is made. */
        const char *name = file->path;
        size_t length = last ? strlen(last->path) : 0;
        if (length && strncmp(last->path, name, length) == 0 && name[length] == 0 && !last->deleted)
            map->path = last->path;
        else
            map->path = path_of(s, name, &map->deleted);
    } else if (notes->vdso && notes->vdso >= start && notes->vdso < end) {
        map->path = "[vdso]";
    }
    s->map_count++;
}

static void substitute(struct gmr__core *core, const char *executable)
{
    struct gmr__snapshot *s = core->snapshot;
    const struct gmr__map *main_map = gmr__snapshot_map(s, core->info.entry);
    s->random = core->info.random;
    s->entry = core->info.entry;
    const char *copy = NULL;
    if (executable && main_map && main_map->path[0] == '/')
        copy = gmr__snapshot_strdup(s, executable);
    if (copy) {
        const char *old = main_map->path;
        for (size_t i = 0; i < s->map_count; i++) {
            if (s->maps[i].path == old || strcmp(s->maps[i].path, old) == 0) {
                s->maps[i].path = copy;
                s->maps[i].deleted = false;
            }
        }
    }
    if (main_map)
        s->exe = main_map->path;
}

/* As the kernel names it where the process lives; the bytes that AT_RANDOM points to lie at its upper end. */
static void name_stack(struct gmr__snapshot *s)
{
    for (size_t i = 0; i < s->map_count; i++)
        if (s->random - s->maps[i].start < s->maps[i].end - s->maps[i].start && s->maps[i].write && !s->maps[i].path[0])
            s->maps[i].path = "[stack]";
}

int gmr__core_build_maps(struct gmr__core *core, const struct gmr__core_notes *notes, const char *executable)
{
    struct gmr__snapshot *s = core->snapshot;
    size_t cap = 2 * (core->segment_count + notes->file_count), count = 0;
    uint64_t *edges = malloc((cap + 1) * sizeof(*edges));
    s->maps = gmr__snapshot_alloc(s, (cap + 1) * sizeof(*s->maps));
    if (!edges || !s->maps) {
        free(edges);
        return -ENOMEM;
    }
    for (size_t i = 0; i < core->segment_count; i++) {
        edges[count++] = core->segments[i].start;
        edges[count++] = core->segments[i].end;
    }
    for (size_t i = 0; i < notes->file_count; i++) {
        edges[count++] = notes->files[i].start;
        edges[count++] = notes->files[i].end;
    }
    qsort(edges, count, sizeof(*edges), gmr__compare_words);
    size_t segment = 0, file = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        uint64_t start = edges[i], end = edges[i + 1];
        if (start == end)
            continue;
        while (segment < core->segment_count && core->segments[segment].end <= start)
            segment++;
        while (file < notes->file_count && notes->files[file].end <= start)
            file++;
        const struct gmr__core_segment *in =
            segment < core->segment_count && core->segments[segment].start <= start ? &core->segments[segment] : NULL;
        const struct gmr__core_file *of =
            file < notes->file_count && notes->files[file].start <= start ? &notes->files[file] : NULL;
        if (in || of)
            add_map(core, notes, start, end, in, of);
    }
    free(edges);
    substitute(core, executable);
    name_stack(s);
    return 0;
}
