/* tests/unit/test_view.c - view/: what a generator may do wrong, text of any bytes, numbers, outputs that fail. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/sys.h"
#include "view_stand.h"

/* ------------------------------------------------------------------------------------------------ misuse */

static void null_for_every_pointer_is_refused(void **state)
{
    (void)state;
    const char *cells[] = {"a"};
    assert_int_equal(gmr_begin_map(NULL, "a"), -EINVAL);
    assert_int_equal(gmr_end_map(NULL), -EINVAL);
    assert_int_equal(gmr_begin_list(NULL, "a"), -EINVAL);
    assert_int_equal(gmr_end_list(NULL), -EINVAL);
    assert_int_equal(gmr_put_string(NULL, "a", "b"), -EINVAL);
    assert_int_equal(gmr_put_bytes(NULL, "a", "b", 1), -EINVAL);
    assert_int_equal(gmr_put_int(NULL, "a", 1), -EINVAL);
    assert_int_equal(gmr_put_uint(NULL, "a", 1), -EINVAL);
    assert_int_equal(gmr_put_double(NULL, "a", 1), -EINVAL);
    assert_int_equal(gmr_put_bool(NULL, "a", true), -EINVAL);
    assert_int_equal(gmr_put_null(NULL, "a"), -EINVAL);
    assert_int_equal(gmr_put_secret(NULL, "a"), -EINVAL);
    assert_int_equal(gmr_put_format(NULL, "a", "b"), -EINVAL);
    assert_int_equal(gmr_begin_table(NULL, "a", cells, 1), -EINVAL);
    assert_int_equal(gmr_put_row(NULL, cells, 1), -EINVAL);
    assert_int_equal(gmr_end_table(NULL), -EINVAL);

    const char *format = NULL;
    for (int call = 0; call < 6; call++) {
        struct gmr_writer *w = start_section(GMR_VIEW_JSON);
        int r = call == 0   ? gmr_put_bytes(w, "a", NULL, 1)
                : call == 1 ? gmr_put_format(w, "a", format, 1)
                : call == 2 ? gmr_begin_table(w, "a", NULL, 1)
                : call == 3 ? gmr_begin_table(w, "a", (const char *[]){NULL}, 1)
                : call == 4 ? gmr_put_int(w, NULL, 1)
                            : gmr_begin_map(w, NULL);
        assert_int_equal(r, -EINVAL);
        assert_int_equal(gmr_put_int(w, "later", 1), -EINVAL);
        end_doc(w);
        assert_non_null(strstr(text(w), "\"own\": {}"));
    }
}

static void what_is_left_open_is_closed_and_said(void **state)
{
    (void)state;
    for (int view = GMR_VIEW_TEXT; view <= GMR_VIEW_XML; view++) {
        struct gmr_writer *w = start_section(view);
        const char *columns[] = {"c"};
        gmr_begin_map(w, "m");
        gmr_begin_list(w, "l");
        gmr_begin_table(w, NULL, columns, 1);
        end_doc(w);
        assert_non_null(strstr(text(w), "left a map, list or table open"));
        assert_non_null(strstr(text(w), view == GMR_VIEW_TEXT   ? "End of Guru"
                                        : view == GMR_VIEW_JSON ? "}}"
                                                                : "</report>\n</report>"));
    }
}

static void ends_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct gmr_writer *w = start_section(GMR_VIEW_JSON);
    assert_int_equal(gmr_end_map(w), -EINVAL);
    end_doc(w);
    w = start_section(GMR_VIEW_JSON);
    gmr_begin_list(w, "l");
    assert_int_equal(gmr_end_map(w), -EINVAL);
    assert_int_equal(gmr_end_list(w), -EINVAL);
    end_doc(w);
    assert_non_null(strstr(text(w), "\"own\": {\"l\": []}"));
    w = start_section(GMR_VIEW_JSON);
    const char *row[] = {"a", "b"};
    assert_int_equal(gmr_put_row(w, row, 2), -EINVAL);
    end_doc(w);
    w = start_section(GMR_VIEW_JSON);
    gmr_begin_table(w, "t", row, 2);
    assert_int_equal(gmr_put_row(w, row, 1), -EINVAL);
    end_doc(w);
    assert_non_null(strstr(text(w), "{\"t\": []}"));
}

static void nesting_has_an_end(void **state)
{
    (void)state;
    struct gmr_writer *w = start_section(GMR_VIEW_XML);
    int depth = 0;
    while (!gmr_begin_map(w, "m"))
        depth++;
    assert_int_equal(depth, GMR__MAX_DEPTH);
    end_doc(w);
    assert_non_null(strstr(text(w), "partial"));
}

static void the_budget_bounds_a_section_not_the_report(void **state)
{
    (void)state;
    struct gmr_writer *w = start_section(GMR_VIEW_JSON);
    gmr__writer_budget(w, 1000);
    int r = 0, count = 0;
    for (; !r && count < 10000; count++)
        r = gmr_put_string(w, "key", "0123456789");
    assert_int_equal(r, -EMSGSIZE);
    assert_in_range(count, 20, 100);
    assert_int_equal(gmr__section_end(w, GMR__OK, NULL, NULL), 0);
    begin(w, "next", GMR__SECTION_OWN);
    assert_int_equal(gmr_put_string(w, "a", "b"), 0);
    end_doc(w);
    assert_non_null(strstr(text(w), "\"next\": {\"a\": \"b\"}"));
    assert_non_null(strstr(text(w), "wrote more than a section may"));
}

static void a_full_output_stops_everything_harmlessly(void **state)
{
    (void)state;
    gmr__sink_mem_init(&sink, memory, 100);
    struct gmr_writer *w = gmr__writer_init(place, sizeof(place), GMR_VIEW_JSON, 0, &sink.sink);
    gmr__doc_begin(w, &(struct gmr__doc){0});
    begin(w, "own", 0);
    int r = 0;
    for (int i = 0; i < 100; i++)
        r = gmr_put_string(w, "key", "value");
    assert_int_equal(r, -EMSGSIZE);
    assert_int_equal(gmr__section_end(w, GMR__OK, NULL, NULL), -EMSGSIZE);
    assert_int_equal(gmr__doc_end(w, NULL, NULL), -EMSGSIZE);
    assert_int_equal(sink.used, 100);
}

static void titles_stay_apart(void **state)
{
    (void)state;
    char name[600];
    struct gmr_writer *w = start(GMR_VIEW_JSON);
    gmr__doc_begin(w, &(struct gmr__doc){0});
    for (int i = 0; i < 300; i++) {
        memset(name, 'x', 500);
        name[500] = '\0';
        begin(w, i % 3 ? "Load" : name, GMR__SECTION_OWN);
        gmr__section_end(w, GMR__OK, NULL, NULL);
    }
    begin(w, "limits", 0);
    gmr__section_end(w, GMR__OK, NULL, NULL);
    /* Twice the same member, or own sections in two places, would not be valid JSON. */
    struct gmr__section_head head = {.name = "limits", .shape = GMR__SHAPE_MAP};
    assert_int_equal(gmr__section_begin(w, &head), -EINVAL);
    head = (struct gmr__section_head){.name = "late", .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_OWN};
    assert_int_equal(gmr__section_begin(w, &head), -EINVAL);
    gmr__doc_end(w, NULL, NULL);
    const char *out = text(w);
    assert_non_null(strstr(out, "\n\"Load\": {}"));
    for (int i = 2; i <= 120; i++) {
        snprintf(name, sizeof(name), "\n\"Load (%d)\": {}", i);
        const char *first = strstr(out, name);
        assert_true(!first || !strstr(first + 1, name));
    }
    assert_non_null(strstr(out, "sections_not_listed"));
}

static void long_keys_are_cut_visibly(void **state)
{
    (void)state;
    char *key = malloc(100001);
    memset(key, 'k', 100000);
    key[100000] = '\0';
    struct gmr_writer *w = start_section(GMR_VIEW_JSON);
    assert_int_equal(gmr_put_int(w, key, 1), 0);
    assert_int_equal(gmr_put_string(w, "value", key), 0);
    end_doc(w);
    assert_non_null(strstr(text(w), "kkk...\": 1, \"value\": \"kkk"));
    assert_in_range(sink.used, 101000, 102000);
    free(key);
}

/* ------------------------------------------------------------------------------------------------ text of any bytes */

static void bytes_of_any_kind_are_valid_in_each_view(void **state)
{
    (void)state;
    static const char bytes[] =
        "\x1b[31m\0\x7f\xff\xc3\xa9\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82<&>\"\\\r\xc2\x9b\xef\xbf\xbf\xf0\x9f\x98\x80";
    static const char *const want[] = {
        [GMR_VIEW_TEXT] =
            "a\\x0ab = \\x1b[31m\\x00\\x7f\\xff\xc3\xa9\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xe2\\x82<&>\"\\\\x0d\\x9b"
            "\xef\xbf\xbf\xf0\x9f\x98\x80\n",
        [GMR_VIEW_JSON] =
            "\"a\\nb\": "
            "\"\\u001b[31m\\u0000\\u007f\\\\xff\\u00e9\\\\xed\\\\xa0\\\\x80\\\\xf4\\\\x90\\\\x80\\\\x80\\\\xe2"
            "\\\\x82<&>\\\"\\\\\\r\\u009b\\uffff\\ud83d\\ude00\"",
        [GMR_VIEW_XML] = "<member "
                         "name=\"a&#10;b\">\\x1b["
                         "31m\\x00\\x7f\\xff\xc3\xa9\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xe2\\x82&lt;&amp;&gt;\"\\&#13;"
                         "\\x9b\\uffff\xf0\x9f\x98\x80</member>",
    };
    for (int view = GMR_VIEW_TEXT; view <= GMR_VIEW_XML; view++) {
        struct gmr_writer *w = start_section(view);
        assert_int_equal(gmr_put_bytes(w, "a\nb", bytes, sizeof(bytes) - 1), 0);
        end_doc(w);
        if (!strstr(text(w), want[view]))
            fail_msg("want %s in %s", want[view], text(w));
    }
}

static void odd_names_are_members_in_xml(void **state)
{
    (void)state;
    static const char *const names[] = {"", " ", "1a", "-", "a b", "a:b", "\xff", "a\xcc\x81"};
    struct gmr_writer *w = start_section(GMR_VIEW_XML);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        gmr_put_int(w, names[i], 1);
    end_doc(w);
    assert_non_null(strstr(text(w),
                           "<member name=\"\">1</member><member name=\" \">1</member><member name=\"1a\">1</member>"
                           "<member name=\"-\">1</member><member name=\"a b\">1</member><member name=\"a:b\">1</member>"
                           "<member name=\"\\xff\">1</member><a\xcc\x81>1</a\xcc\x81>"));
}

/* ------------------------------------------------------------------------------------------------ numbers */

static void doubles_are_the_shortest_that_read_back(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0.0"},
                 {-0.0, "-0.0"},
                 {1, "1.0"},
                 {0.1, "0.1"},
                 {1e16, "1e+16"},
                 {1e15, "1000000000000000.0"},
                 {5e-324, "5e-324"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {2.2250738585072014e-308, "2.2250738585072014e-308"},
                 {9007199254740993.0, "9007199254740992.0"},
                 {0.0001, "0.0001"},
                 {0.00001, "1e-05"},
                 {INFINITY, "inf"},
                 {-INFINITY, "-inf"},
                 {NAN, "nan"},
                 {123456.789, "123456.789"},
                 {1e23, "1e+23"}};
    char got[GMR__DOUBLE_TEXT];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        gmr__double_text(cases[i].value, got);
        assert_string_equal(got, cases[i].text);
    }
    uint64_t bits = 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < 20000; i++) {
        double value;
        bits = bits * 6364136223846793005ull + 1442695040888963407ull;
        memcpy(&value, &bits, sizeof(value));
        gmr__double_text(value, got);
        if (isfinite(value) && strtod(got, NULL) != value)
            fail_msg("%a became %s", value, got);
    }
}

static void not_a_number_is_a_string_in_json(void **state)
{
    (void)state;
    struct gmr_writer *w = start_section(GMR_VIEW_JSON);
    gmr_put_double(w, "a", NAN);
    gmr_put_double(w, "b", -INFINITY);
    end_doc(w);
    assert_non_null(strstr(text(w), "{\"a\": \"nan\", \"b\": \"-inf\"}"));
}

struct collected {
    char text[4096];
    size_t used;
};

static void collect(void *userdata, const char *bytes, size_t count)
{
    struct collected *c = userdata;
    assert_in_range(count, 0, sizeof(c->text) - 1 - c->used);
    memcpy(c->text + c->used, bytes, count);
    c->used += count;
    c->text[c->used] = '\0';
}

static void __attribute__((format(printf, 1, 2))) same_as_printf(const char *format, ...)
{
    struct collected got = {.used = 0};
    char want[4096];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    vsnprintf(want, sizeof(want), format, arguments);
    gmr__vformat(collect, &got, format, again);
    va_end(again);
    va_end(arguments);
    if (strcmp(got.text, want) != 0)
        fail_msg("%s: %s, printf says %s", format, got.text, want);
}

static void formats_are_as_printf_has_them(void **state)
{
    (void)state;
    same_as_printf("%d %i %u %x %X %o %c %s %%", -1, 42, 7u, 255u, 255u, 8u, 'x', "str");
    same_as_printf("%5d|%-5d|%05d|%+d|% d|%.3d|%8.3d|%-8.3d|", 42, 42, 42, 42, 42, 7, 7, 7);
    same_as_printf("%#x %#X %#o %#x %.0d", 255u, 255u, 8u, 0u, 0);
    same_as_printf("%hhd %hd %ld %lld %zd %jd %td", (signed char)-1, (short)-2, -3L, -4LL, (ssize_t)-5, (intmax_t)-6,
                   (ptrdiff_t)-7);
    same_as_printf("%hhu %hu %lu %llu %zu", (unsigned char)200, (unsigned short)60000, 3ul, ~0ull, (size_t)9);
    same_as_printf("%ld %lld", INT64_MIN, (long long)INT64_MIN);
    same_as_printf("%10s|%-10s|%.2s|%.*s|%*s|%-*s|", "abc", "abc", "abc", 2, "xyz", 6, "ab", 6, "ab");
    same_as_printf("%p %20p", (void *)&place, (void *)0x10);
    same_as_printf("%f %.0f %.1f %10.3f %-10.3f| %+f %010.2f", 3.14159, 2.5, 0.25, 1e6, -1.5, 1.0, -3.14159);
    same_as_printf("%e %.0e %E %g %G %g %g %#g %.10g", 12345.678, 15.0, 1e-9, 100000.0, 1e-10, 1e6, 0.0001, 1.0, 0.1);
    same_as_printf("%f %5.1f %g %e", INFINITY, -INFINITY, 0.0, 0.0);
    same_as_printf("%.17g %.20f %f", 0.1, 0.1, 1.7976931348623157e308);
    same_as_printf("plain");
    same_as_printf("%Lf %Lg", (long double)1.5, (long double)-2.25);
}

static void unknown_conversions_end_the_format(void **state)
{
    (void)state;
    static const char *const odd[] = {"a %n b %d", "%q", "%", "%-", "%5", "%.", "%l", "%ls %d", "%a"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct gmr_writer *w = start_section(GMR_VIEW_JSON);
        const char *volatile format = odd[i];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
        assert_int_equal(gmr_put_format(w, "f", format), 0);
#pragma GCC diagnostic pop
        end_doc(w);
        assert_non_null(strstr(text(w), odd[i]));
    }
}

/* ------------------------------------------------------------------------------------------------ descriptors */

static void a_full_pipe_is_given_up_at_the_deadline(void **state)
{
    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int ends[2];
        assert_int_equal(pipe2(ends, nonblocking ? O_NONBLOCK : 0), 0);
        struct gmr__sink_fd fd;
        gmr__sink_fd_init(&fd, ends[1], gmr__now_ns() + 100000000);
        static char bytes[1 << 20];
        assert_int_equal(fd.sink.write(&fd.sink, bytes, sizeof(bytes)), -ETIMEDOUT);
        close(ends[0]);
        close(ends[1]);
    }
}

static void a_closed_reader_is_an_error(void **state)
{
    (void)state;
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(ends, 0), 0);
    close(ends[0]);
    struct gmr__sink_fd fd;
    gmr__sink_fd_init(&fd, ends[1], 0);
    assert_int_equal(fd.sink.write(&fd.sink, "x", 1), -EPIPE);
    close(ends[1]);
    gmr__sink_fd_init(&fd, ends[1], 0);
    assert_int_equal(fd.sink.write(&fd.sink, "x", 1), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_for_every_pointer_is_refused),
        cmocka_unit_test(what_is_left_open_is_closed_and_said),
        cmocka_unit_test(ends_that_do_not_fit_are_refused),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(the_budget_bounds_a_section_not_the_report),
        cmocka_unit_test(a_full_output_stops_everything_harmlessly),
        cmocka_unit_test(titles_stay_apart),
        cmocka_unit_test(long_keys_are_cut_visibly),
        cmocka_unit_test(bytes_of_any_kind_are_valid_in_each_view),
        cmocka_unit_test(odd_names_are_members_in_xml),
        cmocka_unit_test(doubles_are_the_shortest_that_read_back),
        cmocka_unit_test(not_a_number_is_a_string_in_json),
        cmocka_unit_test(formats_are_as_printf_has_them),
        cmocka_unit_test(unknown_conversions_end_the_format),
        cmocka_unit_test(a_full_pipe_is_given_up_at_the_deadline),
        cmocka_unit_test(a_closed_reader_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
