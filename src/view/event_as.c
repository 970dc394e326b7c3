/*
 * view/event_as.c - reads the binary events of view/wire.h and hands them to a writer.
 *
 * Both halves, async-signal-safe. The bytes may come from another process or a thread that wrote over its arena: nothing in them is believed,
 * every count is checked against what is there. Callers: wire_in_as.c (a stream), sort_as.c (an arena).
 */
#include <errno.h>

#include "view/wire.h"

struct cursor {
    const unsigned char *at, *end;
    bool cut, bad;
};

static unsigned take_byte(struct cursor *c)
{
    if (c->at == c->end) {
        c->cut = true;
        return 0;
    }
    return *c->at++;
}

static uint64_t take_varint(struct cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        unsigned b = take_byte(c);
        value |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            if (shift == 63 && b > 1)
                c->bad = true;
            return value;
        }
    }
    c->bad = true;
    return 0;
}

static void take_bytes(struct cursor *c, struct gmr__slice *to, uint64_t count, size_t most)
{
    *to = (struct gmr__slice){.bytes = c->at};
    if (c->cut || c->bad)
        return;
    if (count > most) {
        c->bad = true;
    } else if (count > (size_t)(c->end - c->at)) {
        c->cut = true;
    } else {
        to->count = (size_t)count;
        c->at += count;
    }
}

static void take_slice(struct cursor *c, struct gmr__slice *to, size_t most)
{
    uint64_t count = take_varint(c);
    take_bytes(c, to, count, most);
}

static void take_optional(struct cursor *c, struct gmr__slice *to, size_t most)
{
    uint64_t count = take_varint(c);
    if (count)
        take_bytes(c, to, count - 1, most);
    else
        *to = (struct gmr__slice){0};
}

static void take_cells(struct cursor *c, struct gmr__event *event, size_t most)
{
    uint64_t count = event->number[0] = take_varint(c);
    if (count == 0 || count > GMR__MAX_COLUMNS)
        c->bad = !c->cut;
    for (uint64_t i = 0; i < count && !c->bad && !c->cut; i++)
        take_slice(c, &event->slice[i], most);
}

static void take_section(struct cursor *c, struct gmr__event *event)
{
    take_optional(c, &event->slice[0], GMR__MAX_KEY);
    take_optional(c, &event->slice[1], GMR__MAX_KEY);
    event->number[0] = take_varint(c);
    event->number[1] = take_varint(c);
    for (int i = 0; i < GMR__STYLES; i++)
        take_optional(c, &event->slice[2 + i], GMR__MAX_STYLE);
}

static void take_doc(struct cursor *c, struct gmr__event *event)
{
    if (event->code == GMR__W_DOC &&
        (take_byte(c) != 'G' || take_byte(c) != 'M' || take_byte(c) != 'R' || take_byte(c) != GMR__WIRE_VERSION))
        c->bad = !c->cut;
    event->number[0] = take_varint(c);
    for (int i = 0; i < 6; i++)
        take_optional(c, &event->slice[i], 255);
}

static void take_scalar(struct cursor *c, struct gmr__event *event)
{
    static const unsigned char kinds[] = {
        [GMR__W_INT] = GMR__SCALAR_INT,      [GMR__W_UINT] = GMR__SCALAR_UINT,   [GMR__W_DOUBLE] = GMR__SCALAR_DOUBLE,
        [GMR__W_TRUE] = GMR__SCALAR_TRUE,    [GMR__W_FALSE] = GMR__SCALAR_FALSE, [GMR__W_NULL] = GMR__SCALAR_NULL,
        [GMR__W_SECRET] = GMR__SCALAR_SECRET};
    event->scalar.kind = kinds[event->code];
    if (event->code == GMR__W_INT) {
        uint64_t zigzag = take_varint(c);
        event->scalar.i = (int64_t)(zigzag >> 1 ^ (zigzag & 1 ? ~0ull : 0));
    } else if (event->code == GMR__W_UINT) {
        event->scalar.u = take_varint(c);
    } else if (event->code == GMR__W_DOUBLE) {
        uint64_t bits = 0;
        for (int i = 0; i < 8; i++)
            bits |= (uint64_t)take_byte(c) << 8 * i;
        __builtin_memcpy(&event->scalar.d, &bits, sizeof(bits));
    }
}

static void take_payload(struct cursor *c, struct gmr__event *event)
{
    switch (event->code) {
    case GMR__W_TABLE:
        take_cells(c, event, sizeof(((struct gmr_writer *)0)->columns));
        break;
    case GMR__W_ROW:
        take_cells(c, event, (size_t)GMR__TEXT_WIDTH * 4);
        break;
    case GMR__W_SECTION:
        take_section(c, event);
        break;
    case GMR__W_SECTION_END:
        event->number[0] = take_varint(c);
        take_optional(c, &event->slice[0], 511);
        take_optional(c, &event->slice[1], 511);
        break;
    case GMR__W_SLOT:
        take_optional(c, &event->slice[0], GMR__MAX_KEY);
        break;
    case GMR__W_COST:
        for (int i = 0; i < 5; i++)
            event->number[i] = take_varint(c);
        take_optional(c, &event->slice[0], 255);
        break;
    case GMR__W_DOC:
    case GMR__W_DOC_END:
        take_doc(c, event);
        break;
    default:
        if (event->code >= GMR__W_INT && event->code <= GMR__W_SECRET)
            take_scalar(c, event);
    }
}

long gmr__event_read(struct gmr__event *event, const unsigned char *at, size_t left)
{
    struct cursor c = {.at = at, .end = at + left};
    unsigned first = take_byte(&c);
    event->code = first & ~GMR__W_KEYED;
    event->key = (struct gmr__slice){0};
    if (c.cut)
        return 0;
    if (event->code < GMR__W_MAP || event->code > GMR__W_DOC_END)
        return -EBADMSG;
    if (first & GMR__W_KEYED)
        take_slice(&c, &event->key, GMR__MAX_KEY);
    if (!c.bad && !c.cut)
        take_payload(&c, event);
    if (c.bad)
        return -EBADMSG;
    return c.cut ? 0 : (long)(c.at - at);
}

long gmr__event_piece(const unsigned char *at, size_t left, uint64_t *count)
{
    struct cursor c = {.at = at, .end = at + left};
    *count = take_varint(&c);
    if (c.cut)
        return c.bad ? -EBADMSG : 0;
    return c.bad ? -EBADMSG : (long)(c.at - at);
}

const char *gmr__slice_text(const struct gmr__slice *slice, char *room, size_t cap)
{
    if (!slice->bytes)
        return NULL;
    size_t count = gmr__utf8_cut((const char *)slice->bytes, slice->count, cap - 1);
    gmr__memcpy(room, slice->bytes, count);
    room[count] = '\0';
    return room;
}

/* Cells and column names fit into a few KiB: what the text view shows of them. */
static int put_cells(struct gmr_writer *to, const struct gmr__event *event, const char *key)
{
    const char *cells[GMR__MAX_COLUMNS];
    char room[4096];
    size_t used = 0;
    for (uint64_t i = 0; i < event->number[0]; i++) {
        if (event->slice[i].count + 1 > sizeof(room) - used)
            return -EBADMSG;
        cells[i] = gmr__slice_text(&event->slice[i], room + used, sizeof(room) - used);
        used += event->slice[i].count + 1;
    }
    if (event->code == GMR__W_TABLE)
        return gmr_begin_table(to, key, cells, event->number[0]);
    return gmr_put_row(to, cells, event->number[0]);
}

int gmr__event_put(struct gmr_writer *to, const struct gmr__event *event)
{
    char room[GMR__MAX_KEY + 1];
    const char *key = gmr__slice_text(&event->key, room, sizeof(room));
    switch (event->code) {
    case GMR__W_MAP:
    case GMR__W_LIST:
    case GMR__W_ORDERED_LIST:
    case GMR__W_ORDERED_MAP:
        return gmr__begin(to, key, (enum gmr__container)event->code);
    case GMR__W_END:
        return to->depth ? gmr__end(to, 0) : -EINVAL;
    case GMR__W_STRING:
    case GMR__W_LINES:
        return gmr__string_begin(to, key, event->code == GMR__W_LINES, 0);
    case GMR__W_TABLE:
    case GMR__W_ROW:
        return put_cells(to, event, key);
    case GMR__W_TABLE_END:
        return gmr_end_table(to);
    case GMR__W_RAW:
        return 0;
    default:
        return event->code <= GMR__W_SECRET ? gmr__put_scalar(to, key, &event->scalar) : -EINVAL;
    }
}
