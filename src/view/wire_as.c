/*
 * view/wire_as.c - the wire view: the events in the binary form of view/wire.h.
 *
 * Both halves, async-signal-safe. Callers: the front end, of a writer towards a pipe, a socket or an arena.
 */
#include "view/wire.h"

#define MAX_REASON 511
#define MAX_DOC 255

static void varint(struct gmr_writer *w, uint64_t value)
{
    char bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (char)(value & 0x7f);
        value >>= 7;
        if (value)
            bytes[n] = (char)(bytes[n] | 0x80);
        n++;
    } while (value);
    gmr__out(w, bytes, n);
}

static void byte(struct gmr_writer *w, unsigned value)
{
    char c = (char)value;
    gmr__out(w, &c, 1);
}

static void slice(struct gmr_writer *w, const char *bytes, size_t count)
{
    varint(w, count);
    gmr__out(w, bytes, count);
}

/* A string that may be NULL. */
static void optional(struct gmr_writer *w, const char *text, size_t most)
{
    size_t count = text ? gmr__utf8_cut(text, gmr__strlen(text), most) : 0;
    varint(w, text ? count + 1 : 0);
    gmr__out(w, text ? text : "", count);
}

static void head(struct gmr_writer *w, enum gmr__wire_code code, const char *key)
{
    byte(w, key ? code | GMR__W_KEYED : code);
    if (key)
        slice(w, key, gmr__strlen(key));
}

static void put_doc(struct gmr_writer *w, const struct gmr__doc *doc)
{
    static const struct gmr__doc none;
    if (!doc)
        doc = &none;
    varint(w, doc->pid < 0 ? 0 : (uint64_t)doc->pid);
    optional(w, doc->id, MAX_DOC);
    optional(w, doc->service, MAX_DOC);
    optional(w, doc->host, MAX_DOC);
    optional(w, doc->trigger, MAX_DOC);
    optional(w, doc->time, MAX_DOC);
    optional(w, doc->method, MAX_DOC);
}

static void wire_cost(struct gmr_writer *w, const struct gmr__cost *cost, const char *method)
{
    head(w, GMR__W_COST, NULL);
    varint(w, cost->known_pause);
    varint(w, cost->wall_ns);
    varint(w, cost->pause_max_ns);
    varint(w, cost->pause_median_ns);
    varint(w, cost->copied_bytes);
    optional(w, method, MAX_DOC);
}

static void wire_doc_begin(struct gmr_writer *w, const struct gmr__doc *doc)
{
    head(w, GMR__W_DOC, NULL);
    gmr__out(w, "GMR", 3);
    byte(w, GMR__WIRE_VERSION);
    put_doc(w, doc);
}

static void wire_doc_end(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost)
{
    if (cost)
        wire_cost(w, cost, doc ? doc->method : NULL);
    head(w, GMR__W_DOC_END, NULL);
    put_doc(w, doc);
}

static void wire_section_begin(struct gmr_writer *w, const struct gmr__section_head *section, const char *title)
{
    char room[GMR__MAX_KEY + 1];
    head(w, GMR__W_SECTION, NULL);
    optional(w, w->section_name, GMR__MAX_KEY);
    optional(w, gmr__key(title, room), GMR__MAX_KEY);
    varint(w, section->shape);
    varint(w, section->flags);
    for (int i = 0; i < GMR__STYLES; i++)
        optional(w, w->style_set & 1u << i ? w->style[i] : NULL, GMR__MAX_STYLE);
}

static void wire_section_end(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step)
{
    head(w, GMR__W_SECTION_END, NULL);
    varint(w, status);
    optional(w, reason, MAX_REASON);
    optional(w, next_step, MAX_REASON);
}

static void wire_begin(struct gmr_writer *w, const char *key, enum gmr__container container)
{
    head(w, (enum gmr__wire_code)container, key);
}

static void wire_end(struct gmr_writer *w, enum gmr__container container)
{
    head(w, GMR__W_END, NULL);
}

static void wire_scalar(struct gmr_writer *w, const char *key, const struct gmr__scalar *value)
{
    static const unsigned char codes[] = {
        [GMR__SCALAR_INT] = GMR__W_INT,      [GMR__SCALAR_UINT] = GMR__W_UINT,   [GMR__SCALAR_DOUBLE] = GMR__W_DOUBLE,
        [GMR__SCALAR_TRUE] = GMR__W_TRUE,    [GMR__SCALAR_FALSE] = GMR__W_FALSE, [GMR__SCALAR_NULL] = GMR__W_NULL,
        [GMR__SCALAR_SECRET] = GMR__W_SECRET};
    uint64_t bits;
    head(w, codes[value->kind], key);
    if (value->kind == GMR__SCALAR_INT) {
        varint(w, (uint64_t)value->i << 1 ^ (value->i < 0 ? ~0ull : 0));
    } else if (value->kind == GMR__SCALAR_UINT) {
        varint(w, value->u);
    } else if (value->kind == GMR__SCALAR_DOUBLE) {
        __builtin_memcpy(&bits, &value->d, sizeof(bits));
        for (int i = 0; i < 8; i++)
            byte(w, bits >> 8 * i & 0xff);
    }
}

static void wire_string_begin(struct gmr_writer *w, const char *key, bool multiline, size_t bytes)
{
    head(w, multiline ? GMR__W_LINES : GMR__W_STRING, key);
}

static void wire_string_bytes(struct gmr_writer *w, const char *bytes, size_t count)
{
    if (count)
        slice(w, bytes, count);
}

static void wire_string_end(struct gmr_writer *w)
{
    varint(w, 0);
}

static void wire_table_begin(struct gmr_writer *w, const char *key)
{
    head(w, GMR__W_TABLE, key);
    varint(w, w->column_count);
    for (unsigned i = 0; i < w->column_count; i++) {
        const char *name = w->columns + w->column_at[i];
        slice(w, name, gmr__strlen(name));
    }
}

/* The text view shows no more than a column's width: more need not travel. */
static void wire_table_row(struct gmr_writer *w, const char *const *cells)
{
    size_t most = (GMR__TEXT_WIDTH - w->column_count + 1) / w->column_count * 4;
    head(w, GMR__W_ROW, NULL);
    varint(w, w->column_count);
    for (unsigned i = 0; i < w->column_count; i++) {
        const char *cell = cells[i] ? cells[i] : "";
        slice(w, cell, gmr__utf8_cut(cell, gmr__strlen(cell), most));
    }
}

static void wire_table_end(struct gmr_writer *w)
{
    head(w, GMR__W_TABLE_END, NULL);
}

static void wire_raw(struct gmr_writer *w, const char *text, size_t count)
{
    head(w, GMR__W_RAW, NULL);
    if (count)
        slice(w, text, count);
    varint(w, 0);
}

static void wire_slot(struct gmr_writer *w, const char *name)
{
    char room[GMR__MAX_KEY + 1];
    head(w, GMR__W_SLOT, NULL);
    optional(w, gmr__key(name, room), GMR__MAX_KEY);
}

const struct gmr__view_ops gmr__wire_ops = {
    .escape = GMR__ESCAPE_TEXT,
    .doc_begin = wire_doc_begin,
    .doc_end = wire_doc_end,
    .section_begin = wire_section_begin,
    .section_end = wire_section_end,
    .begin = wire_begin,
    .end = wire_end,
    .scalar = wire_scalar,
    .string_begin = wire_string_begin,
    .string_bytes = wire_string_bytes,
    .string_end = wire_string_end,
    .table_begin = wire_table_begin,
    .table_row = wire_table_row,
    .table_end = wire_table_end,
    .raw = wire_raw,
    .slot = wire_slot,
    .cost = wire_cost,
};
