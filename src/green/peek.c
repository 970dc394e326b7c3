/*
 * green/peek.c - see peek.h.
 *
 * Inspector only; called by sources in `find`, `ahead` and `finish`. Pages that can't be read are remembered as such, so that a
 * wild pointer costs one system call. The cache is dropped whole when it reaches its limit: bounded memory, whatever
 * the target's pointers say.
 */
#include "green/peek.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define PAGES 16u
#define CHUNK (PAGE * PAGES)

struct chunk {
    uint16_t readable; /* bit n: page n */
    unsigned char data[CHUNK];
};

void gmr__peek_init(struct gmr__peek *peek, struct gmr__green *green)
{
    memset(peek, 0, sizeof(*peek));
    peek->green = green;
    peek->max_bytes = 512u << 20;
    gmr__addrmap_init(&peek->chunks, peek->max_bytes / CHUNK);
}

void gmr__peek_forget(struct gmr__peek *peek)
{
    for (size_t i = 0; i < peek->chunks.slots; i++)
        if (peek->chunks.keys[i] != 0)
            free((void *)(uintptr_t)peek->chunks.values[i]);
    gmr__addrmap_free(&peek->chunks);
    peek->cached_bytes = 0;
    peek->last = NULL;
}

static void fill(struct gmr__peek *peek, struct chunk *chunk, uint64_t address)
{
    struct gmr__green_piece whole = {.address = address, .to = chunk->data, .bytes = CHUNK};
    gmr__green_read_many(peek->green, &whole, 1);
    unsigned got = whole.got / PAGE;
    chunk->readable = got >= PAGES ? 0xffff : (uint16_t)((1u << got) - 1);
    if (got >= PAGES)
        return;
    /* A hole: ask for the pages behind it one by one, in one call. */
    struct gmr__green_piece pieces[PAGES];
    unsigned count = 0;
    for (unsigned page = got; page < PAGES; page++)
        pieces[count++] =
            (struct gmr__green_piece){.address = address + page * PAGE, .to = chunk->data + page * PAGE, .bytes = PAGE};
    gmr__green_read_many(peek->green, pieces, count);
    for (unsigned i = 0; i < count; i++)
        if (pieces[i].got == PAGE)
            chunk->readable |= (uint16_t)(1u << (got + i));
}

static struct chunk *chunk_at(struct gmr__peek *peek, uint64_t address)
{
    if (peek->last && peek->last_address == address)
        return peek->last;
    uint64_t found;
    struct chunk *chunk;
    /* Chunk 0 has no key (see addrmap.h); nothing is mapped there on Linux. */
    if (gmr__addrmap_get(&peek->chunks, address, &found)) {
        chunk = (struct chunk *)(uintptr_t)found;
    } else {
        if (peek->cached_bytes + sizeof(*chunk) > peek->max_bytes)
            gmr__peek_forget(peek);
        chunk = malloc(sizeof(*chunk));
        if (!chunk)
            return NULL;
        fill(peek, chunk, address);
        if (!gmr__addrmap_put(&peek->chunks, address, (uint64_t)(uintptr_t)chunk)) {
            free(chunk);
            return NULL;
        }
        peek->cached_bytes += sizeof(*chunk);
    }
    peek->last = chunk;
    peek->last_address = address;
    return chunk;
}

int gmr__peek(struct gmr__peek *peek, uint64_t address, void *to, size_t bytes)
{
    unsigned char *out = to;
    if (address + bytes < address)
        return -EFAULT;
    while (bytes > 0) {
        uint64_t base = address & ~(uint64_t)(CHUNK - 1);
        size_t offset = (size_t)(address - base);
        struct chunk *chunk = chunk_at(peek, base);
        if (!chunk || !(chunk->readable & (1u << (offset / PAGE))))
            return -EFAULT;
        size_t part = PAGE - offset % PAGE;
        if (part > bytes)
            part = bytes;
        memcpy(out, chunk->data + offset, part);
        out += part;
        address += part;
        bytes -= part;
    }
    return 0;
}

uint64_t gmr__peek_word(struct gmr__peek *peek, uint64_t address)
{
    uint64_t word;
    return gmr__peek(peek, address, &word, sizeof(word)) == 0 ? word : 0;
}
