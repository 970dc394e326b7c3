/*
 * green/arena.c - the memory that lives as long as a set of green threads.
 *
 * Inspector only, one thread. Bump allocation from mappings of its own, so that a million green threads do no harm to malloc, and so that
 * the capturing process, which is forked from the inspector, shares none of it.
 */
#include <sys/mman.h>

#include "green/set.h"
#include "snapshot/arena.h"

#define BLOCK_SMALL (256u << 10)
#define BLOCK_LARGE (32u << 20)

struct gmr__arena_block {
    struct gmr__arena_block *next;
    size_t bytes;
};

static bool add_block(struct gmr__arena *arena, size_t least)
{
    size_t bytes = arena->total < BLOCK_LARGE ? BLOCK_SMALL : BLOCK_LARGE;
    if (bytes < least + sizeof(struct gmr__arena_block))
        bytes = (least + sizeof(struct gmr__arena_block) + 4095) & ~(size_t)4095;
    struct gmr__arena_block *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return false;
    madvise(block, bytes,
            MADV_DONTFORK); /* the capturing process needs none of it: nothing to share, nothing to fault in */
    if (bytes >= BLOCK_LARGE)
        madvise(block, bytes, MADV_HUGEPAGE); /* a page fault for 2 MiB rather than for 4 KiB */
    block->next = arena->blocks;
    block->bytes = bytes;
    arena->blocks = block;
    arena->next = (unsigned char *)(block + 1);
    arena->end = (unsigned char *)block + bytes;
    arena->total += bytes;
    return true;
}

void *gmr__arena_alloc(struct gmr__arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + 7) & ~(size_t)7;
    if ((size_t)(arena->end - arena->next) < bytes && !add_block(arena, bytes))
        return NULL;
    void *memory = arena->next;
    arena->next += bytes;
    return memory;
}

void gmr__arena_reserve(struct gmr__arena *arena, size_t bytes)
{
    if ((size_t)(arena->end - arena->next) >= bytes || add_block(arena, bytes))
        gmr__populate(arena->next, bytes);
}

void gmr__arena_free(struct gmr__arena *arena)
{
    for (struct gmr__arena_block *block = arena->blocks; block;) {
        struct gmr__arena_block *next = block->next;
        munmap(block, block->bytes);
        block = next;
    }
    *arena = (struct gmr__arena){0};
}
