/*
 * symbol/cache_save.c - writes the symbol cache.
 *
 * Inspector only, after the report has gone out. A new file takes the old one's place by rename, so that readers see one or the other; of two
 * writers the last one wins, and what the other found is found again some day. The oldest files go when all of them grow past their bound.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "symbol/cache_format.h"
#include "symbol/internal.h"
#include "sys/grow.h"
#include "sys/sys.h"

#define MAX_FILES 4096
#define STALE_SECONDS 3600

/* --------------------------------------------------------------------------------- the file's parts */

struct strings {
    char *text;
    size_t used, cap;
    uint32_t *slots; /* offset + 1 of a string, open addressing */
    size_t slot_count, string_count;
};

struct parts {
    struct gmr__cache_pc *pcs;
    struct gmr__cache_symbol *symbols;
    struct gmr__cache_call *calls;
    uint64_t *call_pcs;
    size_t pc_count, symbol_count, call_count, call_pc_count;
    struct strings strings;
};

static size_t slot_of(const struct strings *strings, const char *text)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001B3);
    size_t at = (size_t)(hash ^ hash >> 32) & (strings->slot_count - 1);
    while (strings->slots[at] && strcmp(strings->text + strings->slots[at] - 1, text) != 0)
        at = (at + 1) & (strings->slot_count - 1);
    return at;
}

/* Where the text stands in the file; the table has room for all strings there are. */
static uint32_t put_string(struct strings *strings, const char *text)
{
    if (!text)
        return GMR__CACHE_NO_STRING;
    size_t at = slot_of(strings, text), bytes = strlen(text) + 1;
    if (!strings->slots[at]) {
        if (!GMR__GROW_UP_TO(strings->text, strings->cap, strings->used + bytes, GMR__CACHE_MAX_BYTES))
            return GMR__CACHE_NO_STRING;
        memcpy(strings->text + strings->used, text, bytes);
        strings->slots[at] = (uint32_t)strings->used + 1;
        strings->used += bytes;
    }
    return strings->slots[at] - 1;
}

static void put_pc(struct parts *parts, uint64_t address, uint64_t entry, const struct gmr__symbol *symbols,
                   size_t count)
{
    parts->pcs[parts->pc_count++] =
        (struct gmr__cache_pc){address, entry, (uint32_t)parts->symbol_count, (uint32_t)count};
    for (size_t i = 0; i < count; i++)
        parts->symbols[parts->symbol_count++] =
            (struct gmr__cache_symbol){.offset = symbols[i].offset,
                                       .function = put_string(&parts->strings, symbols[i].function),
                                       .file = put_string(&parts->strings, symbols[i].file),
                                       .line = symbols[i].line,
                                       .column = symbols[i].column,
                                       .flags = symbols[i].inlined};
}

static void put_call(struct parts *parts, uint64_t return_pc, uint64_t callee, uint64_t other, const uint64_t *pcs,
                     size_t count)
{
    parts->calls[parts->call_count++] =
        (struct gmr__cache_call){return_pc, callee, other, (uint32_t)parts->call_pc_count, (uint32_t)count};
    memcpy(parts->call_pcs + parts->call_pc_count, pcs, count * sizeof(*pcs));
    parts->call_pc_count += count;
}

static int by_address(const void *a, const void *b)
{
    const struct gmr__cache_pc *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

static int by_return_pc(const void *a, const void *b)
{
    const struct gmr__cache_call *x = a, *y = b;
    return x->return_pc < y->return_pc ? -1 : x->return_pc > y->return_pc;
}

static bool make_room(const struct gmr__cache *cache, struct parts *parts)
{
    const struct gmr__cache_header *old = cache->image ? cache->header : NULL;
    size_t symbols = old ? old->symbols : 0, call_pcs = old ? old->call_pcs : 0;
    for (size_t i = 0; i < cache->new_pc_count; i++)
        symbols += cache->new_pcs[i].symbol_count;
    for (size_t i = 0; i < cache->new_call_count; i++)
        call_pcs += cache->new_calls[i].pc_count;
    size_t pcs = cache->new_pc_count + (old ? old->pcs : 0), calls = cache->new_call_count + (old ? old->calls : 0);
    parts->strings.slot_count = 64;
    while (parts->strings.slot_count < 4 * symbols)
        parts->strings.slot_count *= 2;
    parts->pcs = calloc(pcs + 1, sizeof(*parts->pcs));
    parts->symbols = calloc(symbols + 1, sizeof(*parts->symbols));
    parts->calls = calloc(calls + 1, sizeof(*parts->calls));
    parts->call_pcs = calloc(call_pcs + 1, sizeof(*parts->call_pcs));
    parts->strings.slots = calloc(parts->strings.slot_count, sizeof(*parts->strings.slots));
    parts->strings.cap = 4096;
    parts->strings.text = malloc(parts->strings.cap);
    if (!parts->strings.text)
        return false;
    parts->strings.text[0] = 0; /* so that the table is never empty */
    parts->strings.used = 1;
    return parts->pcs && parts->symbols && parts->calls && parts->call_pcs && parts->strings.slots;
}

static void gather(const struct gmr__cache *cache, struct parts *parts)
{
    struct gmr__symbol symbols[128];
    uint64_t entry;
    for (uint32_t i = 0; cache->image && i < cache->header->pcs; i++) {
        size_t count = gmr__cache_find(cache, cache->pcs[i].address, symbols, 128, &entry);
        if (count)
            put_pc(parts, cache->pcs[i].address, entry, symbols, count);
    }
    for (size_t i = 0; i < cache->new_pc_count; i++) {
        const struct gmr__cached_pc *pc = &cache->new_pcs[i];
        put_pc(parts, pc->address, pc->entry, pc->symbols, pc->symbol_count);
    }
    for (uint32_t i = 0; cache->image && i < cache->header->calls; i++) {
        const struct gmr__cache_call *call = &cache->calls[i];
        put_call(parts, call->return_pc, call->callee, call->other, cache->call_pcs + call->first, call->count);
    }
    for (size_t i = 0; i < cache->new_call_count; i++) {
        const struct gmr__cached_calls *calls = &cache->new_calls[i];
        put_call(parts, calls->return_pc, calls->callee, calls->other, calls->pcs, calls->pc_count);
    }
    qsort(parts->pcs, parts->pc_count, sizeof(*parts->pcs), by_address);
    qsort(parts->calls, parts->call_count, sizeof(*parts->calls), by_return_pc);
}

/* --------------------------------------------------------------------------------- writing */

static unsigned char *assemble(const struct gmr__cache *cache, const struct parts *parts, size_t *bytes)
{
    struct gmr__cache_header header = {.identity = cache->identity,
                                       .pcs = (uint32_t)parts->pc_count,
                                       .symbols = (uint32_t)parts->symbol_count,
                                       .calls = (uint32_t)parts->call_count,
                                       .call_pcs = (uint32_t)parts->call_pc_count,
                                       .strings = (uint32_t)parts->strings.used};
    const struct {
        const void *from;
        size_t bytes;
    } list[] = {{parts->pcs, parts->pc_count * sizeof(*parts->pcs)},
                {parts->symbols, parts->symbol_count * sizeof(*parts->symbols)},
                {parts->calls, parts->call_count * sizeof(*parts->calls)},
                {parts->call_pcs, parts->call_pc_count * sizeof(*parts->call_pcs)},
                {parts->strings.text, parts->strings.used}};
    *bytes = sizeof(header);
    for (size_t i = 0; i < 5; i++)
        *bytes += list[i].bytes;
    unsigned char *image = *bytes <= GMR__CACHE_MAX_BYTES ? malloc(*bytes) : NULL;
    if (!image)
        return NULL;
    size_t at = sizeof(header);
    for (size_t i = 0; i < 5; at += list[i++].bytes)
        memcpy(image + at, list[i].from, list[i].bytes);
    memcpy(header.magic, GMR__CACHE_MAGIC, sizeof(header.magic));
    header.checksum = (uint32_t)crc32(crc32(0, NULL, 0), image + sizeof(header), (uInt)(*bytes - sizeof(header)));
    memcpy(image, &header, sizeof(header));
    return image;
}

static void write_file(const struct gmr__cache *cache, const unsigned char *image, size_t bytes)
{
    char temporary[sizeof(cache->path) + 32];
    snprintf(temporary, sizeof(temporary), "%s.%d.tmp", cache->path, (int)getpid());
    int fd = gmr__openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    size_t at = 0;
    while (at < bytes) {
        ssize_t written = gmr__write(fd, image + at, bytes - at);
        if (written == -EINTR)
            continue;
        if (written <= 0)
            break;
        at += (size_t)written;
    }
    gmr__close(fd);
    if (at < bytes || rename(temporary, cache->path) < 0)
        unlink(temporary);
}

/* --------------------------------------------------------------------------------- the bound */

struct old_file {
    char name[256];
    time_t time;
    uint64_t bytes;
};

static int by_age(const void *a, const void *b)
{
    const struct old_file *x = a, *y = b;
    return x->time < y->time ? -1 : x->time > y->time;
}

static void prune(const char *directory)
{
    DIR *dir = opendir(directory);
    struct old_file *files = dir ? calloc(MAX_FILES, sizeof(*files)) : NULL;
    size_t count = 0;
    uint64_t total = 0;
    struct stat st;
    for (const struct dirent *entry; files && count < MAX_FILES && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        bool temporary = length > 4 && strcmp(entry->d_name + length - 4, ".tmp") == 0;
        if ((!temporary && (length < 5 || strcmp(entry->d_name + length - 4, ".sym") != 0)) || length >= 256 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (temporary && time(NULL) - st.st_mtime > STALE_SECONDS) {
            unlinkat(dirfd(dir), entry->d_name, 0); /* its writer was killed */
            continue;
        }
        memcpy(files[count].name, entry->d_name, length + 1);
        files[count].time = st.st_mtime;
        files[count++].bytes = (uint64_t)st.st_size;
        total += (uint64_t)st.st_size;
    }
    if (total > GMR__CACHE_TOTAL_BYTES) {
        qsort(files, count, sizeof(*files), by_age);
        for (size_t i = 0; i < count && total > GMR__CACHE_TOTAL_BYTES / 4 * 3; i++) {
            if (unlinkat(dirfd(dir), files[i].name, 0) == 0)
                total -= files[i].bytes;
        }
    }
    free(files);
    if (dir)
        closedir(dir);
}

void gmr__cache_save(struct gmr__cache *cache)
{
    struct parts parts = {0};
    size_t bytes;
    if (!cache->new_pc_count && !cache->new_call_count)
        return;
    bool first = !cache->image;
    if (make_room(cache, &parts)) {
        gather(cache, &parts);
        unsigned char *image = assemble(cache, &parts, &bytes);
        if (image)
            write_file(cache, image, bytes);
        else
            unlink(cache->path); /* full: it begins anew the next time */
        free(image);
        if (first)
            prune(cache->directory);
    }
    free(parts.pcs);
    free(parts.symbols);
    free(parts.calls);
    free(parts.call_pcs);
    free(parts.strings.slots);
    free(parts.strings.text);
    cache->new_pc_count = cache->new_call_count = 0;
}
