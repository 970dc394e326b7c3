/*
 * report/spool.h - a finished report in memory, before a byte of it is written anywhere.
 *
 * Reporter thread; async-signal-safe. A report is built whole and then written, so that two of them never interleave and a full
 * disk can be answered with the same report elsewhere. Anonymous chunks that grow; where memory is refused (RLIMIT_AS), a
 * memfd takes the rest.
 */
#ifndef GMR_REPORT_SPOOL_H
#define GMR_REPORT_SPOOL_H

#include "view/writer.h"

struct gmr__chunk {
    struct gmr__chunk *next;
    size_t used, cap, mapped;
    unsigned char bytes[];
};

struct gmr__spool {
    struct gmr__sink sink;
    struct gmr__chunk *first, *last;
    size_t total;
    int overflow_fd; /* memfd with what did not fit into memory; -1 if none */
    size_t overflow_bytes;
};

void gmr__spool_init(struct gmr__spool *spool);
void gmr__spool_free(struct gmr__spool *spool);
void gmr__chunks_free(struct gmr__chunk *first);

/* Hands the bytes to write(userdata, ...) in order, until it fails. */
int gmr__spool_each(struct gmr__spool *spool, int (*write)(void *userdata, const void *bytes, size_t count),
                    void *userdata);

#endif
