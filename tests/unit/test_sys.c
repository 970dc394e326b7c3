/* tests/unit/test_sys.c - sys/: bounded text and raw system calls. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/buf.h"
#include "sys/grow.h"
#include "sys/sys.h"

static void numbers_are_written_as_printf_writes_them(void **state)
{
    (void)state;
    char text[128];
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_uint(&buf, UINT64_MAX);
    gmr__buf_char(&buf, ' ');
    gmr__buf_int(&buf, INT64_MIN);
    gmr__buf_char(&buf, ' ');
    gmr__buf_hex(&buf, 0xdeadbeef12345678);
    gmr__buf_char(&buf, ' ');
    gmr__buf_pad(&buf, 7, 3);
    assert_string_equal(text, "18446744073709551615 -9223372036854775808 deadbeef12345678 007");
}

static void what_does_not_fit_is_cut_and_said(void **state)
{
    (void)state;
    char text[4];
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_str(&buf, "abcdef");
    assert_string_equal(text, "abc");
    assert_true(buf.overflow);
}

static void overflowing_numbers_are_refused(void **state)
{
    (void)state;
    uint64_t value;
    const char *text = "18446744073709551616";
    assert_false(gmr__parse_uint(&text, &value));
    text = "18446744073709551615x";
    assert_true(gmr__parse_uint(&text, &value));
    assert_true(value == UINT64_MAX);
    assert_string_equal(text, "x");
    text = "1ffffffffffffffff";
    assert_false(gmr__parse_hex(&text, &value));
}

static void errors_come_back_as_negative_errno(void **state)
{
    (void)state;
    errno = 77;
    assert_int_equal(gmr__open("/nonexistent/file", O_RDONLY), -ENOENT);
    assert_int_equal(errno, 77);
    assert_int_equal(gmr__getpid(), getpid());
    uint32_t word = 1;
    assert_int_equal(gmr__futex_wait(&word, 0, 0), -EAGAIN);
    assert_int_equal(gmr__futex_wait(&word, 1, gmr__now_ns() + 1000000), -ETIMEDOUT);
}

static void a_list_grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    uint64_t *list = NULL;
    size_t cap = 0, moves = 0;
    for (size_t i = 0; i < 100000; i++) {
        size_t before = cap;
        assert_true(GMR__GROW(list, cap, i + 1));
        moves += cap != before;
        list[i] = i * 3;
    }
    assert_true(moves < 20);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(list[i], i * 3);
    free(list);

    unsigned char *marks = NULL;
    cap = 0;
    assert_true(GMR__GROW_ZEROED(marks, cap, 5000));
    assert_true(cap >= 5000);
    for (size_t i = 0; i < cap; i++)
        assert_int_equal(marks[i], 0);
    memset(marks, 'x', cap);
    size_t before = cap;
    assert_true(GMR__GROW_ZEROED(marks, cap, cap + 1));
    for (size_t i = 0; i < cap; i++)
        assert_int_equal(marks[i], i < before ? 'x' : 0);
    free(marks);
}

static void a_list_that_cannot_grow_stays_whole(void **state)
{
    (void)state;
    uint32_t *list = NULL;
    size_t cap = 0;
    for (uint32_t i = 0; i < 1001; i++) { /* a limit that doubling would step over */
        assert_int_equal(GMR__GROW_UP_TO(list, cap, (size_t)i + 1, 1000), i < 1000);
        if (i < 1000)
            list[i] = i;
    }
    assert_int_equal(cap, 1000);
    uint32_t *before = list;
    assert_false(GMR__GROW(list, cap, SIZE_MAX / sizeof(*list) + 1)); /* times 4 it is 0 */
    assert_false(GMR__GROW(list, cap, SIZE_MAX));
    assert_ptr_equal(list, before);
    assert_int_equal(cap, 1000);
    assert_int_equal(list[999], 999);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_printf_writes_them),
        cmocka_unit_test(what_does_not_fit_is_cut_and_said),
        cmocka_unit_test(overflowing_numbers_are_refused),
        cmocka_unit_test(errors_come_back_as_negative_errno),
        cmocka_unit_test(a_list_grows_and_keeps_what_it_has),
        cmocka_unit_test(a_list_that_cannot_grow_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
