/*
 * symbol/perf_map.c - names of just-in-time compiled code, from the list that its compiler writes for perf.
 *
 * Inspector only. /tmp/perf-PID.map in the target's root, PID as the target's own namespace counts: lines of "START SIZE NAME", hexadecimal,
 * which Java's compiler writes with "0x" in front (`jcmd PID Compiler.perfmap`).
 * Anyone may write to /tmp, so the file must belong to the target's user or root. The names are a guess: code may have been
 * thrown away since and its place used anew; of several entries for an address the last one written holds.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/symbolizer.h"
#include "sys/buf.h"
#include "sys/grow.h"
#include "sys/sys.h"

#define MAX_FILE_BYTES ((size_t)64 << 20)

struct entry {
    uint64_t start, end;
    const char *name;
    size_t order;
};

struct gmr__perf_map {
    char *text;
    struct entry *entries; /* by start, then order */
    size_t count;
};

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* The pid as the target knows itself: the last number of NSpid. */
static long own_pid(const struct gmr__snapshot *s, const char *proc_root, uid_t *uid)
{
    char path[96], status[4096];
    long pid = s->pid;
    struct stat st;
    snprintf(path, sizeof(path), "%.*s", (int)(strlen(proc_root) - strlen("/root")), proc_root);
    *uid = stat(path, &st) == 0 ? st.st_uid : 0;
    snprintf(path, sizeof(path), "%.*s/status", (int)(strlen(proc_root) - strlen("/root")), proc_root);
    if (gmr__read_file(path, status, sizeof(status)) < 0)
        return pid;
    const char *line = strstr(status, "\nNSpid:");
    for (const char *at = line ? line + 7 : ""; *at && *at != '\n';) {
        if (isdigit((unsigned char)*at))
            pid = strtol(at, (char **)&at, 10);
        else
            at++;
    }
    return pid;
}

static bool number(const char **at, uint64_t *value)
{
    if ((*at)[0] == '0' && ((*at)[1] == 'x' || (*at)[1] == 'X'))
        *at += 2;
    return gmr__parse_hex(at, value) && *(*at)++ == ' ';
}

static void parse(struct gmr__perf_map *map)
{
    size_t cap = 0;
    for (char *line = map->text, *next; line && *line; line = next) {
        uint64_t start, bytes;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        const char *at = line;
        if (!number(&at, &start) || !number(&at, &bytes) || !*at || bytes == 0 || bytes > UINT64_MAX - start)
            continue;
        if (!GMR__GROW(map->entries, cap, map->count + 1))
            return;
        map->entries[map->count] = (struct entry){start, start + bytes, at, map->count};
        map->count++;
    }
    if (map->count)
        qsort(map->entries, map->count, sizeof(*map->entries), compare);
}

static struct gmr__perf_map *load(struct gmr__modules *modules)
{
    const struct gmr__snapshot *s = modules->snapshot;
    struct gmr__perf_map *map = calloc(1, sizeof(*map));
    char path[64];
    uid_t uid;
    struct stat st;
    if (!map || !s->root || strncmp(s->root, "/proc/", 6) != 0)
        return map;
    snprintf(path, sizeof(path), "/tmp/perf-%ld.map", own_pid(s, s->root, &uid));
    int fd = gmr__open_in_root(modules, path);
    if (fd < 0)
        return map;
    if (fstat(fd, &st) == 0 && (st.st_uid == uid || st.st_uid == 0)) {
        size_t bytes = (uint64_t)st.st_size < MAX_FILE_BYTES ? (size_t)st.st_size : MAX_FILE_BYTES;
        map->text = malloc(bytes + 1);
        ssize_t got = map->text ? gmr__read_full(fd, map->text, bytes) : -ENOMEM;
        if (got >= 0) {
            map->text[got] = 0;
            parse(map);
        }
    }
    close(fd);
    return map;
}

const char *gmr__perf_map_find(struct gmr__perf_map **cached, struct gmr__modules *modules, uint64_t address,
                               uint64_t *start)
{
    if (!*cached)
        *cached = load(modules);
    const struct gmr__perf_map *map = *cached;
    size_t low = 0, high = map ? map->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->entries[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct entry *found = NULL;
    for (size_t i = low, steps = 0; i > 0 && steps < 64; i--, steps++) {
        const struct entry *e = &map->entries[i - 1];
        if (address < e->end && (!found || e->order > found->order))
            found = e;
    }
    if (!found)
        return NULL;
    *start = found->start;
    return found->name;
}

void gmr__perf_map_free(struct gmr__perf_map *map)
{
    if (!map)
        return;
    free(map->entries);
    free(map->text);
    free(map);
}
