/* tests/unit/test_trigger.c - trigger/: when the watched file has moved, by polling alone, and what a control-socket client asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/sys.h"
#include "trigger/trigger.h"

static char path[64];
static struct gmr__settings settings = {.watch_interval_ms = 1000};

static int begin(void **state)
{
    (void)state;
    char place[] = "/tmp/gmr-trigger-XXXXXX";
    if (!mkdtemp(place))
        return -1;
    snprintf(path, sizeof(path), "%s/file", place);
    settings.watch_file = path;
    gmr__rt.settings = &settings;
    gmr__rt.fds.watch = -1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    *strrchr(path, '/') = '\0';
    if (gmr__rt.fds.watch >= 0)
        close(gmr__rt.fds.watch);
    gmr__rt.settings = NULL;
    return rmdir(path);
}

static void touch(time_t second)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    struct timespec times[2] = {{.tv_sec = second}, {.tv_sec = second}};
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static void a_file_that_comes_goes_and_returns_is_seen_without_inotify(void **state)
{
    (void)state;
    struct gmr__watch watch;
    gmr__watch_begin(&watch);
    assert_false(gmr__watch_look(&watch, false)); /* it is not there yet */
    touch(1000);
    assert_true(gmr__watch_look(&watch, false));
    assert_false(gmr__watch_look(&watch, false)); /* once only */
    touch(2000);
    assert_true(gmr__watch_look(&watch, false));
    unlink(path);
    assert_false(gmr__watch_look(&watch, false));
    touch(1500); /* an older time is another time, too */
    assert_true(gmr__watch_look(&watch, false));
    assert_false(gmr__watch_look(&watch, false));
}

static void a_file_that_was_there_at_the_start_is_no_trigger(void **state)
{
    (void)state;
    touch(1000);
    struct gmr__watch watch;
    gmr__watch_begin(&watch);
    assert_false(gmr__watch_look(&watch, false));
    assert_true(watch.next_ns > gmr__now_ns()); /* the next look is in the future, not at once */
}

/* Reads one line as the reporter does; the verb, and whether the client is still there. */
static enum gmr__verb ask(const char *line, bool *dropped)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct gmr__guest guest = {.fd = pair[0], .since_ns = gmr__now_ns()};
    struct gmr__wish wish = {0};
    char names[256];
    assert_int_equal(write(pair[1], line, strlen(line)), (ssize_t)strlen(line));
    enum gmr__verb verb = gmr__guest_read(&guest, &wish, names, sizeof(names));
    *dropped = guest.fd < 0;
    gmr__guest_drop(&guest);
    close(pair[1]);
    return verb;
}

static void a_line_of_the_protocol_is_understood_and_no_other(void **state)
{
    (void)state;
    bool dropped;
    assert_int_equal(ask("gmr/1 hello\n", &dropped), GMR__VERB_HELLO);
    assert_int_equal(ask("gmr/1 trigger\n", &dropped), GMR__VERB_TRIGGER);
    assert_int_equal(ask("gmr/1 sections view=json names=package\n", &dropped), GMR__VERB_SECTIONS);
    assert_int_equal(ask("gmr/1 hel", &dropped), GMR__VERB_NONE); /* the rest of the line may come yet */
    assert_false(dropped);
    static const char *const wrong[] = {"gmr/9 hello\n", "GET / HTTP/1.1\n", "\n", "gmr/1\n", "gmr/1 reboot\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_int_equal(ask(wrong[i], &dropped), GMR__VERB_NONE);
        assert_true(dropped);
    }
}

static void a_line_without_an_end_is_given_up(void **state)
{
    (void)state;
    static char endless[1500];
    memset(endless, 'a', sizeof(endless) - 1);
    bool dropped;
    assert_int_equal(ask(endless, &dropped), GMR__VERB_NONE);
    assert_true(dropped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_that_comes_goes_and_returns_is_seen_without_inotify, begin, end),
        cmocka_unit_test_setup_teardown(a_file_that_was_there_at_the_start_is_no_trigger, begin, end),
        cmocka_unit_test(a_line_of_the_protocol_is_understood_and_no_other),
        cmocka_unit_test(a_line_without_an_end_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
