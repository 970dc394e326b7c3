/*
 * report/spool_as.c - see report/spool.h.
 *
 * Reporter thread of the target; async-signal-safe. Called by report/assemble_as.c (as the writer's sink) and report/output_as.c.
 */
#include "report/spool.h"

#include <errno.h>
#include <sys/mman.h>

#include "sys/buf.h"
#include "sys/sys.h"

#define FIRST_CHUNK (64u << 10)
#define LARGEST_CHUNK (4u << 20)

static struct gmr__chunk *add_chunk(struct gmr__spool *spool)
{
    size_t want = spool->last ? spool->last->mapped * 2 : FIRST_CHUNK;
    if (want > LARGEST_CHUNK)
        want = LARGEST_CHUNK;
    struct gmr__chunk *chunk = gmr__map_memory(want);
    while (!chunk && want > FIRST_CHUNK) {
        want /= 2;
        chunk = gmr__map_memory(want);
    }
    if (!chunk)
        return NULL;
    chunk->mapped = want;
    chunk->cap = want - sizeof(*chunk);
    if (spool->last)
        spool->last->next = chunk;
    else
        spool->first = chunk;
    spool->last = chunk;
    return chunk;
}

static int write_overflow(struct gmr__spool *spool, const unsigned char *bytes, size_t count)
{
    if (spool->overflow_fd < 0)
        spool->overflow_fd = (int)GMR__SYS(SYS_memfd_create, "gmr-report", MFD_CLOEXEC, 0, 0, 0, 0);
    if (spool->overflow_fd < 0)
        return -ENOMEM;
    while (count > 0) {
        ssize_t n = gmr__write(spool->overflow_fd, bytes, count);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        bytes += n;
        count -= (size_t)n;
        spool->overflow_bytes += (size_t)n;
    }
    return 0;
}

static int spool_write(struct gmr__sink *sink, const void *bytes, size_t count)
{
    struct gmr__spool *spool = (struct gmr__spool *)sink;
    const unsigned char *from = bytes;
    spool->total += count;
    while (count > 0) {
        struct gmr__chunk *chunk = spool->last;
        if (spool->overflow_fd < 0 && (!chunk || chunk->used == chunk->cap))
            chunk = add_chunk(spool);
        if (spool->overflow_fd >= 0 || !chunk)
            return write_overflow(spool, from, count);
        size_t room = chunk->cap - chunk->used;
        size_t part = count < room ? count : room;
        gmr__memcpy(chunk->bytes + chunk->used, from, part);
        chunk->used += part;
        from += part;
        count -= part;
    }
    return 0;
}

void gmr__spool_init(struct gmr__spool *spool)
{
    *spool = (struct gmr__spool){.sink = {.write = spool_write}, .overflow_fd = -1};
}

void gmr__chunks_free(struct gmr__chunk *chunk)
{
    while (chunk) {
        struct gmr__chunk *next = chunk->next;
        gmr__unmap_memory(chunk, chunk->mapped);
        chunk = next;
    }
}

void gmr__spool_free(struct gmr__spool *spool)
{
    gmr__chunks_free(spool->first);
    if (spool->overflow_fd >= 0)
        gmr__close(spool->overflow_fd);
    gmr__spool_init(spool);
}

int gmr__spool_each(struct gmr__spool *spool, int (*write)(void *userdata, const void *bytes, size_t count),
                    void *userdata)
{
    for (struct gmr__chunk *chunk = spool->first; chunk; chunk = chunk->next) {
        int error = write(userdata, chunk->bytes, chunk->used);
        if (error)
            return error;
    }
    unsigned char part[4096];
    for (size_t at = 0; at < spool->overflow_bytes;) {
        ssize_t n = gmr__pread(spool->overflow_fd, part, sizeof(part), (int64_t)at);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        int error = write(userdata, part, (size_t)n);
        if (error)
            return error;
        at += (size_t)n;
    }
    return 0;
}
