/* tests/unit/test_wire.c - view/: the wire and the arena, whole, in pieces, cut, and garbage. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sys/sys.h"
#include "view_stand.h"

/* ------------------------------------------------------------------------------------------------ the wire */

static void some_report(struct gmr_writer *w)
{
    struct gmr__doc doc = {.id = "id", .service = "svc", .pid = 7, .method = "ptrace"};
    const char *columns[] = {"A", "\xc3\xa9"}, *cells[] = {"1", NULL};
    gmr__doc_begin(w, &doc);
    begin(w, "package", 0);
    gmr_put_string(w, "lines", "one\ntwo\n");
    gmr_put_int(w, "min", INT64_MIN);
    gmr_put_uint(w, "max", UINT64_MAX);
    gmr_put_double(w, "d", 0.1);
    gmr_put_bool(w, "t", true);
    gmr_put_bool(w, "f", false);
    gmr_put_null(w, "n");
    gmr_put_secret(w, "s");
    gmr_put_format(w, "empty", "%s", "");
    gmr_begin_table(w, "table", columns, 2);
    gmr_put_row(w, cells, 2);
    gmr_put_row(w, cells, 2);
    gmr_end_table(w);
    gmr_begin_list(w, "list");
    gmr_put_string(w, NULL, "x");
    gmr_begin_map(w, NULL);
    gmr_put_string(w, "", "y");
    gmr_end_map(w);
    gmr_end_list(w);
    gmr__section_end(w, GMR__PARTIAL, "why", "do this");
    struct gmr__section_head head = {.name = "Conf",
                                     .title = "Conf",
                                     .shape = GMR__SHAPE_MAP,
                                     .flags = GMR__SECTION_OWN,
                                     .style = {.dict_sep = ": ", .before_dict = ""}};
    gmr__section_begin(w, &head);
    gmr_begin_map(w, "group");
    gmr_put_bytes(w, "bytes", "\xff\0\n", 3);
    gmr_end_map(w);
    gmr__raw(w, "raw\nlines\n", 10);
    gmr__section_end(w, GMR__OK, NULL, NULL);
    gmr__doc_end(w, &doc, &(struct gmr__cost){.wall_ns = 5000000, .known_pause = true, .pause_max_ns = 60000});
}

static struct gmr__wire_in *in_place(struct gmr_writer *to)
{
    static char room[1 << 15] __attribute__((aligned(16)));
    struct gmr__wire_handlers handlers = {.forward_doc = true};
    assert_in_range(gmr__wire_in_size(), 1, sizeof(room));
    return gmr__wire_in_init(room, sizeof(room), to, &handlers);
}

static int feed(struct gmr_writer *to, const unsigned char *bytes, size_t count, size_t piece)
{
    struct gmr__wire_in *in = in_place(to);
    for (size_t at = 0; at < count; at += piece)
        gmr__wire_feed(in, bytes + at, count - at < piece ? count - at : piece);
    return gmr__wire_finish(in, NULL);
}

/* Text that is laid out already, and a program's own style, bring no terminal escapes; a character cut between two pieces is one. */
static void what_is_laid_out_cannot_control_a_terminal(void **state)
{
    (void)state;
    struct gmr__section_head head = {
        .name = "own",
        .title = "own",
        .shape = GMR__SHAPE_MAP,
        .flags = GMR__SECTION_OWN,
        .style = {.indent_str = "\x1b[", .key_sep = "\x9b=", .dict_sep = "\r:\n", .before_dict = "\b"}};
    static const char raw[] = "a\x1b]0;x\x07\x7f\xc2\x9b\xff\tb \xc3\xa9\n";
    for (size_t piece = 1; piece <= sizeof(raw); piece++) {
        struct gmr_writer *w = start(GMR_VIEW_TEXT);
        gmr__doc_begin(w, &(struct gmr__doc){0});
        gmr__section_begin(w, &head);
        for (size_t at = 0; at < sizeof(raw) - 1; at += piece)
            gmr__raw(w, raw + at, sizeof(raw) - 1 - at < piece ? sizeof(raw) - 1 - at : piece);
        gmr__raw(w, "cut \xc3", 5);
        gmr_begin_map(w, "m");
        gmr_put_int(w, "k", 1);
        gmr_end_map(w);
        gmr__raw(w, "end \xe2\x82", 6);
        end_doc(w);
        const char *got = text(w);
        assert_non_null(strstr(got, "a\\x1b]0;x\\x07\\x7f\\x9b\\xff\tb \xc3\xa9\ncut "
                                    "\\xc3\n\\x08\nm\\x0d:\n\n\\x1b[k\\x9b=1\nend \\xe2\\x82\n="));
        for (; *got; got++)
            assert_true((unsigned char)*got >= 0x20 || *got == '\n' || *got == '\t');
    }
}

static void the_wire_carries_everything_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (int view = GMR_VIEW_TEXT; view <= GMR_VIEW_XML; view++) {
        struct gmr_writer *w = start(view);
        some_report(w);
        char *want = strdup(text(w));
        struct gmr_writer *wire = start_wire(view);
        some_report(wire);
        gmr__writer_flush(wire);
        for (size_t piece = 1; piece < 100; piece += piece < 10 ? 1 : 17) {
            w = start(view);
            assert_int_equal(feed(w, stream, stream_sink.used, piece), 0);
            assert_string_equal(text(w), want);
        }
        free(want);
    }
}

static void a_stream_cut_anywhere_still_makes_a_whole_document(void **state)
{
    (void)state;
    struct gmr_writer *wire = start_wire(GMR_VIEW_JSON);
    some_report(wire);
    for (size_t cut = 30; cut < stream_sink.used; cut++) {
        struct gmr_writer *w = start(GMR_VIEW_JSON);
        assert_true(feed(w, stream, cut, 64) < 0);
        const char *out = text(w);
        size_t length = strlen(out);
        assert_string_equal(out + length - 3, "}}\n");
        assert_non_null(strstr(out, "\n\"report\": {"));
    }
}

/* Half a build id would name another file, half a path another place. */
static void no_value_is_cut_short_without_a_mark(void **state)
{
    (void)state;
    char longer[5001] = "";
    memset(longer, 'x', sizeof(longer) - 1);
    struct gmr_writer *wire = start_wire(GMR_VIEW_JSON);
    gmr__doc_begin(wire, &(struct gmr__doc){.id = "id"});
    begin(wire, "package", 0);
    gmr_put_string(wire, "build", "93ac61ec5a8eb1395e7b");
    gmr_put_string(wire, "longer", longer);
    gmr__writer_flush(wire);
    for (size_t piece = 1; piece < 40; piece += 19)
        for (size_t cut = 30; cut < stream_sink.used; cut += cut < 100 ? 1 : 97) {
            struct gmr_writer *w = start(GMR_VIEW_JSON);
            assert_true(feed(w, stream, cut, piece) < 0);
            const char *out = text(w), *build = strstr(out, "\"build\""), *x = strstr(out, "\"longer\": \"");
            assert_true(!build || strncmp(build, "\"build\": \"93ac61ec5a8eb1395e7b\"", 31) == 0);
            assert_true(!x || strncmp(x + 11 + strspn(x + 11, "x"), "...\"", 4) == 0);
        }
}

static void garbage_on_the_wire_does_no_harm(void **state)
{
    (void)state;
    struct gmr_writer *wire = start_wire(GMR_VIEW_TEXT);
    some_report(wire);
    size_t count = stream_sink.used;
    unsigned char *copy = malloc(count);
    uint64_t random = 1;
    for (int round = 0; round < 3000; round++) {
        memcpy(copy, stream, count);
        for (int i = 0; i < 1 + round % 4; i++) {
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            copy[(random >> 33) % count] = (unsigned char)(random >> 20);
        }
        struct gmr_writer *w = start(1 + round % 3);
        feed(w, copy, count, 1 + round % 50);
        text(w);
    }
    free(copy);
}

static void an_arena_is_replayed_up_to_where_it_was_cut(void **state)
{
    (void)state;
    static uint32_t scratch[1000];
    struct gmr_writer *arena = start_wire(GMR_VIEW_JSON);
    gmr_put_int(arena, "b", 1);
    gmr_begin_map(arena, "a");
    gmr_put_string(arena, "key", "value");
    size_t whole = stream_sink.used;
    gmr_put_string(arena, "cut", "xxxxxxxxxxxxxxxxx");
    for (size_t cut = whole; cut < stream_sink.used; cut++) {
        struct gmr_writer *w = start_section(GMR_VIEW_JSON);
        assert_int_equal(gmr__replay_sorted(w, stream, cut, scratch, sizeof(scratch)), GMR__REPLAY_CUT);
        end_doc(w);
        assert_non_null(strstr(text(w), "\"own\": {\"a\": {\"key\": \"value\"}, \"b\": 1}"));
    }
}

static void without_scratch_the_order_is_kept_and_said(void **state)
{
    (void)state;
    uint32_t scratch[1];
    struct gmr_writer *arena = start_wire(GMR_VIEW_JSON);
    gmr_put_int(arena, "b", 1);
    gmr_put_int(arena, "a", 2);
    struct gmr_writer *w = start_section(GMR_VIEW_JSON);
    assert_int_equal(gmr__replay_sorted(w, stream, stream_sink.used, scratch, sizeof(scratch)), GMR__REPLAY_UNSORTED);
    end_doc(w);
    assert_non_null(strstr(text(w), "{\"b\": 1, \"a\": 2}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_laid_out_cannot_control_a_terminal),
        cmocka_unit_test(the_wire_carries_everything_in_pieces_of_any_size),
        cmocka_unit_test(a_stream_cut_anywhere_still_makes_a_whole_document),
        cmocka_unit_test(no_value_is_cut_short_without_a_mark),
        cmocka_unit_test(garbage_on_the_wire_does_no_harm),
        cmocka_unit_test(an_arena_is_replayed_up_to_where_it_was_cut),
        cmocka_unit_test(without_scratch_the_order_is_kept_and_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
