/*
 * symbol/pool.h - an arena with strings kept once. Inspector only.
 */
#ifndef GMR_SYMBOL_POOL_H
#define GMR_SYMBOL_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct gmr__pool_block;

struct gmr__pool {
    struct gmr__pool_block *blocks;
    const char **strings; /* open addressing, a power of two */
    size_t string_slots, string_count;
};

bool gmr__pool_init(struct gmr__pool *pool);
void gmr__pool_free(struct gmr__pool *pool);
void *gmr__pool_alloc(struct gmr__pool *pool, size_t bytes);            /* zeroed; NULL: no memory */
const char *gmr__pool_string(struct gmr__pool *pool, const char *text); /* NULL: no memory */

#endif
