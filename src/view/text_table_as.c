/*
 * view/text_table_as.c - a table in text, as oslo.reports' TableView: 72 columns wide, cells centred, a rule under the header.
 *
 * Both halves, async-signal-safe. oslo.reports promises to truncate what is too wide and does not; here it is truncated, so that a
 * table stays a table: where every cell fits, the bytes are the same. Within a section the table stands as a sub-model
 * of several lines, as oslo.reports indents one. Callers: the front end.
 */
#include "view/view.h"

static size_t decode(const char *text, size_t left, uint32_t *c)
{
    size_t n = gmr__utf8_decode((const unsigned char *)text, left, c);
    if (n)
        return n;
    *c = (unsigned char)*text;
    return 1;
}

/* How many columns the character takes once it is escaped (a stray byte or a control character: \xNN). */
static size_t shown_width(const char *at, size_t bytes, uint32_t c)
{
    bool stray = bytes == 1 && c >= 0x80;
    bool control = (c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0);
    return stray || control ? 4 : 1;
}

/* Characters of the text that fit into `width`, counted as code points, as Python's format does. */
static size_t fitting(const char *text, size_t width, size_t *bytes)
{
    size_t count = gmr__strlen(text), at = 0, shown = 0;
    while (at < count) {
        uint32_t c;
        size_t n = decode(text + at, count - at, &c), add = shown_width(text + at, n, c);
        if (shown + add > width)
            break;
        shown += add;
        at += n;
    }
    *bytes = at;
    return shown;
}

static void spaces(struct gmr_writer *w, size_t count)
{
    while (count--)
        gmr__out(w, " ", 1);
}

static const char *column_name(const struct gmr_writer *w, unsigned i)
{
    return w->columns + w->column_at[i];
}

static void row(struct gmr_writer *w, const char *const *cells)
{
    size_t count = w->column_count, width = (GMR__TEXT_WIDTH - count + 1) / count, total = 0;
    for (unsigned i = 0; i < count; i++) {
        const char *text = !cells ? column_name(w, i) : cells[i] ? cells[i] : "";
        size_t bytes, shown = fitting(text, width, &bytes), pad = width - shown;
        if (i)
            gmr__out(w, "|", 1);
        spaces(w, pad / 2);
        gmr__escape_piece(w, GMR__ESCAPE_TEXT, text, bytes, NULL);
        gmr__escape_end(w, GMR__ESCAPE_TEXT);
        spaces(w, pad - pad / 2);
        total += width + (i > 0);
    }
    spaces(w, GMR__TEXT_WIDTH - total);
}

void gmr__text_table_begin(struct gmr_writer *w, const char *key)
{
    if (key && !w->flat_table) {
        gmr__text_line(w, w->depth);
        gmr__escape_whole(w, GMR__ESCAPE_TEXT, key);
        gmr__text_style(w, STYLE_DICT_SEP);
    }
    gmr__text_line(w, w->flat_table ? 0 : w->depth + 1);
    row(w, NULL);
    gmr__text_line(w, w->flat_table ? 0 : w->depth + 1);
    for (int i = 0; i < GMR__TEXT_WIDTH; i++)
        gmr__out(w, "-", 1);
}

void gmr__text_table_row(struct gmr_writer *w, const char *const *cells)
{
    gmr__text_line(w, w->flat_table ? 0 : w->depth + 1);
    row(w, cells);
}

void gmr__text_table_end(struct gmr_writer *w)
{
    gmr__text_line(w, w->flat_table
                          ? 0
                          : w->depth +
                                1); /* the table's text ends in a newline, hence a last, empty line of the sub-model */
}
