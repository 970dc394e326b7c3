/*
 * tests/sections/config_dump.c - registers the options that standard input describes, and prints the Configuration section's body.
 *
 *     config_dump text|json|xml      lines: GROUP \x1f NAME \x1f s|b|i|d|l|n \x1f VALUE \x1f FLAGS     (items of a list: \x1e between)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

static void *kept(const void *value, size_t bytes)
{
    void *copy = malloc(bytes + 1); /* for as long as the program runs */
    memcpy(copy, value, bytes);
    return copy;
}

static enum gmr_config_type value_of(char kind, char *text, const void **value)
{
    const char *string = kind == 'n' ? NULL : kept(text, strlen(text) + 1);
    const char **items = calloc(strlen(text) + 2, sizeof(*items));
    size_t count = 0;
    switch (kind) {
    case 'b':
        *value = kept(&(bool){text[0] == '1'}, sizeof(bool));
        return GMR_CONFIG_BOOL;
    case 'i':
        *value = kept(&(int64_t){strtoll(text, NULL, 10)}, sizeof(int64_t));
        return GMR_CONFIG_INT64;
    case 'd':
        *value = kept(&(double){strtod(text, NULL)}, sizeof(double));
        return GMR_CONFIG_DOUBLE;
    case 'l':
        while (text && *text) {
            char *item = strsep(&text, "\x1e");
            items[count++] = kept(item, strlen(item) + 1);
        }
        *value = kept(&items, sizeof(items));
        return GMR_CONFIG_LIST;
    default:
        *value = kept(&string, sizeof(string));
        return GMR_CONFIG_STRING;
    }
}

static void read_options(void)
{
    static char line[1 << 16];
    while (fgets(line, sizeof(line), stdin)) {
        char *at = line, *field[5] = {NULL};
        line[strcspn(line, "\n")] = '\0';
        for (int i = 0; i < 5; i++)
            field[i] = strsep(&at, "\x1f");
        struct gmr_config_option option = {.name = field[1], .flags = (unsigned)atoi(field[4])};
        if (field[1][0])
            option.type = value_of(field[2][0], field[3], &option.value);
        if (gmr_config_register_group(field[0], &option, field[1][0] != '\0'))
            abort();
    }
}

int main(int argc, char **argv)
{
    struct gmr__sink_mem events;
    struct gmr__sink_fd bytes;
    size_t cap = 16u << 20;
    int view = argc < 2 || !strcmp(argv[1], "text") ? GMR_VIEW_TEXT
               : !strcmp(argv[1], "json")           ? GMR_VIEW_JSON
                                                    : GMR_VIEW_XML;
    const struct gmr__section_head head = {
        .name = "configuration", .title = "Configuration", .shape = GMR__SHAPE_MAP, .style = gmr__config_style};
    read_options();
    gmr__sink_mem_init(&events, malloc(cap), cap);
    struct gmr_writer *w =
        gmr__writer_init(malloc(gmr__writer_size()), gmr__writer_size(), GMR__VIEW_WIRE, view, &events.sink);
    gmr__config_write(w);
    gmr__writer_flush(w);
    gmr__sink_fd_init(&bytes, 1, 0);
    w = gmr__writer_init(w, gmr__writer_size(), view, view, &bytes.sink);
    gmr__doc_begin(w, &(struct gmr__doc){.id = "x"});
    gmr__section_begin(w, &head);
    gmr__replay_sorted(w, events.base, events.used, malloc(cap), cap);
    gmr__section_end(w, GMR__OK, NULL, NULL);
    gmr__doc_end(w, &(struct gmr__doc){.id = "x"}, NULL);
    _exit(0); /* what was registered stays as long as the program */
}
