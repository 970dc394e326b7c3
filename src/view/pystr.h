/*
 * view/pystr.h - what Python's str() makes of a value in an arena, a byte at a time. Both halves, async-signal-safe.
 *
 * oslo.reports sorts the elements of a list by that text, so the same order takes the same text; nested values are never
 * written out, only compared.
 */
#ifndef GMR_VIEW_PYSTR_H
#define GMR_VIEW_PYSTR_H

#include "view/wire.h"

struct gmr__pystr {
    const unsigned char *at, *end;
    unsigned depth;
    unsigned char is_map[GMR__MAX_DEPTH + 2];
    bool any[GMR__MAX_DEPTH + 2];
    bool done, in_string, bare; /* bare: a string that is the whole value, without quotes */
    char quote;
    const unsigned char *piece; /* the open string's rest of a slice */
    uint64_t piece_left;
    char out[GMR__DOUBLE_TEXT + 8];
    unsigned out_at, out_used;
    /* a key that is being put out */
    const unsigned char *key;
    size_t key_left;
};

/* value: an element's first event, of a whole and checked arena. */
void gmr__pystr_init(struct gmr__pystr *p, const unsigned char *value, const unsigned char *end);
int gmr__pystr_next(struct gmr__pystr *p); /* a byte, -1 at the end */

#endif
