/* tests/sections/test_filter.c - view/filter: secrets in what a program writes into its own sections, short and long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "section/secrets.h"
#include "view/writer.h"

static char out[1 << 17];

static struct gmr_writer *begin(int view, struct gmr__sink_mem *sink)
{
    static const struct gmr__filter filter = {gmr__value_has_secret, gmr__mask_value};
    static const struct gmr__section_head head = {
        .name = "x", .title = "X", .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_OWN};
    struct gmr_writer *w = gmr__writer_init(malloc(gmr__writer_size()), gmr__writer_size(), view, view, &sink->sink);
    gmr__doc_begin(w, &(struct gmr__doc){.id = "x"});
    gmr__section_begin(w, &head);
    gmr__writer_filter(w, &filter);
    return w;
}

static void end(struct gmr_writer *w, struct gmr__sink_mem *sink)
{
    gmr__section_end(w, GMR__OK, NULL, NULL);
    gmr__doc_end(w, &(struct gmr__doc){.id = "x"}, NULL);
    out[sink->used] = '\0';
    free(w);
}

static void values_formats_and_cells_are_masked(void **state)
{
    static const char *const columns[] = {"url", "n"}, *const cells[] = {"mysql://u:geheim@h", "5"};
    struct gmr__sink_mem sink;
    (void)state;
    for (int view = GMR_VIEW_TEXT; view <= GMR_VIEW_XML; view++) {
        gmr__sink_mem_init(&sink, out, sizeof(out) - 1);
        struct gmr_writer *w = begin(view, &sink);
        gmr_put_string(w, "a", "mysql://u:geheim@h/db");
        gmr_put_format(w, "b", "%s password=%s", "x", "geheim");
        gmr_put_string(w, "c", "plain text: nothing in it");
        gmr_put_string(w, "d", "");
        gmr_begin_table(w, "e", columns, 2);
        gmr_put_row(w, cells, 2);
        gmr_end_table(w);
        end(w, &sink);
        assert_null(strstr(out, "geheim"));
        assert_non_null(strstr(out, "mysql://***:***@h/db"));
        assert_non_null(strstr(out, "x password=***"));
        assert_non_null(strstr(out, "plain text: nothing in it"));
    }
}

static void a_secret_in_a_long_text_is_found(void **state)
{
    static const char *const dresses[] = {"%s password=%s", "%s mysql://me:%s@host/x", "%s{\"token\": \"%s\"}",
                                          "%s secret: a %s", "%s\nAuthorization: %s\n"};
    static const char secret[] = "QWXZJKqwxzjk79QWX/ZJKqwxzjk79";
    static char padding[5000];
    struct gmr__sink_mem sink;
    (void)state;
    for (size_t d = 0; d < sizeof(dresses) / sizeof(*dresses); d++) {
        for (int blanks = 0; blanks < 2; blanks++) {
            for (int length = 4010; length < 4110; length++) {
                memset(padding, 'y', sizeof(padding));
                for (int i = 0; blanks && i < length; i += 97)
                    padding[i] = ' ';
                padding[length] = '\0';
                gmr__sink_mem_init(&sink, out, sizeof(out) - 1);
                struct gmr_writer *w = begin(GMR_VIEW_JSON, &sink);
                gmr_put_format(w, "k", dresses[d], padding, secret);
                end(w, &sink);
                for (size_t i = 0; i + 6 < sizeof(secret); i++) {
                    char piece[7] = {0};
                    memcpy(piece, secret + i, 6);
                    if (strstr(out, piece))
                        fail_msg("%s at %d (blanks %d) shows %s", dresses[d], length, blanks, piece);
                }
            }
        }
    }
}

static void long_text_without_a_secret_is_whole(void **state)
{
    static char text[60000];
    struct gmr__sink_mem sink;
    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = (char)(i % 5003 == 0 ? ' ' : 'a' + i % 26);
    gmr__sink_mem_init(&sink, out, sizeof(out) - 1);
    struct gmr_writer *w = begin(GMR_VIEW_JSON, &sink);
    gmr_put_string(w, "k", text);
    end(w, &sink);
    assert_non_null(strstr(out, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_formats_and_cells_are_masked),
        cmocka_unit_test(a_secret_in_a_long_text_is_found),
        cmocka_unit_test(long_text_without_a_secret_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
