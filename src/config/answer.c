/*
 * config/answer.c - a provider's answer: events in an arena, copied group by group with their secrets masked.
 *
 * The target's half, runner thread. The provider wrote into a wire arena (view/wire.h), so that what it says can be merged with what others say of the
 * same group, and looked at before it is shown: it need not know which of its options are secrets.
 */
#include "config/config.h"
#include "section/secrets.h"
#include "sys/buf.h"
#include "view/wire.h"

#define STRING_BYTES 8192

struct walk {
    struct gmr_writer *w;
    const unsigned char *at, *end;
    struct gmr__event event;
    char key[GMR__MAX_KEY + 1]; /* of the event, "" if it has none */
    bool secret_column[GMR__MAX_COLUMNS];
};

static bool next(struct walk *walk)
{
    long n = gmr__event_read(&walk->event, walk->at, (size_t)(walk->end - walk->at));
    if (n <= 0)
        return false;
    walk->at += n;
    if (!gmr__slice_text(&walk->event.key, walk->key, sizeof(walk->key)))
        walk->key[0] = '\0';
    return true;
}

/* The pieces of a string, as many as fit; true if all did. */
static bool pieces(struct walk *walk, char *to, size_t cap, size_t *bytes)
{
    bool whole = true;
    *bytes = 0;
    for (;;) {
        uint64_t count;
        long n = gmr__event_piece(walk->at, (size_t)(walk->end - walk->at), &count);
        if (n <= 0) {
            walk->at = walk->end;
            return false;
        }
        walk->at += n;
        if (count > (uint64_t)(walk->end - walk->at))
            count = (uint64_t)(walk->end - walk->at);
        if (count == 0)
            return whole;
        size_t fits = count < cap - *bytes ? (size_t)count : cap - *bytes;
        whole = whole && fits == count;
        gmr__memcpy(to + *bytes, walk->at, fits);
        *bytes += fits;
        walk->at += count;
    }
}

static void copy_string(struct walk *walk, const char *key, bool secret)
{
    char text[STRING_BYTES + 4];
    size_t bytes;
    bool whole = pieces(walk, text, STRING_BYTES, &bytes);
    if (walk->event.code == GMR__W_RAW)
        return;
    if (!whole) {
        bytes = gmr__utf8_cut(text, bytes, STRING_BYTES);
        gmr__memcpy(text + bytes, "...", 3);
        bytes += 3;
    }
    gmr__config_string(walk->w, key, text, bytes, secret);
}

static void copy_row(struct walk *walk)
{
    const char *cells[GMR__MAX_COLUMNS];
    char room[STRING_BYTES], cell[1024];
    struct gmr__buf buf;
    gmr__buf_init(&buf, room, sizeof(room));
    for (uint64_t i = 0; i < walk->event.number[0]; i++) {
        const struct gmr__slice *slice = &walk->event.slice[i];
        cells[i] = buf.text + buf.used;
        if (walk->secret_column[i])
            gmr__buf_str(&buf, "***");
        else
            gmr__mask_value((const char *)slice->bytes, slice->count, cell, sizeof(cell));
        if (!walk->secret_column[i])
            gmr__buf_str(&buf, cell);
        gmr__buf_char(&buf, '\0');
    }
    gmr_put_row(walk->w, cells, walk->event.number[0]);
}

static void begin_table(struct walk *walk)
{
    for (uint64_t i = 0; i < walk->event.number[0]; i++) {
        const struct gmr__slice *slice = &walk->event.slice[i];
        walk->secret_column[i] = gmr__secret_name_bytes((const char *)slice->bytes, slice->count);
    }
    gmr__event_put(walk->w, &walk->event);
}

/* The event that was just read, with all that is in it. What stands below a secret name is secret. */
static void copy_value(struct walk *walk)
{
    unsigned depth = 0, secret_depth = 0; /* secret_depth: levels opened under a secret name, that one included */
    do {
        const char *key = walk->event.key.bytes ? walk->key : NULL;
        bool secret = secret_depth > 0 || (key && gmr__secret_name(key));
        enum gmr__wire_code code = walk->event.code;
        if (gmr__code_opens(code)) {
            gmr__event_put(walk->w, &walk->event);
            depth++;
            secret_depth += secret;
        } else if (code == GMR__W_END) {
            gmr__event_put(walk->w, &walk->event);
            depth--;
            secret_depth -= secret_depth > 0;
        } else if (gmr__code_has_pieces(code)) {
            copy_string(walk, key, secret);
        } else if (code == GMR__W_TABLE) {
            begin_table(walk);
            depth++;
        } else if (code == GMR__W_ROW) {
            copy_row(walk);
        } else if (code == GMR__W_TABLE_END) {
            gmr__event_put(walk->w, &walk->event);
            depth--;
        } else if (secret && (code == GMR__W_INT || code == GMR__W_UINT || code == GMR__W_DOUBLE)) {
            gmr_put_secret(walk->w, key);
        } else {
            gmr__event_put(walk->w, &walk->event);
        }
    } while (depth > 0 && next(walk));
}

/* Past the event that was just read, with all that is in it. */
static void skip_value(struct walk *walk)
{
    unsigned depth = 0;
    do {
        enum gmr__wire_code code = walk->event.code;
        char nothing[1];
        size_t bytes;
        depth += gmr__code_opens(code) || code == GMR__W_TABLE;
        depth -= code == GMR__W_END || code == GMR__W_TABLE_END;
        if (gmr__code_has_pieces(code))
            pieces(walk, nothing, 0, &bytes);
    } while (depth > 0 && next(walk));
}

/* "DEFAULT" is oslo.config's name of the group without a name. */
static const char *group_name(const char *name)
{
    return gmr__streq(name, "DEFAULT") ? "default" : name;
}

static bool is_group(const struct walk *walk)
{
    return walk->event.code == GMR__W_MAP || walk->event.code == GMR__W_ORDERED_MAP;
}

static void copy_group(struct walk *walk, const char *group, struct gmr__names *names)
{
    while (next(walk) && walk->event.code != GMR__W_END) {
        if (gmr__names_new(names, group, walk->key))
            copy_value(walk);
        else
            skip_value(walk);
    }
}

void gmr__answer_copy(struct gmr_writer *w, const struct gmr__answer *answer, const char *group,
                      struct gmr__names *names)
{
    struct walk walk = {.w = w, .at = answer->events, .end = answer->events + answer->bytes};
    while (next(&walk)) {
        bool mine = gmr__streq(is_group(&walk) ? group_name(walk.key) : "default", group);
        if (mine && is_group(&walk))
            copy_group(&walk, group, names);
        else if (mine && walk.key[0] && gmr__names_new(names, group, walk.key))
            copy_value(&walk);
        else
            skip_value(&walk);
    }
}

bool gmr__answer_group(const struct gmr__answer *answer, size_t *at, char *room, size_t cap)
{
    struct walk walk = {.at = answer->events + *at, .end = answer->events + answer->bytes};
    struct gmr__buf buf;
    if (!next(&walk))
        return false;
    gmr__buf_init(&buf, room, cap);
    gmr__buf_str(&buf, is_group(&walk) ? group_name(walk.key) : "default");
    skip_value(&walk);
    *at = (size_t)(walk.at - answer->events);
    return true;
}
