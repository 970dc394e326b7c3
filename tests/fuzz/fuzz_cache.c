/* tests/fuzz/fuzz_cache.c - a file of the symbol cache, which may be shared and garbage. Its checksum is mended, or nothing would get past it. */
#include "../../src/symbol/cache.c"
#include "fuzz.h"

static size_t read_all(const struct gmr__cache *cache)
{
    struct gmr__symbol symbols[16];
    uint64_t entry, pcs[16];
    size_t seen = 0;
    for (uint32_t i = 0; i < cache->header->pcs && i < 256; i++) {
        size_t n = gmr__cache_find(cache, cache->pcs[i].address, symbols, 16, &entry);
        for (size_t s = 0; s < n; s++)
            seen += (symbols[s].function ? strlen(symbols[s].function) : 0) +
                    (symbols[s].file ? strlen(symbols[s].file) : 0);
    }
    for (uint32_t i = 0; i < cache->header->calls && i < 256; i++) {
        const struct gmr__cache_call *call = &cache->calls[i];
        if (gmr__cache_find_calls(cache, call->return_pc, call->callee, call->other, pcs, 16) > 16)
            abort();
    }
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < sizeof(struct gmr__cache_header))
        return 0;
    struct gmr__cache *cache = calloc(1, sizeof(*cache));
    cache->image = malloc(size);
    memcpy(cache->image, data, size);
    struct gmr__cache_header *header = (struct gmr__cache_header *)cache->image;
    memcpy(header->magic, GMR__CACHE_MAGIC, sizeof(header->magic));
    header->checksum =
        (uint32_t)crc32(crc32(0, NULL, 0), cache->image + sizeof(*header), (uInt)(size - sizeof(*header)));
    cache->identity = header->identity;
    if (check(cache, size) && read_all(cache) == SIZE_MAX)
        abort();
    gmr__cache_close(cache);
    return 0;
}
