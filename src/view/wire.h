/*
 * view/wire.h - the binary form of the writer's events: what the pipe, the control socket and an arena carry.
 *
 * Both halves, async-signal-safe. Only wire_as.c writes it, event_as.c reads it.
 *
 * An event is one byte (a GMR__W_* code, | GMR__W_KEYED if a key follows), the key (a slice), then what the code says. A slice is a
 * varint count and so many bytes; a varint has 7 bits a byte, low ones first, at most 10 bytes; int is zigzag. A string's bytes follow
 * its event as slices, the last one empty, so that its length need not be known ahead. Both ends are of one build or of neighbouring
 * versions: the version stands in GMR__W_DOC, and a receiver refuses one that it does not know.
 */
#ifndef GMR_VIEW_WIRE_H
#define GMR_VIEW_WIRE_H

#include "view/view.h"

#define GMR__WIRE_VERSION 1
#define GMR__W_KEYED 0x80

enum gmr__wire_code {
    GMR__W_MAP = 1,
    GMR__W_LIST = 2,
    GMR__W_ORDERED_LIST = 3,
    GMR__W_ORDERED_MAP = 4, /* the four as enum gmr__container */
    GMR__W_END = 5,
    GMR__W_STRING = 6,  /* slices follow */
    GMR__W_LINES = 7,   /* a string with newlines in it */
    GMR__W_INT = 8,     /* varint, zigzag */
    GMR__W_UINT = 9,    /* varint */
    GMR__W_DOUBLE = 10, /* 8 bytes, little-endian */
    GMR__W_TRUE = 11,
    GMR__W_FALSE = 12,
    GMR__W_NULL = 13,
    GMR__W_SECRET = 14,
    GMR__W_TABLE = 15, /* varint columns, a slice each */
    GMR__W_ROW = 16,   /* varint cells, a slice each */
    GMR__W_TABLE_END = 17,
    GMR__W_RAW = 18,         /* slices follow */
    GMR__W_SECTION = 19,     /* name, title, shape, flags, 7 style strings: varint 0 or length + 1 */
    GMR__W_SECTION_END = 20, /* status, reason, next step: as style strings */
    GMR__W_SLOT = 21,        /* name */
    GMR__W_COST = 22,        /* known, wall, max, median, bytes, method */
    GMR__W_DOC = 23,         /* 'G' 'M' 'R' version, then as DOC_END */
    GMR__W_DOC_END = 24,     /* pid, six strings */
};

/* A part of the wire's bytes, not NUL-terminated; bytes NULL: the string was NULL. */
struct gmr__slice {
    const unsigned char *bytes;
    size_t count;
};

struct gmr__event {
    enum gmr__wire_code code;
    struct gmr__slice key;
    struct gmr__scalar scalar;
    uint64_t number[5];                        /* shape, flags; status; cells; pid; the cost's */
    struct gmr__slice slice[GMR__MAX_COLUMNS]; /* columns, cells, strings in the order above */
};

/* Reads one event at `at`. Returns its bytes, 0 if `left` cuts it, -EBADMSG if it is none. */
long gmr__event_read(struct gmr__event *event, const unsigned char *at, size_t left);
/* One slice of a string that is open: the bytes its count takes, the slice to come. */
long gmr__event_piece(const unsigned char *at, size_t left, uint64_t *count);
/* Hands an event of a section's body to the front end. */
int gmr__event_put(struct gmr_writer *to, const struct gmr__event *event);
/* A slice as text in `room`, cut to it. NULL for NULL. */
const char *gmr__slice_text(const struct gmr__slice *slice, char *room, size_t cap);

static inline bool gmr__code_has_pieces(enum gmr__wire_code code)
{
    return code == GMR__W_STRING || code == GMR__W_LINES || code == GMR__W_RAW;
}

static inline bool gmr__code_opens(enum gmr__wire_code code)
{
    return code >= GMR__W_MAP && code <= GMR__W_ORDERED_MAP;
}

#endif
