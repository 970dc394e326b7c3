/* tests/unit/test_proc.c - sys/proc: what /proc says, and what a liar says in its place. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"
#include "tree.h"

#define TAIL                                                                                                          \
    "1 2 3 4 -1 4194304 10 11 12 13 14 15 16 17 20 -5 7 0 18446744073709551615 4096 33 18446744073709551615 1 1 0 0 " \
    "0 0 0 0 0 "                                                                                                      \
    "0 0 0 17 3 0 0 0 0 0\n"

static void a_name_may_hold_anything(void **state)
{
    static const char *const names[] = {"a b", "x) R 1 (y", ")", "((", "", "new\nline", "tab\t)", "\xff\xfe"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char line[512];
        struct gmr__proc_stat stat;
        snprintf(line, sizeof(line), "42 (%s) S " TAIL, names[i]);
        assert_int_equal(gmr__proc_parse_stat(line, &stat), 0);
        assert_string_equal(stat.name, names[i]);
        assert_int_equal(stat.pid, 42);
        assert_int_equal(stat.state, 'S');
        assert_int_equal(stat.ppid, 1);
        assert_int_equal(stat.nice, -5);
        assert_int_equal(stat.threads, 7);
        assert_true(stat.start_ticks == UINT64_MAX);
        assert_int_equal(stat.virtual_bytes, 4096);
        assert_int_equal(stat.rss_pages, 33);
        assert_int_equal(stat.processor, 3);
        assert_int_equal(stat.flags, 4194304);
    }
}

static void a_broken_stat_line_is_refused(void **state)
{
    static const char *const lines[] = {"",
                                        "\n",
                                        "x",
                                        "42",
                                        "42 (",
                                        "42 (a",
                                        "42 (a)",
                                        "42 (a) ",
                                        "42 (a) S",
                                        "42 (a) S 1",
                                        "0 (a) S 1",
                                        "-1 (a) S 1",
                                        "99999999999 (a) S 1 2 3",
                                        "42 (a) S 99999999999999999999999 2 3 4"};
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        struct gmr__proc_stat stat;
        assert_int_equal(gmr__proc_parse_stat(lines[i], &stat), -EBADMSG);
    }
}

static void one_s_own_stat_agrees_with_libc(void **state)
{
    (void)state;
    struct gmr__proc_stat stat;
    struct gmr__proc_status status;
    char before[16];
    prctl(PR_GET_NAME, before);
    prctl(PR_SET_NAME, "odd) S (name");
    assert_int_equal(gmr__proc_stat("/proc", getpid(), 0, &stat), 0);
    prctl(PR_SET_NAME, before);
    assert_string_equal(stat.name, "odd) S (name");
    assert_int_equal(stat.pid, getpid());
    assert_int_equal(stat.ppid, getppid());
    assert_int_equal(stat.state, 'R');
    assert_false(gmr__proc_is_kernel(&stat));
    assert_int_equal(gmr__proc_status("/proc", getpid(), getpid(), &status), 0);
    assert_true(status.has_ids && status.has_memory);
    assert_int_equal(status.uids.real, getuid());
    assert_int_equal(status.gids.effective, getegid());
    assert_int_equal(status.tgid, getpid());
    assert_int_equal(status.threads, 1);
    assert_true(status.vm_hwm_kb > 100 && status.vm_rss_kb > 100);
    assert_int_equal(gmr__proc_stat("/proc", 0x7ffffffe, 0, &stat), -ENOENT);
    assert_int_equal(gmr__proc_status("/proc", 0x7ffffffe, 0, &status), -ENOENT);
}

static void lines_of_any_length_keep_their_order(void **state)
{
    (void)state;
    size_t bytes = 10 << 20;
    char *text = malloc(bytes + 64);
    memset(text, 'x', bytes);
    memcpy(text, "first\n", 6);
    memcpy(text + 100, "\0\0", 2);
    strcpy(text + bytes, "\n\nlast without end");
    tree_put_bytes("long", text, bytes + 18);
    char path[128];
    snprintf(path, sizeof(path), "%s/long", tree_root);
    struct gmr__lines lines;
    size_t length;
    assert_int_equal(gmr__lines_open(&lines, path), 0);
    assert_string_equal(gmr__lines_next(&lines, &length), "first");
    assert_int_equal(length, 5);
    char *line = gmr__lines_next(&lines, &length);
    assert_true(lines.cut);
    assert_int_equal(length, sizeof(lines.text) - 1);
    assert_int_equal(strlen(line), length); /* the NULs have become something visible */
    assert_string_equal(gmr__lines_next(&lines, &length), "");
    assert_false(lines.cut);
    assert_string_equal(gmr__lines_next(&lines, NULL), "last without end");
    assert_null(gmr__lines_next(&lines, NULL));
    assert_null(gmr__lines_next(&lines, NULL));
    gmr__lines_close(&lines);
    free(text);
}

static void a_line_as_long_as_the_buffer_is_whole(void **state)
{
    (void)state;
    char text[2 * GMR__PROC_LINE_MAX], path[128];
    for (int shorter = 0; shorter < 3; shorter++) {
        size_t n = sizeof(((struct gmr__lines *)0)->text) - 2 + (size_t)shorter;
        memset(text, 'a', n);
        strcpy(text + n, "\nb\n");
        tree_put("edge", text);
        snprintf(path, sizeof(path), "%s/edge", tree_root);
        struct gmr__lines lines;
        size_t length;
        assert_int_equal(gmr__lines_open(&lines, path), 0);
        assert_non_null(gmr__lines_next(&lines, &length));
        assert_true(length == n || lines.cut);
        assert_string_equal(gmr__lines_next(&lines, &length), "b");
        assert_null(gmr__lines_next(&lines, &length));
        gmr__lines_close(&lines);
    }
}

static void maps_are_parsed_and_lies_passed_over(void **state)
{
    (void)state;
    tree_put("7/maps", "5500-5600 r-xp 00001000 fd:01 77   /bin/a file (deleted)\n"
                       "garbage\n\n"
                       "7000-6000 rw-p 0 0:0 0\n"
                       "6000-7000 rw-s 00000000 00:00 0\n"
                       "7000-8000 rw-\n"
                       "10000000000000000-2 rw-p 0 0:0 0\n"
                       "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]");
    struct gmr__lines lines;
    struct gmr__proc_map map;
    assert_int_equal(gmr__proc_lines_open(&lines, tree_root, 7, 0, "maps"), 0);
    assert_true(gmr__proc_maps_next(&lines, &map));
    assert_true(map.start == 0x5500 && map.end == 0x5600 && map.offset == 0x1000 && map.inode == 77);
    assert_true(map.dev_major == 0xfd && map.dev_minor == 1);
    assert_true(map.read && !map.write && map.exec && !map.shared && map.deleted);
    assert_string_equal(map.path, "/bin/a file");
    assert_true(gmr__proc_maps_next(&lines, &map));
    assert_true(map.start == 0x6000 && map.write && map.shared && !map.deleted);
    assert_string_equal(map.path, "");
    assert_true(gmr__proc_maps_next(&lines, &map));
    assert_string_equal(map.path, "[vsyscall]");
    assert_false(gmr__proc_maps_next(&lines, &map));
    gmr__lines_close(&lines);
}

static void directories_yield_their_numbers(void **state)
{
    (void)state;
    char path[64];
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "9/task/%d", i * 1000);
        tree_directory(path);
    }
    tree_directory("9/task/self");
    tree_directory("9/task/12x");
    tree_directory("9/task/99999999999");
    struct gmr__dir dir;
    int number, count = 0;
    long sum = 0;
    assert_int_equal(gmr__proc_tasks_open(&dir, tree_root, 9), 0);
    for (; gmr__dir_next(&dir, &number); count++)
        sum += number;
    assert_int_equal(dir.error, 0);
    gmr__dir_close(&dir);
    assert_int_equal(count, 300);
    assert_int_equal(sum, 299L * 300 / 2 * 1000);
    assert_int_equal(gmr__proc_fds_open(&dir, tree_root, 9), -ENOENT);
    assert_false(gmr__dir_next(&dir, &number));
}

static void status_of_a_liar_does_no_harm(void **state)
{
    (void)state;
    struct gmr__proc_status status;
    tree_put("11/status",
             "Uid:\t-1\t2\t3\t4\nGid:\t99999999999 1 2 3\nVmRSS:\t18446744073709551616 kB\nTracerPid:\t4294967296\n"
             "SigBlk:\t00000000000000001\nThreads:\tx\nNSpid:\t11\t5\t1\nSeccomp:");
    assert_int_equal(gmr__proc_status(tree_root, 11, 0, &status), 0);
    assert_false(status.has_ids);
    assert_int_equal(status.vm_rss_kb, 0);
    assert_int_equal(status.tracer, 0);
    assert_int_equal(status.ns_pid, 1);
    assert_int_equal(status.seccomp, -1);
    tree_put("12/status", "nothing of the kind");
    assert_int_equal(gmr__proc_status(tree_root, 12, 0, &status), -EBADMSG);
}

static void a_path_that_does_not_fit_is_no_path(void **state)
{
    (void)state;
    char to[32];
    assert_string_equal(gmr__proc_path(to, sizeof(to), "/proc", 12, 34, "stat"), "/proc/12/task/34/stat");
    assert_string_equal(gmr__proc_path(to, sizeof(to), "/proc", 0, 0, "meminfo"), "/proc/meminfo");
    assert_string_equal(gmr__proc_path(to, 10, "/proc", 12, 34, "stat"), "");
}

static void times_are_those_of_libc(void **state)
{
    (void)state;
    char ours[32], theirs[32];
    for (uint64_t t = 0; t < 253402300800u; t += 86399 * 311 + 7) {
        time_t seconds = (time_t)t;
        struct tm tm;
        gmr__iso_time(ours, sizeof(ours), t);
        strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
        if (tm.tm_year + 1900 >= 1000)
            assert_string_equal(ours, theirs);
    }
    gmr__iso_time(ours, sizeof(ours), UINT64_MAX);
    assert_string_equal(ours, "9999-12-31T23:59:59Z");
}

static void names_come_from_the_file_alone(void **state)
{
    (void)state;
    char name[32];
    tree_put("etc/passwd",
             "root:x:0:0::/:/bin/sh\n:x:5:5::/:\nbroken\n+::::::\nlong-name-of-a-user-that-is-longer-than-32:x:6:6:::\n"
             "a:x:18446744073709551617:1:::\nb:x:7");
    gmr__user_name(tree_root, 0, name, sizeof(name));
    assert_string_equal(name, "root");
    gmr__user_name(tree_root, 5, name, sizeof(name));
    assert_string_equal(name, "5");
    gmr__user_name(tree_root, 1, name, sizeof(name));
    assert_string_equal(name, "1");
    gmr__user_name(tree_root, 7, name, sizeof(name));
    assert_string_equal(name, "7");
    gmr__user_name(tree_root, 6, name, sizeof(name));
    assert_int_equal(strlen(name), 31);
    gmr__user_name("/nonexistent", 4294967295u, name, sizeof(name));
    assert_string_equal(name, "4294967295");
}

static void the_host_s_figures_are_there(void **state)
{
    (void)state;
    struct gmr__proc_memory memory;
    assert_int_equal(gmr__proc_memory("/proc", &memory), 0);
    assert_true(memory.total > 1 << 20 && memory.available <= memory.total);
    uint64_t boot;
    assert_int_equal(gmr__proc_boot_time("/proc", &boot), 0);
    assert_true(boot > 0 && boot < gmr__realtime_ns() / 1000000000u);
    assert_int_equal(gmr__proc_boot_time("/nonexistent", &boot), -ENOENT);
    assert_int_equal(boot, 0);
}

static int setup(void **state)
{
    (void)state;
    tree_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tree_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_may_hold_anything),
        cmocka_unit_test(a_broken_stat_line_is_refused),
        cmocka_unit_test(one_s_own_stat_agrees_with_libc),
        cmocka_unit_test(lines_of_any_length_keep_their_order),
        cmocka_unit_test(a_line_as_long_as_the_buffer_is_whole),
        cmocka_unit_test(maps_are_parsed_and_lies_passed_over),
        cmocka_unit_test(directories_yield_their_numbers),
        cmocka_unit_test(status_of_a_liar_does_no_harm),
        cmocka_unit_test(a_path_that_does_not_fit_is_no_path),
        cmocka_unit_test(times_are_those_of_libc),
        cmocka_unit_test(names_come_from_the_file_alone),
        cmocka_unit_test(the_host_s_figures_are_there),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
