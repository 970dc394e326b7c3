/*
 * symbol/cache.c - reads the symbol cache.
 *
 * Inspector only. One small file a module, named by build id, holds the symbols of the pcs that were ever asked for: a daemon's threads mostly
 * stand where they stood the last time, so that a second report opens no debug information at all. The file is believed only if its checksum,
 * all of its offsets, and the identity of the debug information (path, size, time) fit: it may be shared, cut, or garbage.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "symbol/cache_format.h"
#include "symbol/internal.h"
#include "sys/grow.h"
#include "sys/sys.h"

static uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static uint64_t mix_file(uint64_t hash, const struct gmr__elf_file *file)
{
    if (!file)
        return mix(hash, "none", 4);
    hash = mix(hash, file->path, strlen(file->path));
    hash = mix(hash, &file->mtime_ns, sizeof(file->mtime_ns));
    return mix(hash, &file->size, sizeof(file->size));
}

static uint64_t identity_of(struct gmr__module_data *m)
{
    uint64_t hash = mix(UINT64_C(0xCBF29CE484222325), GMR_BUILD_VERSION, sizeof(GMR_BUILD_VERSION));
    struct gmr__elf_file *debug = gmr__module_debug_file(m);
    hash = mix_file(hash, debug);
    return mix_file(hash, gmr__module_alt_file(m));
}

static bool check_strings(const struct gmr__cache *cache)
{
    const struct gmr__cache_header *h = cache->header;
    if (h->strings == 0 || cache->strings[h->strings - 1] != 0)
        return false;
    for (uint32_t i = 0; i < h->symbols; i++) {
        const struct gmr__cache_symbol *symbol = &cache->symbols[i];
        if ((symbol->function != GMR__CACHE_NO_STRING && symbol->function >= h->strings) ||
            (symbol->file != GMR__CACHE_NO_STRING && symbol->file >= h->strings))
            return false;
    }
    return true;
}

static bool check(struct gmr__cache *cache, size_t bytes)
{
    const struct gmr__cache_header *h = cache->header = (const struct gmr__cache_header *)cache->image;
    if (bytes < sizeof(*h) || memcmp(h->magic, GMR__CACHE_MAGIC, sizeof(h->magic)) != 0 ||
        h->identity != cache->identity)
        return false;
    /* 32-bit counts of small structures: the sum can't overflow 64 bits. */
    uint64_t at_symbols = sizeof(*h) + (uint64_t)h->pcs * sizeof(struct gmr__cache_pc);
    uint64_t at_calls = at_symbols + (uint64_t)h->symbols * sizeof(struct gmr__cache_symbol);
    uint64_t at_call_pcs = at_calls + (uint64_t)h->calls * sizeof(struct gmr__cache_call);
    uint64_t at_strings = at_call_pcs + (uint64_t)h->call_pcs * sizeof(uint64_t);
    if (at_strings + h->strings != bytes ||
        crc32(crc32(0, NULL, 0), cache->image + sizeof(*h), (uInt)(bytes - sizeof(*h))) != h->checksum)
        return false;
    cache->pcs = (const struct gmr__cache_pc *)(cache->image + sizeof(*h));
    cache->symbols = (const struct gmr__cache_symbol *)(cache->image + at_symbols);
    cache->calls = (const struct gmr__cache_call *)(cache->image + at_calls);
    cache->call_pcs = (const uint64_t *)(cache->image + at_call_pcs);
    cache->strings = (const char *)cache->image + at_strings;
    for (uint32_t i = 0; i < h->pcs; i++) {
        if (cache->pcs[i].count == 0 || cache->pcs[i].first > h->symbols ||
            cache->pcs[i].count > h->symbols - cache->pcs[i].first)
            return false;
    }
    for (uint32_t i = 0; i < h->calls; i++) {
        if (cache->calls[i].first > h->call_pcs || cache->calls[i].count > h->call_pcs - cache->calls[i].first)
            return false;
    }
    return check_strings(cache);
}

static void load(struct gmr__cache *cache)
{
    struct stat st;
    int fd = gmr__open(cache->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size > 0 &&
        (uint64_t)st.st_size <= GMR__CACHE_MAX_BYTES)
        cache->image = malloc((size_t)st.st_size);
    if (cache->image &&
        (gmr__read_full(fd, cache->image, (size_t)st.st_size) != st.st_size || !check(cache, (size_t)st.st_size))) {
        free(cache->image);
        cache->image = NULL;
    }
    gmr__close(fd);
}

struct gmr__cache *gmr__cache_open(const char *directory, struct gmr__module_data *module)
{
    char id[65];
    struct gmr__cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    gmr__module_build_id(&module->module, id);
    if (snprintf(cache->directory, sizeof(cache->directory), "%s", directory) >= (int)sizeof(cache->directory) - 100) {
        free(cache);
        return NULL;
    }
    int length =
        snprintf(cache->path, sizeof(cache->path), "%.*s/%s.sym", (int)sizeof(cache->path) - 80, directory, id);
    if (length >= (int)sizeof(cache->path)) {
        free(cache);
        return NULL;
    }
    cache->identity = identity_of(module);
    load(cache);
    return cache;
}

void gmr__cache_close(struct gmr__cache *cache)
{
    if (!cache)
        return;
    free(cache->image);
    free(cache->new_pcs);
    free(cache->new_calls);
    free(cache);
}

static const char *string_at(const struct gmr__cache *cache, uint32_t offset)
{
    return offset == GMR__CACHE_NO_STRING ? NULL : cache->strings + offset;
}

size_t gmr__cache_find(const struct gmr__cache *cache, uint64_t address, struct gmr__symbol *symbols, size_t cap,
                       uint64_t *entry)
{
    size_t low = 0, high = cache->image ? cache->header->pcs : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct gmr__cache_pc *pc = &cache->pcs[middle];
        if (pc->address != address) {
            if (pc->address < address)
                low = middle + 1;
            else
                high = middle;
            continue;
        }
        size_t count = pc->count < cap ? pc->count : cap;
        for (size_t i = 0; i < count; i++) {
            const struct gmr__cache_symbol *symbol = &cache->symbols[pc->first + i];
            symbols[i] = (struct gmr__symbol){.function = string_at(cache, symbol->function),
                                              .offset = symbol->offset,
                                              .file = string_at(cache, symbol->file),
                                              .line = symbol->line,
                                              .column = symbol->column,
                                              .inlined = symbol->flags & 1};
        }
        *entry = pc->entry;
        return count;
    }
    return 0;
}

int gmr__cache_find_calls(const struct gmr__cache *cache, uint64_t return_pc, uint64_t callee, uint64_t other,
                          uint64_t *pcs, size_t cap)
{
    size_t low = 0, high = cache->image ? cache->header->calls : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cache->calls[middle].return_pc < return_pc)
            low = middle + 1;
        else
            high = middle;
    }
    for (; cache->image && low < cache->header->calls && cache->calls[low].return_pc == return_pc; low++) {
        const struct gmr__cache_call *call = &cache->calls[low];
        if (call->callee != callee || call->other != other || call->count > cap)
            continue;
        memcpy(pcs, cache->call_pcs + call->first, call->count * sizeof(*pcs));
        return (int)call->count;
    }
    return -1;
}

void gmr__cache_add(struct gmr__cache *cache, const struct gmr__cached_pc *pc)
{
    if (GMR__GROW(cache->new_pcs, cache->new_pc_cap, cache->new_pc_count + 1))
        cache->new_pcs[cache->new_pc_count++] = *pc;
}

void gmr__cache_add_calls(struct gmr__cache *cache, const struct gmr__cached_calls *calls)
{
    if (GMR__GROW(cache->new_calls, cache->new_call_cap, cache->new_call_count + 1))
        cache->new_calls[cache->new_call_count++] = *calls;
}
