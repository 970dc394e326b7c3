/*
 * view/generic.c - gmr_render: a generator's data in one of oslo.reports' generic views, outside a report.
 *
 * The target's half, on the caller's thread; allocates. Nothing of a report comes by here, so nothing here needs to
 * survive a sick process. The generator writes its events into an arena, which is then replayed sorted into the view.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gmr/view.h"
#include "sys/grow.h"
#include "view/pystr.h"

struct grown {
    struct gmr__sink sink;
    unsigned char *bytes;
    size_t used, cap;
};

static int grown_write(struct gmr__sink *sink, const void *bytes, size_t count)
{
    struct grown *to = (struct grown *)sink;
    if (!GMR__GROW(to->bytes, to->cap, to->used + count + 1)) /* one byte for a NUL */
        return -ENOMEM;
    memcpy(to->bytes + to->used, bytes, count);
    to->used += count;
    to->bytes[to->used] = '\0';
    return 0;
}

static struct gmr_writer *writer_new(int view, int final_view, struct gmr__sink *sink)
{
    struct gmr_writer *w = malloc(sizeof(*w));
    return w ? gmr__writer_init(w, sizeof(*w), view, final_view, sink) : NULL;
}

struct render {
    const struct gmr_render_options *layout;
    const unsigned char *events; /* of the part that is rendered */
    size_t event_bytes;
    struct gmr__sink *to;
    int view;
};

static int replay(struct gmr_writer *w, const struct render *r, const unsigned char *events, size_t bytes)
{
    if (r->layout->flags & GMR_SECTION_KEEP_ORDER)
        return gmr__replay(w, events, bytes);
    size_t scratch_bytes = bytes * sizeof(uint32_t);
    void *scratch = malloc(scratch_bytes ? scratch_bytes : 1);
    if (!scratch)
        return -ENOMEM;
    int error = gmr__replay_sorted(w, events, bytes, scratch, scratch_bytes);
    free(scratch);
    return error;
}

/* Map members as text, JSON or XML, with what the view wants around them. */
static int render_map(const struct render *r, const unsigned char *events, size_t bytes)
{
    struct gmr_writer *w = writer_new(r->view, r->view, r->to);
    if (!w)
        return -ENOMEM;
    w->bare = true;
    w->flat_table = r->layout->kind == GMR_RENDER_TABLE;
    gmr__writer_style(w, &r->layout->style);
    gmr__bare_begin(w, r->layout->xml_name ? r->layout->xml_name : "model");
    int error = replay(w, r, events, bytes);
    gmr__writer_close(w);
    gmr__bare_end(w);
    gmr__writer_flush(w);
    error = w->error ? w->error : error < 0 ? error : 0;
    free(w);
    return error;
}

static int put_pystr(struct gmr_writer *w, const unsigned char *value, const unsigned char *end)
{
    struct gmr__pystr text;
    gmr__pystr_init(&text, value, end);
    for (int c; (c = gmr__pystr_next(&text)) >= 0;) {
        char byte = (char)c;
        if (c == '\n')
            gmr__out(w, &byte, 1);
        else
            gmr__escape_piece(w, GMR__ESCAPE_TEXT, &byte, 1, NULL);
    }
    gmr__escape_end(w, GMR__ESCAPE_TEXT);
    return gmr__writer_flush(w);
}

/* A member's own text: a map as key/value lines, anything else as Python prints it. */
static int member_text(const struct render *r, const unsigned char *at, const unsigned char *end, struct gmr__sink *to)
{
    struct gmr__event e;
    struct render part = *r;
    long n = gmr__event_read(&e, at, (size_t)(end - at));
    part.to = to;
    /* without the map's end, which is one byte */
    if (n > 0 && n < end - at && e.code == GMR__W_MAP && r->layout->kind == GMR_RENDER_MULTI)
        return render_map(&part, at + n, (size_t)(end - at - n - 1));
    struct gmr_writer *w = writer_new(GMR_VIEW_TEXT, GMR_VIEW_TEXT, to);
    if (!w)
        return -ENOMEM;
    int error = put_pystr(w, at, end);
    free(w);
    return error;
}

struct member {
    struct grown key, text;
};

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return strcmp(x->key.bytes ? (const char *)x->key.bytes : "", y->key.bytes ? (const char *)y->key.bytes : "");
}

static int by_text(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return strcmp(x->text.bytes ? (const char *)x->text.bytes : "", y->text.bytes ? (const char *)y->text.bytes : "");
}

static size_t count_members(const struct render *r)
{
    const unsigned char *end = r->events + r->event_bytes;
    size_t count = 0;
    for (const unsigned char *at = r->events; at < end; at = gmr__past_child(at, end))
        count++;
    return count;
}

static int collect(const struct render *r, struct member *members)
{
    const unsigned char *end = r->events + r->event_bytes;
    int error = 0;
    for (const unsigned char *at = r->events; at < end && !error; members++) {
        const unsigned char *next = gmr__past_child(at, end);
        struct gmr__event e;
        gmr__event_read(&e, at, (size_t)(end - at));
        members->key.sink.write = members->text.sink.write = grown_write;
        error = member_text(r, at, next, &members->text.sink);
        if (!error)
            error = grown_write(&members->key.sink, e.key.bytes, e.key.count);
        at = next;
    }
    return error;
}

static int put_members(const struct render *r, const struct member *members, size_t count)
{
    bool basic = r->layout->kind == GMR_RENDER_BASIC;
    struct gmr_writer *w = writer_new(GMR_VIEW_TEXT, GMR_VIEW_TEXT, r->to);
    if (!w)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (basic) {
            gmr__escape_whole(w, GMR__ESCAPE_TEXT, (const char *)members[i].key.bytes);
            gmr__out_str(w, " = ");
        } else if (i) {
            gmr__out_str(w, "\n");
        }
        gmr__out(w, (const char *)members[i].text.bytes, members[i].text.used);
        gmr__out_str(w, basic ? "\n" : "");
    }
    int error = gmr__writer_flush(w);
    free(w);
    return error;
}

/* The two views that treat a member as a text of its own. */
static int render_members(const struct render *r)
{
    size_t count = count_members(r);
    struct member *members = calloc(count ? count : 1, sizeof(*members));
    if (!members)
        return -ENOMEM;
    int error = collect(r, members);
    if (!error && !(r->layout->flags & GMR_SECTION_KEEP_ORDER))
        qsort(members, count, sizeof(*members), r->layout->kind == GMR_RENDER_BASIC ? by_key : by_text);
    if (!error)
        error = put_members(r, members, count);
    for (size_t i = 0; i < count; i++) {
        free(members[i].key.bytes);
        free(members[i].text.bytes);
    }
    free(members);
    return error;
}

static int put_header(const struct render *r)
{
    const struct gmr_render_options *layout = r->layout;
    if (r->view != GMR_VIEW_TEXT || (!layout->title && !layout->header))
        return 0;
    struct gmr_writer *w = writer_new(GMR_VIEW_TEXT, GMR_VIEW_TEXT, r->to);
    if (!w)
        return -ENOMEM;
    if (layout->title)
        gmr__text_banner(w, layout->title);
    if (layout->header) {
        gmr__escape_whole(w, GMR__ESCAPE_TEXT, layout->header);
        gmr__out_str(w, "\n");
    }
    int error = gmr__writer_flush(w);
    free(w);
    return error;
}

/* The generator's events in memory, and how it ended. */
static int run_generator(struct grown *arena, int view, gmr_generator generator, void *userdata)
{
    struct gmr_writer *w = writer_new(GMR__VIEW_WIRE, view, &arena->sink);
    if (!w)
        return -ENOMEM;
    int result = generator(w, userdata);
    gmr__writer_close(w);
    gmr__writer_flush(w);
    int error = gmr__writer_section_error(w);
    free(w);
    return error == -ENOMEM ? error : result < 0 ? result : error;
}

static int render(const struct gmr_render_options *layout, gmr_generator generator, void *userdata,
                  struct gmr__sink *to)
{
    struct gmr_render_options full = {0};
    if (!layout || !generator || layout->size < offsetof(struct gmr_render_options, title))
        return -EINVAL;
    memcpy(&full, layout, layout->size < sizeof(full) ? layout->size : sizeof(full));
    if (full.kind < GMR_RENDER_KEY_VALUE || full.kind > GMR_RENDER_XML)
        return -EINVAL;
    struct grown arena = {.sink.write = grown_write};
    struct render r = {.layout = &full, .to = to, .view = GMR_VIEW_TEXT};
    if (full.kind == GMR_RENDER_JSON || full.kind == GMR_RENDER_XML)
        r.view = full.kind == GMR_RENDER_JSON ? GMR_VIEW_JSON : GMR_VIEW_XML;
    int result = run_generator(&arena, r.view, generator, userdata);
    if (result != -ENOMEM) {
        r.events = arena.bytes ? arena.bytes : (const unsigned char *)"";
        r.event_bytes = arena.used;
        int error = put_header(&r);
        if (!error && (full.kind == GMR_RENDER_BASIC || full.kind == GMR_RENDER_MULTI))
            error = render_members(&r);
        else if (!error)
            error = render_map(&r, r.events, r.event_bytes);
        result = error ? error : result;
    }
    free(arena.bytes);
    return result;
}

int gmr_render(int fd, const struct gmr_render_options *layout, gmr_generator generator, void *userdata)
{
    struct gmr__sink_fd sink;
    gmr__sink_fd_init(&sink, fd, 0);
    return render(layout, generator, userdata, &sink.sink);
}

int gmr_render_text(char **text, size_t *bytes, const struct gmr_render_options *layout, gmr_generator generator,
                    void *userdata)
{
    struct grown to = {.sink.write = grown_write};
    if (!text)
        return -EINVAL;
    *text = NULL;
    int result = grown_write(&to.sink, "", 0);
    if (!result)
        result = render(layout, generator, userdata, &to.sink);
    if (result == -ENOMEM || (result && !to.used)) {
        free(to.bytes);
        return result;
    }
    *text = (char *)to.bytes;
    if (bytes)
        *bytes = to.used;
    return result;
}
