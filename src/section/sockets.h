/*
 * section/sockets.h - what the sockets of a process are, from /proc/PID/net. Both halves, async-signal-safe.
 */
#ifndef GMR_SECTION_SOCKETS_H
#define GMR_SECTION_SOCKETS_H

#include "section/section.h"

#define GMR__ADDRESS_TEXT 56 /* "[ffff:...]:65535" */

struct gmr__socket {
    uint64_t inode;
    int fd;
    const char *family; /* "tcp", "unix", ...; NULL: in no table that can be read */
    const char *state;  /* "listen", "established" ...; NULL: none */
    char local[GMR__ADDRESS_TEXT], remote[GMR__ADDRESS_TEXT]; /* numbers, never names */
    char path[112];                                           /* of a unix socket; abstract ones begin with '@' */
};

/* Fills in the sockets (sorted by inode) from the tables of the target's network namespace. */
void gmr__sockets_resolve(struct gmr__socket *sockets, size_t count, const struct gmr__target *target,
                          struct gmr__section_status *status);

#endif
