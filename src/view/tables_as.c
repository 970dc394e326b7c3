/*
 * view/tables_as.c - gmr_begin_table and its rows, for every view.
 *
 * Both halves, async-signal-safe. A view that has a layout for tables (text, and the wire towards text) gets rows; to the others
 * a table is an ordered list of maps by column name, which is why the names are kept here. Callers: generators, section/.
 */
#include <errno.h>

#include "view/view.h"

static int latch(struct gmr_writer *w, int error)
{
    if (!w->section_error)
        w->section_error = error;
    return error;
}

/* Copies the names, each cut to what is left of the room for it. */
static void keep_columns(struct gmr_writer *w, const char *const *columns, size_t count)
{
    size_t share = sizeof(w->columns) / count, used = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = gmr__strlen(columns[i]);
        size_t cut = gmr__utf8_cut(columns[i], length, share - 1);
        w->column_at[i] = (unsigned short)used;
        gmr__memcpy(w->columns + used, columns[i], cut);
        used += cut;
        w->columns[used++] = '\0';
    }
    w->column_count = (unsigned)count;
}

static bool as_rows(const struct gmr_writer *w)
{
    return w->ops->table_begin && gmr__writer_text(w);
}

int gmr_begin_table(struct gmr_writer *writer, const char *key, const char *const *columns, size_t column_count)
{
    if (!writer)
        return -EINVAL;
    if (!columns || !column_count || column_count > GMR__MAX_COLUMNS)
        return latch(writer, -EINVAL);
    size_t bytes = 0;
    for (size_t i = 0; i < column_count; i++) {
        if (!columns[i])
            return latch(writer, -EINVAL);
        bytes += gmr__strlen(columns[i]);
    }
    char room[GMR__MAX_KEY + 1];
    int r = gmr__enter(writer, key, bytes);
    if (r)
        return r;
    keep_columns(writer, columns, column_count);
    if (as_rows(writer)) {
        if (!writer->skip)
            writer->ops->table_begin(writer, gmr__key(key, room));
        writer->any[writer->depth] = true;
        gmr__out_event(writer);
    } else {
        r = gmr__begin(writer, key, GMR__ORDERED_LIST);
    }
    writer->in_table = !r;
    return r ? r : writer->error;
}

static int row_as_map(struct gmr_writer *w, const char *const *cells)
{
    w->in_table = false;
    int r = gmr__begin(w, NULL, GMR__ORDERED_MAP);
    for (unsigned i = 0; i < w->column_count && !r; i++)
        r = gmr_put_string(w, w->columns + w->column_at[i], cells[i] ? cells[i] : "");
    if (w->container[w->depth] == GMR__ORDERED_MAP)
        gmr__end(w, 0);
    w->in_table = true;
    return r;
}

int gmr_put_row(struct gmr_writer *writer, const char *const *cells, size_t cell_count)
{
    if (!writer)
        return -EINVAL;
    if (writer->error || writer->section_error)
        return writer->error ? writer->error : writer->section_error;
    if (!writer->in_table || !cells || cell_count != writer->column_count)
        return latch(writer, -EINVAL);
    if (!as_rows(writer))
        return row_as_map(writer, cells);
    writer->spent += 4;
    for (size_t i = 0; i < cell_count; i++)
        writer->spent += cells[i] ? gmr__strlen(cells[i]) : 0;
    if (writer->budget && writer->spent > writer->budget)
        return latch(writer, -EMSGSIZE);
    const char *shown[GMR__MAX_COLUMNS];
    for (size_t i = 0; i < cell_count && i < GMR__MAX_COLUMNS; i++)
        shown[i] = gmr__filter_cell(writer, cells[i]);
    if (!writer->skip)
        writer->ops->table_row(writer, shown);
    gmr__out_event(writer);
    return writer->error;
}

int gmr_end_table(struct gmr_writer *writer)
{
    if (!writer)
        return -EINVAL;
    if (!writer->in_table)
        return latch(writer, -EINVAL);
    writer->in_table = false;
    if (!as_rows(writer)) {
        gmr__end(writer, 0);
    } else {
        if (!writer->skip)
            writer->ops->table_end(writer);
        gmr__out_event(writer);
    }
    return writer->error ? writer->error : writer->section_error;
}
