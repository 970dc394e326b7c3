/*
 * view/text_as.c - the text view, byte for byte as oslo.reports lays out its TextReport and its KeyValueView.
 *
 * Both halves, async-signal-safe. oslo.reports joins lines, and sections, with newlines and has none at the end; so here a line
 * begins with the newline that ends the one before it. Deliberate differences: control characters come out escaped (a terminal
 * must not obey a value), also newlines within keys. Callers: the front end.
 */
#include "view/view.h"

static const char rule[] = "========================================================================";
static const char bars[] = "||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||";

/* A newline of a text that is laid out already, or of a style. */
static void plain_newline(struct gmr_writer *w)
{
    gmr__out(w, "\n", 1);
}

/* What is between the values comes from outside, too: a program may be hostile, and so may a stored report. */
static void laid_out(struct gmr_writer *w, const char *text, size_t count)
{
    gmr__escape_piece(w, GMR__ESCAPE_TEXT, text, count, plain_newline);
}

/* The last piece of raw text may have ended within a character. */
static void end_raw(struct gmr_writer *w)
{
    if (w->raw_open)
        gmr__escape_end(w, GMR__ESCAPE_TEXT);
    w->raw_open = false;
}

void gmr__text_style(struct gmr_writer *w, int which)
{
    laid_out(w, w->style[which], gmr__strlen(w->style[which]));
    gmr__escape_end(w, GMR__ESCAPE_TEXT);
}

/* Ends the line before, if any, and indents. */
void gmr__text_line(struct gmr_writer *w, unsigned indent)
{
    end_raw(w);
    if (w->any_line)
        gmr__out(w, "\n", 1);
    w->any_line = true;
    for (; indent; indent--)
        gmr__text_style(w, STYLE_INDENT);
}

/* Code points, as Python counts them: bytes that begin one. */
static size_t characters(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void spaces(struct gmr_writer *w, size_t count)
{
    while (count--)
        gmr__out(w, " ", 1);
}

void gmr__text_banner(struct gmr_writer *w, const char *title)
{
    size_t width = characters(title), pad = width < 64 ? 64 - width : 0;
    gmr__out(w, rule, 72);
    gmr__out_str(w, "\n====");
    spaces(w, pad / 2);
    gmr__escape_whole(w, GMR__ESCAPE_TEXT, title);
    spaces(w, pad - pad / 2);
    gmr__out_str(w, "====\n");
    gmr__out(w, rule, 72);
    gmr__out(w, "\n", 1);
}

static void text_doc_begin(struct gmr_writer *w, const struct gmr__doc *doc)
{
    gmr__text_banner(w, "Guru Meditation");
    gmr__out(w, bars, 72);
    gmr__out_str(w, "\n\n\n");
}

static void text_doc_end(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost)
{
    const char end[] = "End of Guru Meditation";
    const size_t pad = 64 - (sizeof(end) - 1);
    gmr__out(w, bars, 4);
    spaces(w, pad / 2);
    gmr__out_str(w, end);
    spaces(w, pad - pad / 2);
    gmr__out(w, bars, 4);
    gmr__out(w, "\n", 1);
}

static void text_section_begin(struct gmr_writer *w, const struct gmr__section_head *head, const char *title)
{
    char room[GMR__MAX_KEY + 1];
    w->any_line = w->raw_open = false;
    gmr__text_banner(w, gmr__key(title, room));
}

static void text_section_end(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step)
{
    end_raw(w);
    if (status != GMR__OK) {
        gmr__text_line(w, 0);
        gmr__out_str(w, "[");
        gmr__out_str(w, gmr__status_name(status));
        if (reason) {
            gmr__out_str(w, ": ");
            gmr__escape_whole(w, GMR__ESCAPE_TEXT, reason);
        }
        if (next_step) {
            gmr__out_str(w, "; ");
            gmr__escape_whole(w, GMR__ESCAPE_TEXT, next_step);
        }
        gmr__out_str(w, "]");
    }
    gmr__out(w, "\n", 1);
}

/* "key" + separator; with what stands before it on a line of its own. */
static void keyed_line(struct gmr_writer *w, const char *key, int before, int separator)
{
    if (before >= 0 && (w->style_set & 1u << before)) {
        gmr__text_line(w, 0);
        gmr__text_style(w, before);
    }
    gmr__text_line(w, w->depth);
    gmr__escape_whole(w, GMR__ESCAPE_TEXT, key);
    gmr__text_style(w, separator);
}

static void text_begin(struct gmr_writer *w, const char *key, enum gmr__container container)
{
    bool map = container == GMR__MAP || container == GMR__ORDERED_MAP;
    if (key) {
        keyed_line(w, key, map ? STYLE_BEFORE_DICT : STYLE_BEFORE_LIST, map ? STYLE_DICT_SEP : STYLE_LIST_SEP);
    } else if (map && w->depth > 0) {
        gmr__text_line(w, w->depth);
        gmr__text_style(w, STYLE_ANON_DICT);
    }
}

static void text_end(struct gmr_writer *w, enum gmr__container container)
{
}

static void text_scalar(struct gmr_writer *w, const char *key, const struct gmr__scalar *value)
{
    char text[GMR__DOUBLE_TEXT];
    size_t count = gmr__scalar_text(value, text);
    if (key)
        keyed_line(w, key, -1, STYLE_KEY_SEP);
    else
        gmr__text_line(w, w->depth);
    gmr__out(w, text, count);
}

static void next_line(struct gmr_writer *w)
{
    gmr__text_line(w, w->depth + 1);
}

static void text_string_begin(struct gmr_writer *w, const char *key, bool multiline, size_t bytes)
{
    if (key)
        keyed_line(w, key, -1, multiline ? STYLE_DICT_SEP : STYLE_KEY_SEP);
    else if (!multiline)
        gmr__text_line(w, w->depth);
    if (multiline)
        next_line(w);
}

static void text_string_bytes(struct gmr_writer *w, const char *bytes, size_t count)
{
    gmr__escape_piece(w, GMR__ESCAPE_TEXT, bytes, count, w->string_multiline ? next_line : NULL);
}

static void text_string_end(struct gmr_writer *w)
{
    gmr__escape_end(w, GMR__ESCAPE_TEXT);
}

/* The newline at the end is held back: the next line, or the section's end, brings its own. */
static void text_raw(struct gmr_writer *w, const char *text, size_t count)
{
    if (!count)
        return;
    /* raw_open: the last piece ended within a line, which this one goes on with */
    if (w->any_line && !w->raw_open)
        gmr__out(w, "\n", 1);
    w->any_line = true;
    w->raw_open = text[count - 1] != '\n';
    laid_out(w, text, w->raw_open ? count : count - 1);
    if (!w->raw_open)
        gmr__escape_end(w, GMR__ESCAPE_TEXT);
}

size_t gmr__scalar_text(const struct gmr__scalar *value, char *to)
{
    static const char *const names[] = {[GMR__SCALAR_TRUE] = "True",
                                        [GMR__SCALAR_FALSE] = "False",
                                        [GMR__SCALAR_NULL] = "None",
                                        [GMR__SCALAR_SECRET] = "***"};
    struct gmr__buf buf;
    if (value->kind == GMR__SCALAR_DOUBLE)
        return gmr__double_text(value->d, to);
    gmr__buf_init(&buf, to, GMR__DOUBLE_TEXT);
    if (value->kind == GMR__SCALAR_INT)
        gmr__buf_int(&buf, value->i);
    else if (value->kind == GMR__SCALAR_UINT)
        gmr__buf_uint(&buf, value->u);
    else
        gmr__buf_str(&buf, names[value->kind]);
    return buf.used;
}

const struct gmr__view_ops gmr__text_ops = {
    .escape = GMR__ESCAPE_TEXT,
    .doc_begin = text_doc_begin,
    .doc_end = text_doc_end,
    .section_begin = text_section_begin,
    .section_end = text_section_end,
    .begin = text_begin,
    .end = text_end,
    .scalar = text_scalar,
    .string_begin = text_string_begin,
    .string_bytes = text_string_bytes,
    .string_end = text_string_end,
    .table_begin = gmr__text_table_begin,
    .table_row = gmr__text_table_row,
    .table_end = gmr__text_table_end,
    .raw = text_raw,
};
