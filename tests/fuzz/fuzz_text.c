/* tests/fuzz/fuzz_text.c - secrets in values, names and command lines; and the list of functions that a just-in-time compiler writes. */
#include "../../src/symbol/perf_map.c"
#include "fuzz.h"
#include "section/secrets.h"

static size_t arguments;

static void argument(void *userdata, const char *text, size_t bytes)
{
    /* Read to the last byte, so that one too many is seen. */
    for (size_t i = 0; i < bytes; i++)
        *(volatile char *)userdata ^= text[i];
    arguments++;
}

/* Callers copy nothing where there is no secret: the two must agree. */
static void mask(const char *text, size_t size)
{
    size_t cap = size * 4 + 64, tight_cap = size % 61 + 1;
    char *masked = malloc(cap), *tight = malloc(tight_cap);
    gmr__mask_value(text, size, masked, cap);
    if (!gmr__value_has_secret(text, size) && !memchr(text, 0, size) &&
        (strlen(masked) != size || memcmp(masked, text, size) != 0))
        abort();
    gmr__mask_value(text, size, tight, tight_cap);
    if (!memchr(tight, 0, tight_cap))
        abort();
    free(masked);
    free(tight);
}

static void perf_map(const char *text, size_t size)
{
    struct gmr__perf_map *map = calloc(1, sizeof(*map)), *cached = map;
    uint64_t start;
    map->text = malloc(size + 1);
    memcpy(map->text, text, size);
    map->text[size] = 0;
    parse(map);
    for (size_t i = 0; i < map->count && i < 64; i++) {
        uint64_t address = map->entries[i].end - 1;
        const char *name = gmr__perf_map_find(&cached, NULL, address, &start);
        if (name && (start > address || !*name))
            abort();
    }
    gmr__perf_map_free(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char sum = 0, *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    arguments = 0;
    gmr__each_argument((const char *)data, size, false, argument, &sum);
    gmr__each_argument((const char *)data, size, true, argument, &sum);
    if (arguments > 2 * size + 2)
        abort();
    gmr__secret_name(text);
    mask((const char *)data, size);
    perf_map((const char *)data, size);
    free(text);
    return 0;
}
