/*
 * green/peek.h - cached reading of a target's memory, for sources that follow many small objects.
 *
 * Inspector only (malloc). Memory is fetched in chunks of 64 KiB and kept until gmr__peek_forget: for passes over a running
 * target, where a system call per object would cost more than the object. In `collect` sources read directly, or through pages whose
 * addresses are known from a rehearsal: expired, then all refreshed by a few system calls once the target stands.
 */
#ifndef GMR_GREEN_PEEK_H
#define GMR_GREEN_PEEK_H

#include "green/addrmap.h"
#include "green/green.h"

struct gmr__peek {
    struct gmr__green *green;
    struct gmr__addrmap chunks; /* chunk address -> struct chunk * */
    uint64_t cached_bytes, max_bytes;
    uint64_t last_address; /* the chunk used last: most reads hit it again */
    void *last;
    uint64_t *sorted; /* addresses of what has expired */
    size_t sorted_count;
    unsigned pages; /* of a chunk */
    bool keep;      /* past the limit: read directly, drop nothing */
};

void gmr__peek_init(struct gmr__peek *peek, struct gmr__green *green);
/* Page by page, for `collect`: nothing is given back before gmr__peek_forget. */
void gmr__peek_init_pages(struct gmr__peek *peek, struct gmr__green *green);
/* What is cached is out of date, and read again when it is asked for. */
void gmr__peek_expire(struct gmr__peek *peek);
/* Reads again all that is out of date, until the phase's time is used up. */
void gmr__peek_refresh(struct gmr__peek *peek);
/* Drops what is cached: the target may have run. */
void gmr__peek_forget(struct gmr__peek *peek);
/* All of it or -EFAULT. */
int gmr__peek(struct gmr__peek *peek, uint64_t address, void *to, size_t bytes);
/* A word; 0 where it can't be read. */
uint64_t gmr__peek_word(struct gmr__peek *peek, uint64_t address);

#endif
