/* tests/unit/test_sys.c - sys/: bounded text and raw system calls. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/buf.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_printf_writes_them),
        cmocka_unit_test(what_does_not_fit_is_cut_and_said),
        cmocka_unit_test(overflowing_numbers_are_refused),
        cmocka_unit_test(errors_come_back_as_negative_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
