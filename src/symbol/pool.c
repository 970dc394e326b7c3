/*
 * symbol/pool.c - an arena with strings kept once. See pool.h.
 *
 * Inspector only, one thread. Used by the symbolizer, whose results live until it ends.
 */
#include "symbol/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 << 10)

struct gmr__pool_block {
    struct gmr__pool_block *next;
    size_t used, cap;
    _Alignas(16) unsigned char bytes[];
};

bool gmr__pool_init(struct gmr__pool *pool)
{
    *pool = (struct gmr__pool){.string_slots = 1024};
    pool->strings = calloc(pool->string_slots, sizeof(*pool->strings));
    return pool->strings != NULL;
}

void gmr__pool_free(struct gmr__pool *pool)
{
    while (pool->blocks) {
        struct gmr__pool_block *next = pool->blocks->next;
        free(pool->blocks);
        pool->blocks = next;
    }
    free(pool->strings);
}

void *gmr__pool_alloc(struct gmr__pool *pool, size_t bytes)
{
    struct gmr__pool_block *block = pool->blocks;
    bytes = (bytes + 15) & ~(size_t)15;
    if (!block || block->cap - block->used < bytes) {
        size_t cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = calloc(1, sizeof(*block) + cap);
        if (!block)
            return NULL;
        block->cap = cap;
        block->next = pool->blocks;
        pool->blocks = block;
    }
    void *at = block->bytes + block->used;
    block->used += bytes;
    return at;
}

static size_t slot_of(const struct gmr__pool *pool, const char *text)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325); /* FNV-1a */
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001B3);
    size_t at = (size_t)(hash ^ hash >> 32) & (pool->string_slots - 1);
    while (pool->strings[at] && strcmp(pool->strings[at], text) != 0)
        at = (at + 1) & (pool->string_slots - 1);
    return at;
}

static bool grow(struct gmr__pool *pool)
{
    size_t old_slots = pool->string_slots;
    const char **old = pool->strings, **strings = calloc(old_slots * 2, sizeof(*strings));
    if (!strings)
        return false;
    pool->strings = strings;
    pool->string_slots = old_slots * 2;
    for (size_t i = 0; i < old_slots; i++) {
        if (old[i])
            strings[slot_of(pool, old[i])] = old[i];
    }
    free(old);
    return true;
}

const char *gmr__pool_string(struct gmr__pool *pool, const char *text)
{
    if (2 * (pool->string_count + 1) > pool->string_slots && !grow(pool))
        return NULL;
    size_t at = slot_of(pool, text), bytes = strlen(text) + 1;
    if (!pool->strings[at]) {
        char *copy = gmr__pool_alloc(pool, bytes);
        if (!copy)
            return NULL;
        memcpy(copy, text, bytes);
        pool->strings[at] = copy;
        pool->string_count++;
    }
    return pool->strings[at];
}
