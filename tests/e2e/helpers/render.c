/*
 * tests/e2e/helpers/render.c - renders descriptions of data from standard input with gmr_render_text: one half of test_oslo_views.py.
 *
 * A description: kind (1 byte), flags (4 bytes), then title, header, xml name and the seven style strings, then operations up to
 * '.'. A string: 4 bytes of length (all ones: NULL) and its bytes. An operation: a letter, its key, its value. The answer: the result and
 * the length, 4 bytes each, and the text. All numbers in the machine's order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gmr/view.h"

static void take(void *to, size_t bytes)
{
    if (fread(to, 1, bytes, stdin) != bytes)
        exit(3);
}

/* Strings live until the description is done. */
static char *kept[100000];
static size_t kept_count;

static char *take_string(uint32_t *length)
{
    uint32_t n;
    take(&n, sizeof(n));
    if (length)
        *length = n;
    if (n == UINT32_MAX)
        return NULL;
    char *text = malloc((size_t)n + 1);
    take(text, n);
    text[n] = '\0';
    if (kept_count == sizeof(kept) / sizeof(kept[0]))
        exit(4);
    return kept[kept_count++] = text;
}

static void table(struct gmr_writer *w, const char *key)
{
    uint32_t columns, rows;
    const char *cells[64];
    take(&columns, sizeof(columns));
    for (uint32_t i = 0; i < columns; i++)
        cells[i] = take_string(NULL);
    gmr_begin_table(w, key, cells, columns);
    take(&rows, sizeof(rows));
    for (; rows; rows--) {
        for (uint32_t i = 0; i < columns; i++)
            cells[i] = take_string(NULL);
        gmr_put_row(w, cells, columns);
    }
    gmr_end_table(w);
}

static void number(struct gmr_writer *w, char op, const char *key)
{
    int64_t i;
    uint64_t u;
    double d;
    if (op == 'i') {
        take(&i, sizeof(i));
        gmr_put_int(w, key, i);
    } else if (op == 'u') {
        take(&u, sizeof(u));
        gmr_put_uint(w, key, u);
    } else {
        take(&d, sizeof(d));
        gmr_put_double(w, key, d);
    }
}

static int generate(struct gmr_writer *w, void *userdata)
{
    (void)userdata;
    for (;;) {
        char op;
        take(&op, 1);
        if (op == '.')
            return 0;
        uint32_t length;
        const char *key = op == 'e' || op == 'f' ? NULL : take_string(NULL);
        if (op == 'm')
            gmr_begin_map(w, key);
        else if (op == 'l')
            gmr_begin_list(w, key);
        else if (op == 'e')
            gmr_end_map(w);
        else if (op == 'f')
            gmr_end_list(w);
        else if (op == 'n')
            gmr_put_null(w, key);
        else if (op == '1' || op == '0')
            gmr_put_bool(w, key, op == '1');
        else if (op == 't')
            table(w, key);
        else if (op == 's') {
            const char *text = take_string(&length);
            gmr_put_bytes(w, key, text, length);
        } else
            number(w, op, key);
    }
}

int main(void)
{
    unsigned char kind;
    while (fread(&kind, 1, 1, stdin) == 1) {
        struct gmr_render_options layout = {.size = sizeof(layout), .kind = kind};
        take(&layout.flags, sizeof(layout.flags));
        layout.title = take_string(NULL);
        layout.header = take_string(NULL);
        layout.xml_name = take_string(NULL);
        layout.style = (struct gmr_text_style){.indent_str = take_string(NULL)};
        layout.style.key_sep = take_string(NULL);
        layout.style.dict_sep = take_string(NULL);
        layout.style.list_sep = take_string(NULL);
        layout.style.anon_dict = take_string(NULL);
        layout.style.before_dict = take_string(NULL);
        layout.style.before_list = take_string(NULL);
        char *text;
        size_t bytes = 0;
        int32_t result = gmr_render_text(&text, &bytes, &layout, generate, NULL);
        uint32_t length = (uint32_t)bytes;
        fwrite(&result, sizeof(result), 1, stdout);
        fwrite(&length, sizeof(length), 1, stdout);
        fwrite(text, 1, bytes, stdout);
        free(text);
        while (kept_count)
            free(kept[--kept_count]);
    }
    return 0;
}
