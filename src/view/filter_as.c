/*
 * view/filter_as.c - strings on their way to a view that a filter looks at first: what a program writes into its own sections may be a secret.
 *
 * Both halves, async-signal-safe: memory from mmap where a string is long. A string is looked at as a whole, since a secret is told by what stands
 * before it. The filter itself stands above (section/secrets.h); whoever makes the writer for a program's generator puts it in. Callers:
 * put_as.c, tables_as.c.
 */
#include "sys/sys.h"
#include "view/view.h"

#define MOST_GROWTH 3 /* ":@x" becomes "***:***@x" */
#define SMALL 4096

void gmr__writer_filter(struct gmr_writer *w, const struct gmr__filter *filter)
{
    w->filter = filter;
}

void gmr__filter_bytes(struct gmr_writer *w, const char *bytes, size_t count)
{
    char small[SMALL];
    if (!w->filter->finds(bytes, count)) {
        gmr__string_bytes(w, bytes, count);
        return;
    }
    size_t cap = MOST_GROWTH * count + 16;
    char *masked = cap <= sizeof(small) ? small : gmr__map_memory(cap);
    if (masked) {
        w->filter->mask(bytes, count, masked, cap);
        gmr__string_bytes(w, masked, gmr__strlen(masked));
    } else {
        gmr__string_bytes(w, "***", 3);
    }
    if (masked && masked != small)
        gmr__unmap_memory(masked, cap);
}

static void append(void *userdata, const char *bytes, size_t count)
{
    gmr__buf_bytes(userdata, bytes, count);
}

void gmr__filter_vformat(struct gmr_writer *w, size_t bytes, const char *format, va_list arguments)
{
    char small[SMALL];
    size_t cap = bytes + 1;
    char *text = cap <= sizeof(small) ? small : gmr__map_memory(cap);
    if (!text) {
        gmr__string_bytes(w, "***", 3);
        return;
    }
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, cap);
    gmr__vformat(append, &buf, format, arguments);
    gmr__filter_bytes(w, text, buf.used);
    if (text != small)
        gmr__unmap_memory(text, cap);
}

const char *gmr__filter_cell(const struct gmr_writer *w, const char *cell)
{
    return w->filter && cell && w->filter->finds(cell, gmr__strlen(cell)) ? "***" : cell;
}
