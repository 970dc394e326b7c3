/*
 * sys/mapped.h - files of others, mapped for reading: whoever truncates one meanwhile takes pages away, but does not end the reader.
 *
 * Inspector only, one thread. What is no longer there reads as zeros, and `lost` says so from then on. The kernel tells of such a page by
 * SIGBUS, whose handler is installed with the first mapping; what is not about a mapping made here is passed on as if it were not there.
 */
#ifndef GMR_SYS_MAPPED_H
#define GMR_SYS_MAPPED_H

#include <stdbool.h>
#include <stddef.h>

/* Stays where it is while it is mapped. */
struct gmr__mapped {
    const unsigned char *bytes; /* NULL: not mapped */
    size_t size;
    int fd;             /* borrowed: must stay open as long */
    volatile bool lost; /* something was read that the file no longer had */
    struct gmr__mapped *next;
};

/* The first `size` bytes of a regular file, read-only. 0 or -errno. */
int gmr__map_file(struct gmr__mapped *mapped, int fd, size_t size);
void gmr__unmap_file(struct gmr__mapped *mapped); /* also of one that is not mapped */

#endif
