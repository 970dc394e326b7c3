/*
 * tests/unit/test_threads.c - the whole of libgmr used from many threads at once: setup, sections, configuration and green threads come and
 * go while reports are written and triggered. What it is for is the thread sanitizer, which runs it, too; by itself it shows that no call
 * fails, hangs or loses a section. GMR_INSPECTOR names the gmr command of a build without sanitizers; without one there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gmr/gmr.h"
#include "gmr/green.h"

#define ROUNDS 8

static atomic_bool done;
static char directory[] = "/tmp/gmr-threads-XXXXXX";

static int section(struct gmr_writer *writer, void *userdata)
{
    gmr_put_int(writer, "answer", 42);
    gmr_put_string(writer, "userdata", userdata);
    return 0;
}

static void *sections(void *name)
{
    while (!atomic_load(&done)) {
        if (gmr_register_section(name, section, name) != 0)
            return "a section was not taken";
        usleep(200);
        int error = gmr_unregister_section(name, section);
        if (error != 0 && error != -EBUSY)
            return "a section was not given back";
    }
    return NULL;
}

static void *groups(void *name)
{
    static const int value = 5;
    static const struct gmr_config_option options[] = {{"an_option", GMR_CONFIG_INT, &value, 0}};
    while (!atomic_load(&done)) {
        if (gmr_config_register_group(name, options, 1) != 0)
            return "a group was not taken";
        usleep(200);
        if (gmr_config_unregister_group(name) != 0)
            return "a group was not given back";
    }
    return NULL;
}

static void *greens(void *unused)
{
    struct gmr_green *held[64] = {NULL};
    const struct gmr_layout *layout = gmr_green_layout(GMR_LAYOUT_UCONTEXT);
    (void)unused;
    for (unsigned i = 0; !atomic_load(&done); i++) {
        struct gmr_green **place = &held[i % 64];
        gmr_green_del(*place);
        *place = gmr_green_add(layout, held, sizeof(held), held, NULL, NULL);
        gmr_green_name(*place, "a name");
        gmr_green_wait(*place, "a reason", held);
        usleep(50);
    }
    for (int i = 0; i < 64; i++)
        gmr_green_del(held[i]);
    return NULL;
}

static void log_message(void *userdata, int priority, const char *message)
{
    (void)userdata;
    (void)priority;
    (void)message;
}

static void *setups(void *unused)
{
    (void)unused;
    while (!atomic_load(&done)) {
        struct gmr_options options = {.size = sizeof(options),
                                      .product = "threads",
                                      .log_dir = directory,
                                      .inspector = getenv("GMR_INSPECTOR"),
                                      .log = log_message,
                                      .min_interval_ms = 1};
        if (gmr_setup_autorun(&options) < 0)
            return "setup failed";
        gmr_triggers_armed();
        gmr_report_trigger();
        usleep(60000);
    }
    return NULL;
}

/* In memory, not /dev/null: a report that lost its end is seen. */
static void *reports(void *unused)
{
    char text[64];
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        int fd = memfd_create("report", MFD_CLOEXEC);
        int error =
            i % 4 ? gmr_report_section(fd, GMR_VIEW_JSON, "Configuration") : gmr_report_write(fd, GMR_VIEW_JSON);
        struct stat st;
        bool whole = fstat(fd, &st) == 0 && st.st_size > 10 && pread(fd, text, 2, st.st_size - 2) == 2 &&
                     memcmp(text, "}\n", 2) == 0;
        close(fd);
        if (error) {
            snprintf(text, sizeof(text), "a report failed: %s", strerror(-error));
            return strdup(text);
        }
        if (!whole)
            return "a report has no end";
    }
    return NULL;
}

static void everything_at_once(void **state)
{
    static const struct {
        void *(*run)(void *argument);
        const char *argument;
    } others[] = {{sections, "One"}, {sections, "Two"}, {sections, "One"}, {groups, "a"},
                  {groups, "b"},     {greens, NULL},    {greens, NULL},    {setups, NULL}};
    enum { OTHERS = sizeof(others) / sizeof(others[0]), REPORTERS = 2 };
    pthread_t threads[OTHERS + REPORTERS];
    void *problem;
    (void)state;
    for (int i = 0; i < OTHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, others[i].run, (void *)others[i].argument), 0);
    for (int i = OTHERS; i < OTHERS + REPORTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reports, NULL), 0);
    for (int i = OTHERS + REPORTERS - 1; i >= 0; i--) {
        if (i == OTHERS - 1)
            atomic_store(&done, true);
        pthread_join(threads[i], &problem);
        assert_string_equal(problem ? problem : "", "");
    }
    assert_int_equal(gmr_shutdown(), 0);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int end(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_at_once)};
    return cmocka_run_group_tests(tests, begin, end);
}
