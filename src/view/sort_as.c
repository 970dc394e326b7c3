/*
 * view/sort_as.c - one section's events, replayed from an arena in the order in which oslo.reports shows them.
 *
 * Both halves, async-signal-safe. The arena was written by the program's own generator on another thread, which may have been stopped
 * anywhere: first it is walked through and its whole part found; only that is replayed. Sorting is a heapsort over the
 * children's places (no recursion, no memory but the index); equal ones stay in the order written, as Python's sort is
 * stable. Callers: report/ (own sections, configuration), the generic views.
 */
#include <errno.h>

#include "view/pystr.h"

struct replay {
    struct gmr_writer *to;
    const unsigned char *base, *end;
    uint32_t *index;
    size_t index_cap, index_used;
    bool sort_maps, sort_lists;
    int mask;
    struct gmr__event event; /* of put_child: not on the stack, which is small and goes 64 levels deep here */
};

/* Past an event and its string's slices; NULL if the arena ends before. */
static const unsigned char *past_event(const unsigned char *at, const unsigned char *end, struct gmr__event *e,
                                       int *error)
{
    long n = gmr__event_read(e, at, (size_t)(end - at));
    if (n <= 0) {
        *error = (int)n;
        return NULL;
    }
    at += n;
    while (gmr__code_has_pieces(e->code)) {
        uint64_t count;
        n = gmr__event_piece(at, (size_t)(end - at), &count);
        if (n <= 0 || count > (uint64_t)(end - at - n)) {
            *error = n < 0 ? (int)n : 0;
            return NULL;
        }
        at += n + (long)count;
        if (!count)
            break;
    }
    return at;
}

/* Past a whole child: a value, or a container or table with all that is in it. Only for what check() has walked through. */
const unsigned char *gmr__past_child(const unsigned char *at, const unsigned char *end)
{
    struct gmr__event e;
    unsigned depth = 0;
    int error = 0;
    do {
        at = past_event(at, end, &e, &error);
        if (!at)
            return end;
        if (gmr__code_opens(e.code) || e.code == GMR__W_TABLE)
            depth++;
        else if (e.code == GMR__W_END || e.code == GMR__W_TABLE_END)
            depth -= depth > 0;
    } while (depth && at < end);
    return at;
}

/* The arena's part that can be replayed: where it ends, whether it was cut. */
static int check(struct replay *r)
{
    const unsigned char *at = r->base;
    struct gmr__event e;
    unsigned depth = 0;
    int error = 0;
    while (at < r->end) {
        const unsigned char *next = past_event(at, r->end, &e, &error);
        if (!next || e.code > GMR__W_RAW || (e.code == GMR__W_END && !depth)) {
            r->end = at;
            r->mask |= GMR__REPLAY_CUT;
            return error || next ? -EBADMSG : 0;
        }
        if (gmr__code_opens(e.code) && ++depth > GMR__MAX_DEPTH)
            return -EBADMSG;
        depth -= e.code == GMR__W_END;
        at = next;
    }
    if (depth)
        r->mask |= GMR__REPLAY_CUT;
    return 0;
}

static int compare_keys(const struct gmr__slice *a, const struct gmr__slice *b)
{
    size_t shorter = a->count < b->count ? a->count : b->count;
    int side = gmr__memcmp(a->bytes, b->bytes, shorter);
    return side ? side : a->count < b->count ? -1 : a->count > b->count;
}

/* UTF-8 compares by bytes as its code points do. */
static int compare(const struct replay *r, bool map, uint32_t a, uint32_t b)
{
    int side;
    if (map) {
        struct gmr__event x, y;
        gmr__event_read(&x, r->base + a, (size_t)(r->end - r->base - a));
        gmr__event_read(&y, r->base + b, (size_t)(r->end - r->base - b));
        side = compare_keys(&x.key, &y.key);
    } else {
        struct gmr__pystr x, y;
        int c, d;
        gmr__pystr_init(&x, r->base + a, r->end);
        gmr__pystr_init(&y, r->base + b, r->end);
        do {
            c = gmr__pystr_next(&x);
            d = gmr__pystr_next(&y);
        } while (c == d && c >= 0);
        side = c < d ? -1 : c > d;
    }
    return side ? side : a < b ? -1 : a > b;
}

static void sift(const struct replay *r, bool map, uint32_t *item, size_t root, size_t count)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(r, map, item[child], item[child + 1]) < 0)
            child++;
        if (compare(r, map, item[root], item[child]) >= 0)
            return;
        uint32_t swap = item[root];
        item[root] = item[child];
        item[child] = swap;
    }
}

static void heapsort_children(const struct replay *r, bool map, uint32_t *item, size_t count)
{
    for (size_t root = count / 2; root-- > 0;)
        sift(r, map, item, root, count);
    for (size_t last = count; last-- > 1;) {
        uint32_t swap = item[0];
        item[0] = item[last];
        item[last] = swap;
        sift(r, map, item, 0, last);
    }
}

static int put_pieces(struct replay *r, const unsigned char *at, enum gmr__wire_code code)
{
    uint64_t count;
    long n;
    while ((n = gmr__event_piece(at, (size_t)(r->end - at), &count)) > 0 && count) {
        at += n;
        if (code == GMR__W_RAW)
            gmr__raw(r->to, (const char *)at, (size_t)count);
        else
            gmr__string_bytes(r->to, (const char *)at, (size_t)count);
        at += count;
    }
    return code == GMR__W_RAW ? r->to->error : gmr__string_end(r->to);
}

static int put_children(struct replay *r, const unsigned char *at, bool map, bool sort);

static int put_rows(struct replay *r, const unsigned char *at)
{
    struct gmr__event *e = &r->event;
    do {
        long n = gmr__event_read(e, at, (size_t)(r->end - at));
        if (n <= 0)
            return gmr_end_table(r->to);
        at += n;
        int error = gmr__event_put(r->to, e);
        if (error)
            return error;
    } while (e->code == GMR__W_ROW);
    return 0;
}

/* A child at `at`, and what is within it. */
static int put_child(struct replay *r, const unsigned char *at)
{
    struct gmr__event *e = &r->event;
    long n = gmr__event_read(e, at, (size_t)(r->end - at));
    if (n <= 0)
        return 0;
    int error = gmr__event_put(r->to, e);
    if (error)
        return error;
    at += n;
    if (gmr__code_has_pieces(e->code))
        return put_pieces(r, at, e->code);
    if (e->code == GMR__W_TABLE)
        return put_rows(r, at);
    if (!gmr__code_opens(e->code))
        return 0;
    bool map = e->code == GMR__W_MAP || e->code == GMR__W_ORDERED_MAP;
    bool sort = e->code == GMR__W_MAP ? r->sort_maps : e->code == GMR__W_LIST && r->sort_lists;
    error = put_children(r, at, map, sort);
    return error ? error : gmr__end(r->to, 0);
}

static bool at_end(const struct replay *r, const unsigned char *at)
{
    return at >= r->end || (*at & ~GMR__W_KEYED) == GMR__W_END;
}

/* The children from `at` up to their container's end. The index is a stack: each level takes the room behind its parent's. */
static int put_children(struct replay *r, const unsigned char *at, bool map, bool sort)
{
    size_t first = r->index_used, count = 0;
    int error = 0;
    const unsigned char *child = at;
    for (; sort && !at_end(r, child) && first + count < r->index_cap; child = gmr__past_child(child, r->end))
        r->index[first + count++] = (uint32_t)(child - r->base);
    if (sort && at_end(r, child)) {
        heapsort_children(r, map, r->index + first, count);
        r->index_used += count;
        for (size_t i = 0; i < count && !error; i++)
            error = put_child(r, r->base + r->index[first + i]);
        r->index_used = first;
        return error;
    }
    if (sort)
        r->mask |= GMR__REPLAY_UNSORTED;
    for (child = at; !at_end(r, child) && !error; child = gmr__past_child(child, r->end))
        error = put_child(r, child);
    return error;
}

static int run(struct replay *r)
{
    if (r->end - r->base > (long)UINT32_MAX)
        return -EBADMSG;
    bool map = r->to->container[0] == GMR__MAP, top = r->to->depth == 0;
    int broken = check(r);
    int error = put_children(r, r->base, !top || map, top && (map ? r->sort_maps : r->sort_lists));
    if (error && !r->to->error)
        error = gmr__writer_section_error(r->to) == -EMSGSIZE ? -EMSGSIZE : -EBADMSG;
    return error ? error : broken ? broken : r->mask;
}

/* No events may come with no address. */
static struct replay replay_of(struct gmr_writer *to, const void *events, size_t event_bytes)
{
    const unsigned char *base = event_bytes ? events : (const unsigned char *)"";
    return (struct replay){.to = to, .base = base, .end = base + event_bytes};
}

int gmr__replay_sorted(struct gmr_writer *to, const void *events, size_t event_bytes, void *scratch,
                       size_t scratch_bytes)
{
    struct replay r = replay_of(to, events, event_bytes);
    r.index = scratch;
    r.index_cap = scratch && !((uintptr_t)scratch % _Alignof(uint32_t)) ? scratch_bytes / sizeof(uint32_t) : 0;
    r.sort_maps = true;
    r.sort_lists = to->final_view != GMR_VIEW_JSON;
    return run(&r);
}

int gmr__replay(struct gmr_writer *to, const void *events, size_t event_bytes)
{
    struct replay r = replay_of(to, events, event_bytes);
    return run(&r);
}
