/*
 * view/wire_in_as.c - the receiving end of a wire: bytes as they come from a pipe or socket, turned into events on a writer.
 *
 * Both halves, async-signal-safe, constant memory. The sender may be dead, killed in the middle of an event, or hostile (a socket's owner
 * may lie): whatever comes, the writer stays consistent, because the front end checks each call and closes what is open.
 * Callers: report/ (the inspector's stream in libgmr), cli/ (the control socket's stream in gmr report).
 */
#include <errno.h>

#include "view/wire.h"

#define PENDING 8192 /* no event is longer, its string's slices aside */
#define HELD 1024    /* a string's first bytes come with it: half a name, or a number cut short, would be a wrong one */

struct gmr__wire_in {
    struct gmr_writer *to;
    struct gmr__wire_handlers handlers;
    int error;
    bool begun, ended;
    enum gmr__wire_code pieces; /* the string or raw text that is open, 0 */
    uint64_t piece_left;
    struct gmr__doc doc; /* points into text */
    char text[6][256];
    struct gmr__cost cost;
    bool cost_known;
    size_t have;
    unsigned char pending[PENDING];
    struct gmr__event event;
    char name[GMR__MAX_KEY + 1], title[GMR__MAX_KEY + 1], style[GMR__STYLES][GMR__MAX_STYLE + 1];
};

size_t gmr__wire_in_size(void)
{
    return sizeof(struct gmr__wire_in);
}

struct gmr__wire_in *gmr__wire_in_init(void *place, size_t place_bytes, struct gmr_writer *to,
                                       const struct gmr__wire_handlers *handlers)
{
    struct gmr__wire_in *in = place;
    if (place_bytes < sizeof(*in) || (uintptr_t)place % _Alignof(struct gmr__wire_in))
        return NULL;
    gmr__memset(in, 0, sizeof(*in));
    in->to = to;
    if (handlers)
        in->handlers = *handlers;
    return in;
}

static int on_doc(struct gmr__wire_in *in)
{
    const struct gmr__event *e = &in->event;
    const char **fields[] = {&in->doc.id,      &in->doc.service, &in->doc.host,
                             &in->doc.trigger, &in->doc.time,    &in->doc.method};
    bool end = e->code == GMR__W_DOC_END;
    if (in->to->in_section)
        return -EBADMSG;
    in->doc.pid = e->number[0] <= INT32_MAX ? (int)e->number[0] : 0;
    for (int i = 0; i < 6; i++)
        *fields[i] = gmr__slice_text(&e->slice[i], in->text[i], sizeof(in->text[i]));
    if (in->handlers.doc)
        in->handlers.doc(in->handlers.userdata, &in->doc);
    in->begun = true;
    in->ended = end;
    if (!in->handlers.forward_doc)
        return 0;
    return end ? gmr__doc_end(in->to, &in->doc, in->cost_known ? &in->cost : NULL) : gmr__doc_begin(in->to, &in->doc);
}

static int on_section(struct gmr__wire_in *in)
{
    const struct gmr__event *e = &in->event;
    const char *style[GMR__STYLES];
    for (int i = 0; i < GMR__STYLES; i++)
        style[i] = gmr__slice_text(&e->slice[2 + i], in->style[i], sizeof(in->style[i]));
    struct gmr__section_head head = {
        .name = gmr__slice_text(&e->slice[0], in->name, sizeof(in->name)),
        .title = gmr__slice_text(&e->slice[1], in->title, sizeof(in->title)),
        .shape = e->number[0] == GMR__SHAPE_LIST ? GMR__SHAPE_LIST : GMR__SHAPE_MAP,
        .flags = (unsigned)e->number[1] & (GMR__SECTION_OWN | GMR__SECTION_STRUCTURED | GMR__SECTION_SORTED),
        .style = {style[STYLE_INDENT], style[STYLE_KEY_SEP], style[STYLE_DICT_SEP], style[STYLE_LIST_SEP],
                  style[STYLE_ANON_DICT], style[STYLE_BEFORE_DICT], style[STYLE_BEFORE_LIST]},
    };
    return gmr__section_begin(in->to, &head);
}

static int on_section_end(struct gmr__wire_in *in)
{
    const struct gmr__event *e = &in->event;
    char reason[512], next_step[512];
    if (!in->to->in_section)
        return -EBADMSG;
    enum gmr__status status = e->number[0] <= GMR__ABSENT ? (enum gmr__status)e->number[0] : GMR__FAILED;
    int r = gmr__section_end(in->to, status, gmr__slice_text(&e->slice[0], reason, sizeof(reason)),
                             gmr__slice_text(&e->slice[1], next_step, sizeof(next_step)));
    if (in->handlers.section_done)
        in->handlers.section_done(in->handlers.userdata, in->name, status);
    return r;
}

static int on_cost(struct gmr__wire_in *in)
{
    const struct gmr__event *e = &in->event;
    char method[256];
    in->cost = (struct gmr__cost){.known_pause = e->number[0],
                                  .wall_ns = e->number[1],
                                  .pause_max_ns = e->number[2],
                                  .pause_median_ns = e->number[3],
                                  .copied_bytes = e->number[4]};
    in->cost_known = true;
    const char *text = gmr__slice_text(&e->slice[0], method, sizeof(method));
    if (in->handlers.cost)
        in->handlers.cost(in->handlers.userdata, &in->cost, text);
    return 0;
}

static int on_slot(struct gmr__wire_in *in)
{
    const char *name = gmr__slice_text(&in->event.slice[0], in->name, sizeof(in->name));
    if (!name || in->to->in_section)
        return -EBADMSG;
    return in->handlers.slot ? in->handlers.slot(in->handlers.userdata, name) : 0;
}

/* A section that breaks the rules is cut short by the front end, which says so in its status; the stream goes on. */
static int body_result(const struct gmr__wire_in *in, int r)
{
    return r && in->to->in_section && !in->to->error ? 0 : r;
}

static int dispatch(struct gmr__wire_in *in)
{
    const struct gmr__event *e = &in->event;
    if (in->ended || (e->code == GMR__W_DOC) == in->begun)
        return -EBADMSG;
    switch (e->code) {
    case GMR__W_DOC:
    case GMR__W_DOC_END:
        return on_doc(in);
    case GMR__W_SECTION:
        return on_section(in);
    case GMR__W_SECTION_END:
        return on_section_end(in);
    case GMR__W_COST:
        return on_cost(in);
    case GMR__W_SLOT:
        return on_slot(in);
    default:
        if (!in->to->in_section)
            return -EBADMSG;
        if (gmr__code_has_pieces(e->code))
            in->pieces = e->code;
        return body_result(in, gmr__event_put(in->to, e));
    }
}

/* Bytes of an open string. Returns how many it took. */
static size_t pour(struct gmr__wire_in *in, const unsigned char *at, size_t count)
{
    size_t piece = count < in->piece_left ? count : (size_t)in->piece_left;
    if (in->pieces == GMR__W_RAW)
        gmr__raw(in->to, (const char *)at, piece);
    else
        gmr__string_bytes(in->to, (const char *)at, piece);
    in->piece_left -= piece;
    return piece;
}

/* The next slice of an open string, or its end. */
static long next_piece(struct gmr__wire_in *in, const unsigned char *at, size_t left)
{
    long n = gmr__event_piece(at, left, &in->piece_left);
    if (n > 0 && !in->piece_left) {
        if (in->pieces != GMR__W_RAW)
            gmr__string_end(in->to);
        in->pieces = 0;
    }
    return n;
}

/* Behind the event of a string, what is taken with it: its first slice, of a long one the count; 0: there is none, -1: not all is here. */
static long first_slice(const struct gmr__wire_in *in, const unsigned char *at, size_t left)
{
    uint64_t count;
    if (!gmr__code_has_pieces(in->event.code) || in->event.code == GMR__W_RAW)
        return 0;
    long n = gmr__event_piece(at, left, &count);
    if (n <= 0)
        return n == 0 ? -1 : 0; /* what is no slice is found out when it is poured */
    if (count > HELD)
        return n;
    return left - (size_t)n < count ? -1 : n + (long)count;
}

/* One step on contiguous bytes: what it took, 0 if it needs more, negative on error. */
static long step(struct gmr__wire_in *in, const unsigned char *at, size_t left)
{
    if (in->piece_left)
        return (long)pour(in, at, left);
    if (in->pieces)
        return next_piece(in, at, left);
    long n = gmr__event_read(&in->event, at, left);
    if (n <= 0)
        return n;
    long held = first_slice(in, at + n, left - (size_t)n);
    if (held < 0)
        return 0;
    int r = dispatch(in);
    if (r == -EINVAL && !in->to->error)
        r = -EBADMSG;
    if (r < 0)
        return r;
    if (held) {
        long mark = next_piece(in, at + n, (size_t)held);
        if (held > mark)
            pour(in, at + n + mark, (size_t)(held - mark));
    }
    return n + held;
}

static int fail(struct gmr__wire_in *in, int error)
{
    in->error = error;
    return error;
}

/* The pending bytes, cut in the middle of an event, with as many new ones as fit. Returns how many new ones were used. */
static long feed_pending(struct gmr__wire_in *in, const unsigned char *at, size_t left)
{
    size_t old = in->have, room = PENDING - in->have;
    size_t add = left < room ? left : room;
    gmr__memcpy(in->pending + old, at, add);
    long n = step(in, in->pending, old + add);
    if (n < 0)
        return n;
    if (n == 0) {
        in->have = old + add;
        return add < left ? -EBADMSG : (long)add; /* an event longer than any */
    }
    in->have = 0;
    return n - (long)old; /* at least one new byte: the old ones alone were too few */
}

int gmr__wire_feed(struct gmr__wire_in *in, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    if (in->error)
        return in->error;
    while (count) {
        long n = in->have ? feed_pending(in, at, count) : step(in, at, count);
        if (n < 0)
            return fail(in, (int)n);
        if (n == 0) {
            if (count > PENDING)
                return fail(in, -EBADMSG);
            gmr__memcpy(in->pending, at, count);
            in->have = count;
            return 0;
        }
        at += n;
        count -= (size_t)n;
    }
    return 0;
}

int gmr__wire_finish(struct gmr__wire_in *in, const char *reason)
{
    int r = in->error;
    if (!r && !(in->ended && !in->have))
        r = in->have || in->begun ? -EPIPE : -EBADMSG;
    if (!r)
        return 0;
    if (in->to->in_section) {
        if (in->piece_left && in->pieces != GMR__W_RAW)
            gmr__string_bytes(in->to, "...", 3);
        gmr__section_end(in->to, GMR__PARTIAL, reason ? reason : "the process that wrote it stopped in the middle",
                         NULL);
        if (in->handlers.section_done)
            in->handlers.section_done(in->handlers.userdata, in->name, GMR__PARTIAL);
    }
    if (in->handlers.forward_doc && in->begun && !in->ended)
        gmr__doc_end(in->to, &in->doc, in->cost_known ? &in->cost : NULL);
    in->ended = true;
    return r;
}
