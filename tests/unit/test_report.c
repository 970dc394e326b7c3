/* tests/unit/test_report.c - report/: settings by precedence, how many report files stay, a report in memory, the order of sections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "report/order.h"
#include "report/output.h"
#include "report/runtime.h"
#include "report/spool.h"
#include "sys/sys.h"

#define PREFIX "daemon_gurumeditation_"

static char directory[64];
static int directory_fd;

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/gmr-report-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY);
    return directory_fd < 0 ? -1 : 0;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    close(directory_fd);
    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command);
}

/* A file of `bytes`, modified `age` seconds before now. */
static void make(const char *name, size_t bytes, int age)
{
    int fd = openat(directory_fd, name, O_CREAT | O_WRONLY | O_EXCL, 0600);
    struct timespec times[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static bool there(const char *name)
{
    return faccessat(directory_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void the_oldest_reports_go_until_the_count_holds(void **state)
{
    (void)state;
    make(PREFIX "20260101000000_1_1", 10, 300);
    make(PREFIX "20260101000000_1_2", 10, 100);
    make(PREFIX "20260101000000_1_3", 10, 200);
    gmr__retain(directory_fd, PREFIX, "", 2, 1000);
    assert_false(there(PREFIX "20260101000000_1_1"));
    assert_true(there(PREFIX "20260101000000_1_2"));
    assert_true(there(PREFIX "20260101000000_1_3"));
}

static void the_oldest_reports_go_until_the_size_holds(void **state)
{
    (void)state;
    make(PREFIX "20260101000000_1_1", 600, 300);
    make(PREFIX "20260101000000_1_2", 600, 200);
    make(PREFIX "20260101000000_1_3", 600, 100);
    gmr__retain(directory_fd, PREFIX, "", 100, 1000);
    assert_false(there(PREFIX "20260101000000_1_1"));
    assert_false(there(PREFIX "20260101000000_1_2"));
    assert_true(there(PREFIX "20260101000000_1_3"));
}

static void nothing_else_is_ever_removed(void **state)
{
    (void)state;
    static const char *const others[] = {"daemon_gurumeditation_notes", "other_gurumeditation_20260101000000_1_1",
                                         PREFIX "20260101000000", PREFIX "20260101000000_1_1.gz", PREFIX "2026_1_1"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        make(others[i], 5000, 1000);
    assert_int_equal(symlinkat("daemon_gurumeditation_notes", directory_fd, PREFIX "20260101000000_9_9"), 0);
    make(PREFIX "20260101000000_1_1", 5000, 500);
    gmr__retain(directory_fd, PREFIX, PREFIX "20260101000000_1_1", 0, 0);
    assert_true(there(PREFIX "20260101000000_1_1")); /* the one just written */
    gmr__retain(directory_fd, PREFIX, "", 0, 0);
    assert_false(there(PREFIX "20260101000000_1_1"));
    assert_true(there(PREFIX "20260101000000_9_9"));
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_true(there(others[i]));
}

static void the_environment_wins_over_the_file_and_the_file_over_the_program(void **state)
{
    (void)state;
    make("daemon.conf", 0, 0);
    char config[128];
    snprintf(config, sizeof(config), "%s/daemon.conf", directory);
    FILE *file = fopen(config, "w");
    assert_non_null(file);
    fprintf(file,
            "[oslo_reports]\nlog_dir = /from/file\nfile_event_handler = /watched\nfile_event_handler_interval = 7\n");
    fclose(file);
    struct gmr_options options = {.size = sizeof(options),
                                  .log_dir = "/from/program",
                                  .service = "from-program",
                                  .watch_interval_ms = 3,
                                  .config_file = config};
    setenv("GMR_SERVICE", "from-environment", 1);
    struct gmr__settings *settings = gmr__settings_new(&options);
    unsetenv("GMR_SERVICE");
    assert_non_null(settings);
    assert_string_equal(settings->service, "from-environment");
    assert_string_equal(settings->log_dir, "/from/file");
    assert_string_equal(settings->watch_file, "/watched");
    assert_int_equal(settings->watch_interval_ms, 7000);
    gmr__settings_free(settings);
    options = (struct gmr_options){.size = sizeof(options), .log_dir = "/from/program"};
    settings = gmr__settings_new(&options);
    assert_non_null(settings);
    assert_string_equal(settings->log_dir, "/from/program");
    assert_int_equal(settings->view, GMR_VIEW_TEXT);
    gmr__settings_free(settings);
}

static int compare(void *userdata, const void *bytes, size_t count)
{
    size_t *at = userdata;
    for (size_t i = 0; i < count; i++, ++*at)
        assert_int_equal(((const unsigned char *)bytes)[i], (unsigned char)(*at * 7));
    return 0;
}

static void a_spool_gives_back_what_was_put_in(void **state)
{
    (void)state;
    struct gmr__spool spool;
    gmr__spool_init(&spool);
    unsigned char bytes[977];
    size_t put = 0, got = 0;
    while (put < 3000000) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (unsigned char)((put + i) * 7);
        assert_int_equal(spool.sink.write(&spool.sink, bytes, sizeof(bytes)), 0);
        put += sizeof(bytes);
    }
    assert_int_equal(gmr__spool_each(&spool, compare, &got), 0);
    assert_int_equal(got, put);
    gmr__spool_free(&spool);
}

static void every_section_stands_once_in_the_order(void **state)
{
    (void)state;
    int count = 0;
    for (const struct gmr__order_entry *entry = gmr__report_order; entry->name; entry++, count++) {
        assert_true((entry->half == GMR__HALF_PROC) == (entry->proc != NULL));
        for (const struct gmr__order_entry *other = gmr__report_order; other != entry; other++)
            assert_string_not_equal(entry->name, other->name);
    }
    assert_true(count >= 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_oldest_reports_go_until_the_count_holds, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(the_oldest_reports_go_until_the_size_holds, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(nothing_else_is_ever_removed, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(the_environment_wins_over_the_file_and_the_file_over_the_program,
                                        make_directory, remove_directory),
        cmocka_unit_test(a_spool_gives_back_what_was_put_in),
        cmocka_unit_test(every_section_stands_once_in_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
