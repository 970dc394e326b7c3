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

#include "sys/word.h"

#define PAGE 4096u
#define PAGES 16u /* of a large chunk */
#define AT_ONCE 1024

struct chunk {
    uint16_t readable; /* bit n: page n */
    bool stale;
    unsigned char data[];
};

static void init(struct gmr__peek *peek, struct gmr__green *green, unsigned pages, uint64_t max_bytes)
{
    memset(peek, 0, sizeof(*peek));
    peek->green = green;
    peek->pages = pages;
    peek->max_bytes = max_bytes;
    gmr__addrmap_init(&peek->chunks, max_bytes / (pages * PAGE));
}

void gmr__peek_init(struct gmr__peek *peek, struct gmr__green *green)
{
    init(peek, green, PAGES, 512u << 20);
}

void gmr__peek_init_pages(struct gmr__peek *peek, struct gmr__green *green)
{
    init(peek, green, 1, 256u << 20);
    peek->keep = true;
}

void gmr__peek_forget(struct gmr__peek *peek)
{
    for (size_t i = 0; i < peek->chunks.slots; i++)
        if (peek->chunks.keys[i] != 0 && !peek->keep)
            free((void *)(uintptr_t)peek->chunks.values[i]);
    gmr__addrmap_free(&peek->chunks);
    free(peek->sorted);
    peek->sorted = NULL;
    peek->sorted_count = 0;
    peek->cached_bytes = 0;
    peek->last = NULL;
}

static void fill(struct gmr__peek *peek, struct chunk *chunk, uint64_t address)
{
    struct gmr__green_piece whole = {.address = address, .to = chunk->data, .bytes = peek->pages * PAGE};
    gmr__green_read_many(peek->green, &whole, 1);
    unsigned got = whole.got / PAGE;
    chunk->stale = false;
    chunk->readable = (uint16_t)((1u << got) - 1);
    if (got >= peek->pages || peek->pages == 1)
        return;
    /* A hole: ask for the pages behind it one by one, in one call. */
    struct gmr__green_piece pieces[PAGES];
    unsigned count = 0;
    for (unsigned page = got; page < peek->pages; page++)
        pieces[count++] =
            (struct gmr__green_piece){.address = address + page * PAGE, .to = chunk->data + page * PAGE, .bytes = PAGE};
    gmr__green_read_many(peek->green, pieces, count);
    for (unsigned i = 0; i < count; i++)
        if (pieces[i].got == PAGE)
            chunk->readable |= (uint16_t)(1u << (got + i));
}

void gmr__peek_expire(struct gmr__peek *peek)
{
    free(peek->sorted);
    peek->sorted_count = 0;
    peek->sorted = calloc(peek->chunks.used ? peek->chunks.used : 1, sizeof(*peek->sorted));
    for (size_t i = 0; i < peek->chunks.slots; i++) {
        if (peek->chunks.keys[i] == 0)
            continue;
        ((struct chunk *)(uintptr_t)peek->chunks.values[i])->stale = true;
        if (peek->sorted)
            peek->sorted[peek->sorted_count++] = peek->chunks.keys[i];
    }
    if (peek->sorted_count > 1)
        qsort(peek->sorted, peek->sorted_count, sizeof(*peek->sorted), gmr__compare_words);
    peek->last = NULL;
}

static void refresh(struct gmr__peek *peek, struct gmr__green_piece *pieces, struct chunk **whose, size_t count)
{
    gmr__green_read_many(peek->green, pieces, count);
    for (size_t i = 0; i < count; i++) {
        unsigned got = pieces[i].got / PAGE;
        whose[i]->readable = (uint16_t)((1u << got) - 1);
        whose[i]->stale = got < peek->pages && peek->pages > 1; /* a hole: looked at again when it is asked for */
    }
}

void gmr__peek_refresh(struct gmr__peek *peek)
{
    struct gmr__green_piece pieces[AT_ONCE];
    struct chunk *whose[AT_ONCE];
    size_t count = 0;
    for (size_t i = 0; i < peek->sorted_count; i++) {
        uint64_t found;
        struct chunk *chunk;
        if (!gmr__addrmap_get(&peek->chunks, peek->sorted[i], &found) ||
            !(chunk = (struct chunk *)(uintptr_t)found)->stale)
            continue;
        whose[count] = chunk;
        pieces[count++] =
            (struct gmr__green_piece){.address = peek->sorted[i], .to = chunk->data, .bytes = peek->pages * PAGE};
        if (count < AT_ONCE)
            continue;
        refresh(peek, pieces, whose, count);
        count = 0;
        if (gmr__green_out_of_time(peek->green))
            return;
    }
    refresh(peek, pieces, whose, count);
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
        if (chunk->stale)
            fill(peek, chunk, address);
    } else {
        size_t bytes = sizeof(*chunk) + (size_t)peek->pages * PAGE;
        if (peek->cached_bytes + bytes > peek->max_bytes) {
            if (peek->keep)
                return NULL;
            gmr__peek_forget(peek);
        }
        chunk = peek->keep ? gmr__green_alloc(peek->green, bytes) : malloc(bytes);
        if (!chunk)
            return NULL;
        fill(peek, chunk, address);
        if (!gmr__addrmap_put(&peek->chunks, address, (uint64_t)(uintptr_t)chunk)) {
            if (!peek->keep)
                free(chunk);
            return NULL;
        }
        peek->cached_bytes += bytes;
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
        uint64_t base = address & ~((uint64_t)peek->pages * PAGE - 1);
        size_t offset = (size_t)(address - base);
        struct chunk *chunk = chunk_at(peek, base);
        size_t part = PAGE - offset % PAGE;
        if (part > bytes)
            part = bytes;
        if (chunk && chunk->readable & (1u << (offset / PAGE)))
            memcpy(out, chunk->data + offset, part);
        else if (chunk || !peek->keep || gmr__green_read(peek->green, address, out, part) != 0)
            return -EFAULT;
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
