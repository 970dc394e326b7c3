/*
 * view/pystr_as.c - Python's str() of a value, as a stream of bytes: {'a': 1, 'b': [True, None]}.
 *
 * Both halves, async-signal-safe, constant memory. Follows CPython's unicode_repr: single quotes, unless the text has single
 * and no double ones; \\, \n, \r, \t and unprintable ASCII and Latin-1 escaped. Other unprintable characters are put as they are (which of them
 * Python escapes depends on its Unicode tables). Callers: sort_as.c, the basic key/value view.
 */
#include "view/pystr.h"

void gmr__pystr_init(struct gmr__pystr *p, const unsigned char *value, const unsigned char *end)
{
    gmr__memset(p, 0, sizeof(*p));
    p->at = value;
    p->end = end;
    p->bare = true;
}

static void put(struct gmr__pystr *p, const char *text, size_t count)
{
    for (size_t i = 0; i < count && p->out_used < sizeof(p->out); i++)
        p->out[p->out_used++] = text[i];
}

static void put_str(struct gmr__pystr *p, const char *text)
{
    put(p, text, gmr__strlen(text));
}

static char quote_for(bool single, bool twice)
{
    return single && !twice ? '"' : '\'';
}

static char key_quote(const struct gmr__slice *key)
{
    bool single = false, twice = false;
    for (size_t i = 0; i < key->count; i++) {
        single |= key->bytes[i] == '\'';
        twice |= key->bytes[i] == '"';
    }
    return quote_for(single, twice);
}

/* Looks through the slices of a string for its quotes. */
static char string_quote(const struct gmr__pystr *p)
{
    const unsigned char *at = p->at;
    bool single = false, twice = false;
    uint64_t count;
    long n;
    while ((n = gmr__event_piece(at, (size_t)(p->end - at), &count)) > 0 && count) {
        at += n;
        for (; count && at < p->end; count--, at++) {
            single |= *at == '\'';
            twice |= *at == '"';
        }
    }
    return quote_for(single, twice);
}

static void put_hex(struct gmr__pystr *p, unsigned value)
{
    char text[4] = {'\\', 'x', "0123456789abcdef"[value >> 4 & 15], "0123456789abcdef"[value & 15]};
    put(p, text, 4);
}

static void put_quoted(struct gmr__pystr *p, unsigned char c)
{
    char plain = (char)c;
    if (c == '\\' || c == p->quote) {
        put_str(p, "\\");
        put(p, &plain, 1);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        put_str(p, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (c < 0x20 || c == 0x7f) {
        put_hex(p, c);
    } else {
        put(p, &plain, 1);
    }
}

/* U+0080..U+00A0 and U+00AD, two bytes in UTF-8, are not printable. */
static bool latin_unprintable(unsigned char first, unsigned char second)
{
    return first == 0xc2 && (second <= 0xa0 || second == 0xad);
}

/* A byte of a quoted string; true if the next one was taken with it. */
static bool put_pair(struct gmr__pystr *p, const unsigned char *at, uint64_t left)
{
    if (left > 1 && latin_unprintable(at[0], at[1])) {
        put_hex(p, at[1]);
        return true;
    }
    put_quoted(p, at[0]);
    return false;
}

static void separator(struct gmr__pystr *p)
{
    if (p->depth && p->any[p->depth])
        put_str(p, ", ");
    p->any[p->depth] = true;
}

static void begin_container(struct gmr__pystr *p, bool map)
{
    put_str(p, map ? "{" : "[");
    if (p->depth == GMR__MAX_DEPTH)
        return; /* the front end lets none be so deep */
    p->depth++;
    p->is_map[p->depth] = map;
    p->any[p->depth] = false;
}

static void skip_table(struct gmr__pystr *p, struct gmr__event *e)
{
    while (p->at < p->end && e->code != GMR__W_TABLE_END) {
        long n = gmr__event_read(e, p->at, (size_t)(p->end - p->at));
        if (n <= 0)
            break;
        p->at += n;
    }
    put_str(p, "[]");
}

static void put_value(struct gmr__pystr *p, struct gmr__event *e)
{
    char text[GMR__DOUBLE_TEXT];
    bool quoted = p->depth > 0;
    if (gmr__code_opens(e->code)) {
        begin_container(p, e->code == GMR__W_MAP || e->code == GMR__W_ORDERED_MAP);
    } else if (gmr__code_has_pieces(e->code)) {
        p->in_string = true;
        p->bare = !quoted;
        p->quote = quoted ? string_quote(p) : 0;
        if (quoted)
            put(p, &p->quote, 1);
    } else if (e->code == GMR__W_TABLE) {
        skip_table(p, e);
    } else if (e->code == GMR__W_SECRET) {
        put_str(p, quoted ? "'***'" : "***");
    } else if (e->code >= GMR__W_INT && e->code <= GMR__W_SECRET) {
        put(p, text, gmr__scalar_text(&e->scalar, text));
    }
}

static void end_of_key(struct gmr__pystr *p)
{
    put(p, &p->quote, 1);
    put_str(p, ": ");
}

static void next_event(struct gmr__pystr *p)
{
    struct gmr__event e;
    long n = gmr__event_read(&e, p->at, (size_t)(p->end - p->at));
    if (n <= 0) {
        p->done = true;
        return;
    }
    if (e.code == GMR__W_END) {
        p->at += n;
        put_str(p, p->is_map[p->depth] ? "}" : "]");
        p->depth -= p->depth > 0;
    } else if (p->depth && e.key.bytes && !p->key) {
        /* the key first; the event is read again for its value */
        separator(p);
        p->quote = key_quote(&e.key);
        put(p, &p->quote, 1);
        p->key = e.key.bytes;
        p->key_left = e.key.count;
        if (!p->key_left)
            end_of_key(p);
        return;
    } else {
        if (!p->key)
            separator(p);
        p->key = NULL;
        p->at += n;
        put_value(p, &e);
    }
    if (!p->depth && !p->in_string)
        p->done = true;
}

static void next_of_key(struct gmr__pystr *p)
{
    size_t taken = put_pair(p, p->key, p->key_left) ? 2 : 1;
    p->key += taken;
    p->key_left -= taken;
    if (!p->key_left)
        end_of_key(p);
}

static void next_of_string(struct gmr__pystr *p)
{
    if (!p->piece_left) {
        long n = gmr__event_piece(p->at, (size_t)(p->end - p->at), &p->piece_left);
        p->at += n > 0 ? n : 0;
        if (n <= 0 || !p->piece_left || p->piece_left > (uint64_t)(p->end - p->at)) {
            p->piece_left = 0;
            p->in_string = false;
            if (p->quote && !p->bare)
                put(p, &p->quote, 1);
            p->done = p->depth == 0;
        }
        return;
    }
    size_t taken = 1;
    if (p->bare)
        put(p, (const char *)p->at, 1);
    else if (put_pair(p, p->at, p->piece_left))
        taken = 2;
    p->at += taken;
    p->piece_left -= taken;
}

int gmr__pystr_next(struct gmr__pystr *p)
{
    while (p->out_at == p->out_used) {
        p->out_at = p->out_used = 0;
        if (p->key_left)
            next_of_key(p);
        else if (p->in_string)
            next_of_string(p);
        else if (!p->done)
            next_event(p);
        else
            return -1;
    }
    return (unsigned char)p->out[p->out_at++];
}
