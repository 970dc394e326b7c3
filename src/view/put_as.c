/*
 * view/put_as.c - what a section calls to write: the public gmr_begin_map, gmr_put_string and so on.
 *
 * Both halves, async-signal-safe. Checks every call (nesting, keys, budget) so that the views behind need not, and latches the first
 * call that does not fit: what follows is harmless and says the same. Callers: generators, section/, the wire's decoder.
 */
#include <errno.h>

#include "view/view.h"

#define MAX_FORMATTED ((size_t)1 << 30)

static int latch(struct gmr_writer *w, int error)
{
    if (!w->section_error)
        w->section_error = error;
    return error;
}

/* May a value with this key come now? cost: its size against the budget. */
int gmr__enter(struct gmr_writer *w, const char *key, size_t cost)
{
    if (!w)
        return -EINVAL;
    if (w->error || w->section_error)
        return w->error ? w->error : w->section_error;
    if (!(w->in_section || w->bare) || w->in_string || w->in_table)
        return latch(w, -EINVAL);
    bool map = w->container[w->depth] == GMR__MAP || w->container[w->depth] == GMR__ORDERED_MAP;
    if (map != (key != NULL))
        return latch(w, -EINVAL);
    w->spent += cost + (key ? gmr__strlen(key) : 0) + 4;
    if (w->budget && w->spent > w->budget)
        return latch(w, -EMSGSIZE);
    return 0;
}

const char *gmr__key(const char *key, char room[GMR__MAX_KEY + 1])
{
    size_t count = key ? gmr__strlen(key) : 0;
    if (count <= GMR__MAX_KEY)
        return key;
    count = gmr__utf8_cut(key, count, GMR__MAX_KEY - 3);
    gmr__memcpy(room, key, count);
    gmr__memcpy(room + count, "...", 4);
    return room;
}

/* After a child was written: its container is not empty any more. */
static int done(struct gmr_writer *w, unsigned level)
{
    w->any[level] = true;
    gmr__out_event(w);
    return w->error;
}

int gmr__begin(struct gmr_writer *w, const char *key, enum gmr__container container)
{
    char room[GMR__MAX_KEY + 1];
    int r = gmr__enter(w, key, 0);
    if (r)
        return r;
    if (w->depth == GMR__MAX_DEPTH)
        return latch(w, -EINVAL);
    if (!w->skip)
        w->ops->begin(w, gmr__key(key, room), container);
    w->any[w->depth] = true;
    w->depth++;
    w->container[w->depth] = (unsigned char)container;
    w->any[w->depth] = false;
    gmr__out_event(w);
    return w->error;
}

/* kind: GMR__MAP or GMR__LIST must be what is open; 0: whatever is, even after an error. */
int gmr__end(struct gmr_writer *w, enum gmr__container kind)
{
    if (!w)
        return -EINVAL;
    if (kind && (w->error || w->section_error))
        return w->error ? w->error : w->section_error;
    enum gmr__container open = w->container[w->depth];
    bool is_map = open == GMR__MAP || open == GMR__ORDERED_MAP;
    if (w->in_string || w->in_table || !w->depth || (kind && is_map != (kind == GMR__MAP)))
        return latch(w, -EINVAL);
    w->depth--;
    if (!w->skip)
        w->ops->end(w, open);
    gmr__out_event(w);
    return w->error;
}

int gmr_begin_map(struct gmr_writer *writer, const char *key)
{
    return gmr__begin(writer, key, GMR__MAP);
}

int gmr_end_map(struct gmr_writer *writer)
{
    return gmr__end(writer, GMR__MAP);
}

int gmr_begin_list(struct gmr_writer *writer, const char *key)
{
    return gmr__begin(writer, key, GMR__LIST);
}

int gmr_end_list(struct gmr_writer *writer)
{
    return gmr__end(writer, GMR__LIST);
}

int gmr__put_scalar(struct gmr_writer *w, const char *key, const struct gmr__scalar *value)
{
    char room[GMR__MAX_KEY + 1];
    int r = gmr__enter(w, key, 8);
    if (r)
        return r;
    if (!w->skip)
        w->ops->scalar(w, gmr__key(key, room), value);
    return done(w, w->depth);
}

int gmr__string_begin(struct gmr_writer *w, const char *key, bool multiline, size_t bytes)
{
    char room[GMR__MAX_KEY + 1];
    int r = gmr__enter(w, key, bytes);
    if (r)
        return r;
    if (!w->skip)
        w->ops->string_begin(w, gmr__key(key, room), multiline, bytes);
    w->in_string = true;
    w->string_multiline = multiline;
    return w->error;
}

int gmr__string_bytes(struct gmr_writer *w, const char *bytes, size_t count)
{
    if (!w->in_string)
        return -EINVAL;
    if (!w->skip)
        w->ops->string_bytes(w, bytes, count);
    return w->error;
}

int gmr__string_end(struct gmr_writer *w)
{
    if (!w->in_string)
        return -EINVAL;
    if (!w->skip)
        w->ops->string_end(w);
    w->in_string = false;
    return done(w, w->depth);
}

int gmr_put_bytes(struct gmr_writer *writer, const char *key, const void *value, size_t value_bytes)
{
    if (!writer || (!value && value_bytes))
        return writer ? latch(writer, -EINVAL) : -EINVAL;
    const char *text = value;
    bool multiline = false;
    for (size_t i = 0; i < value_bytes && !multiline; i++)
        multiline = text[i] == '\n';
    int r = gmr__string_begin(writer, key, multiline, value_bytes);
    if (r)
        return r;
    if (writer->filter)
        gmr__filter_bytes(writer, text, value_bytes);
    else
        gmr__string_bytes(writer, text, value_bytes);
    return gmr__string_end(writer);
}

int gmr_put_string(struct gmr_writer *writer, const char *key, const char *value)
{
    return value ? gmr_put_bytes(writer, key, value, gmr__strlen(value)) : gmr_put_null(writer, key);
}

int gmr_put_int(struct gmr_writer *writer, const char *key, int64_t value)
{
    return gmr__put_scalar(writer, key, &(struct gmr__scalar){.kind = GMR__SCALAR_INT, .i = value});
}

int gmr_put_uint(struct gmr_writer *writer, const char *key, uint64_t value)
{
    return gmr__put_scalar(writer, key, &(struct gmr__scalar){.kind = GMR__SCALAR_UINT, .u = value});
}

int gmr_put_double(struct gmr_writer *writer, const char *key, double value)
{
    return gmr__put_scalar(writer, key, &(struct gmr__scalar){.kind = GMR__SCALAR_DOUBLE, .d = value});
}

int gmr_put_bool(struct gmr_writer *writer, const char *key, bool value)
{
    return gmr__put_scalar(writer, key, &(struct gmr__scalar){.kind = value ? GMR__SCALAR_TRUE : GMR__SCALAR_FALSE});
}

int gmr_put_null(struct gmr_writer *writer, const char *key)
{
    return gmr__put_scalar(writer, key, &(struct gmr__scalar){.kind = GMR__SCALAR_NULL});
}

int gmr_put_secret(struct gmr_writer *writer, const char *key)
{
    return gmr__put_scalar(writer, key, &(struct gmr__scalar){.kind = GMR__SCALAR_SECRET});
}

struct measure {
    size_t bytes;
    bool newline;
};

static void measure_put(void *userdata, const char *bytes, size_t count)
{
    struct measure *m = userdata;
    for (size_t i = 0; i < count && !m->newline; i++)
        m->newline = bytes[i] == '\n';
    m->bytes += count;
}

static void pour_put(void *userdata, const char *bytes, size_t count)
{
    gmr__string_bytes(userdata, bytes, count);
}

int gmr_put_vformat(struct gmr_writer *writer, const char *key, const char *format, va_list arguments)
{
    if (!writer || !format)
        return writer ? latch(writer, -EINVAL) : -EINVAL;
    struct measure m = {0};
    va_list again;
    va_copy(again, arguments);
    gmr__vformat(measure_put, &m, format, again);
    va_end(again);
    if (m.bytes > MAX_FORMATTED)
        return latch(writer, -EMSGSIZE);
    int r = gmr__string_begin(writer, key, m.newline, m.bytes);
    if (r)
        return r;
    if (writer->filter)
        gmr__filter_vformat(writer, m.bytes, format, arguments);
    else
        gmr__vformat(pour_put, writer, format, arguments);
    return gmr__string_end(writer);
}

int gmr_put_format(struct gmr_writer *writer, const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int r = gmr_put_vformat(writer, key, format, arguments);
    va_end(arguments);
    return r;
}
