/* tests/sections/test_config.c - config/: what is registered is shown as it is then, and no secret with it; settings files good and bad. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../unit/tree.h"
#include "config/config.h"

static char out[1 << 16];

/* The Configuration section, sorted, in a view. */
static int render(int view)
{
    static unsigned char arena[1 << 20], scratch[1 << 18];
    struct gmr__sink_mem events, bytes;
    const struct gmr__section_head head = {
        .name = "configuration", .title = "Configuration", .shape = GMR__SHAPE_MAP, .style = gmr__config_style};
    void *place = malloc(gmr__writer_size());
    gmr__sink_mem_init(&events, arena, sizeof(arena));
    struct gmr_writer *w = gmr__writer_init(place, gmr__writer_size(), GMR__VIEW_WIRE, view, &events.sink);
    int result = gmr__config_write(w);
    gmr__writer_flush(w);
    gmr__sink_mem_init(&bytes, out, sizeof(out) - 1);
    w = gmr__writer_init(place, gmr__writer_size(), view, view, &bytes.sink);
    gmr__doc_begin(w, &(struct gmr__doc){.id = "x"});
    gmr__section_begin(w, &head);
    assert_int_equal(gmr__replay_sorted(w, events.base, events.used, scratch, sizeof(scratch)), 0);
    gmr__section_end(w, GMR__OK, NULL, NULL);
    gmr__doc_end(w, &(struct gmr__doc){.id = "x"}, NULL);
    out[bytes.used] = '\0';
    free(place);
    return result;
}

static void shows(const char *text)
{
    if (!strstr(out, text))
        fail_msg("%s\nis not in\n%s", text, out);
}

static void values_are_those_in_force(void **state)
{
    const char *host = "h1", *nothing = NULL, *password = "geheim", *url = "mysql://me:geheim@db/x";
    bool debug = true;
    int port = -5;
    unsigned u = 4000000000u;
    long l = -6000000000;
    uint64_t u64 = UINT64_MAX;
    size_t size = 7;
    double ratio = 0.1;
    const char *list[] = {"b", "a", "redis://x:geheim@y", NULL}, **none = NULL, **items = list;
    const struct gmr_config_option options[] = {
        {"host", GMR_CONFIG_STRING, &host, 0},
        {"nothing", GMR_CONFIG_STRING, &nothing, 0},
        {"db_password", GMR_CONFIG_STRING, &password, 0},
        {"hidden", GMR_CONFIG_INT, &port, GMR_CONFIG_SECRET},
        {"token_words", GMR_CONFIG_STRING, &host, GMR_CONFIG_NOT_SECRET},
        {"use_password", GMR_CONFIG_BOOL, &debug, 0},
        {"connection", GMR_CONFIG_STRING, &url, 0},
        {"debug", GMR_CONFIG_BOOL, &debug, 0},
        {"port", GMR_CONFIG_INT, &port, 0},
        {"u", GMR_CONFIG_UINT, &u, 0},
        {"l", GMR_CONFIG_LONG, &l, 0},
        {"u64", GMR_CONFIG_UINT64, &u64, 0},
        {"size", GMR_CONFIG_SIZE, &size, 0},
        {"ratio", GMR_CONFIG_DOUBLE, &ratio, 0},
        {"list", GMR_CONFIG_LIST, &items, 0},
        {"none", GMR_CONFIG_LIST, &none, 0},
    };
    (void)state;
    assert_int_equal(gmr_config_register_group("DEFAULT", options, sizeof(options) / sizeof(*options)), 0);
    assert_int_equal(render(GMR_VIEW_TEXT), 0);
    shows("\n\ndefault: \n  connection = mysql://***:***@db/x\n  db_password = ***\n  debug = True\n  hidden = ***\n  "
          "host = h1\n  l = -6000000000\n"
          "  list = \n    a\n    b\n    redis://***:***@y\n  none = None\n  nothing = None\n  port = -5\n  ratio = "
          "0.1\n  size = 7\n"
          "  token_words = h1\n  u = 4000000000\n  u64 = 18446744073709551615\n  use_password = True\n");
    assert_null(strstr(out, "geheim"));
    host = "h2";
    port = 80;
    render(GMR_VIEW_JSON);
    shows("\"host\": \"h2\"");
    shows("\"port\": 80");
    shows("\"debug\": true");
    shows("\"nothing\": null");
    assert_null(strstr(out, "geheim"));
    assert_int_equal(gmr_config_unregister_group("default"), 0);
    assert_int_equal(gmr_config_unregister_group("default"), -ENOENT);
}

static void registering_again_adds_and_replaces(void **state)
{
    int one = 1, two = 2;
    const struct gmr_config_option first[] = {
        {"a", GMR_CONFIG_INT, &one, 0}, {"b", GMR_CONFIG_INT, &one, 0}, {"b", GMR_CONFIG_INT, &one, 0}};
    const struct gmr_config_option second[] = {{"b", GMR_CONFIG_INT, &two, 0}, {"c", GMR_CONFIG_INT, &two, 0}};
    (void)state;
    assert_int_equal(gmr_config_register_group("g", first, 3), 0);
    assert_int_equal(gmr_config_register_group("g", second, 2), 0);
    render(GMR_VIEW_TEXT);
    shows("\ndefault: \n\ng: \n  a = 1\n  b = 2\n  c = 2\n");
    gmr_config_unregister_group("g");
    render(GMR_VIEW_JSON);
    shows("\"configuration\": {}");
}

static void memory_that_is_gone_does_no_harm(void **state)
{
    (void)state;
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const char *at_end = page + 4096 - 4, *bad = (const char *)16, *open_end = page + 4096 - 3;
    const char **bad_list = (const char **)32;
    strcpy(page + 4096 - 4, "abc");
    munmap(page + 4096, 4096);
    const struct gmr_config_option options[] = {
        {"ends_at_page", GMR_CONFIG_STRING, &at_end, 0}, {"bad", GMR_CONFIG_STRING, &bad, 0},
        {"unmapped", GMR_CONFIG_INT, page + 5000, 0},    {"bad_list", GMR_CONFIG_LIST, &bad_list, 0},
        {"open_end", GMR_CONFIG_STRING, &open_end, 0},
    };
    gmr_config_register_group("g", options, 5);
    render(GMR_VIEW_TEXT);
    shows("  bad = None\n  bad_list = \n  ends_at_page = abc\n  open_end = bc\n  unmapped = None\n");
    page[4095] = 'x'; /* now it runs out of the page */
    render(GMR_VIEW_TEXT);
    shows("  ends_at_page = None\n");
    munmap(page, 4096);
    gmr_config_unregister_group("g");
}

static int provider(struct gmr_writer *w, void *userdata)
{
    static const char *const columns[] = {"name", "token"}, *const cells[] = {"n", "geheim"};
    gmr_put_string(w, "loose", "at the top");
    gmr_begin_map(w, "DEFAULT");
    gmr_put_string(w, "admin_password", "geheim");
    gmr_put_int(w, "pin", 1234);
    gmr_put_bool(w, "show_password", false);
    gmr_end_map(w);
    gmr_begin_map(w, "g");
    gmr_put_int(w, "a", 99);
    gmr_put_string(w, "dsn", "host=x password=geheim");
    gmr_begin_map(w, "credentials");
    gmr_put_string(w, "user", "geheim");
    gmr_begin_list(w, "all");
    gmr_put_string(w, NULL, "geheim");
    gmr_put_uint(w, NULL, 5);
    gmr_end_list(w);
    gmr_end_map(w);
    gmr_put_string(w, "after", "plain");
    gmr_begin_table(w, "users", columns, 2);
    gmr_put_row(w, cells, 2);
    gmr_end_table(w);
    gmr_end_map(w);
    gmr_begin_map(w, "g");
    gmr_put_int(w, "a", 100);
    gmr_end_map(w);
    if (userdata)
        gmr_begin_map(w, "left open");
    return userdata ? -EIO : 0;
}

static void providers_are_merged_and_masked(void **state)
{
    int one = 1;
    const struct gmr_config_option options[] = {{"a", GMR_CONFIG_INT, &one, 0}};
    (void)state;
    gmr_config_register_group("g", options, 1);
    assert_int_equal(gmr_config_register_provider(provider, NULL), 0);
    assert_int_equal(render(GMR_VIEW_TEXT), 0);
    shows("default: \n  admin_password = ***\n  loose = at the top\n  pin = ***\n  show_password = False\n\ng: \n  a = "
          "1\n  after = plain\n"
          "\n  credentials: \n    all = \n      ***\n      ***\n    user = ***\n  dsn = host=x password=***\n");
    assert_null(strstr(out, "geheim"));
    assert_null(strstr(out, "1234"));
    render(GMR_VIEW_JSON);
    assert_null(strstr(out, "geheim"));
    assert_null(strstr(strstr(out, "\"g\": ") + 1, "\"g\": "));
    render(GMR_VIEW_XML);
    assert_null(strstr(out, "geheim"));
    assert_int_equal(gmr_config_unregister_provider(provider, NULL), 0);
    assert_int_equal(gmr_config_unregister_provider(provider, NULL), -ENOENT);
    gmr_config_register_provider(provider, out);
    assert_int_equal(render(GMR_VIEW_JSON), -EIO);
    shows("\"after\": \"plain\"");
    gmr_config_unregister_provider(provider, out);
    gmr_config_unregister_group("g");
}

static int unregisters_itself(struct gmr_writer *w, void *userdata)
{
    gmr_put_int(w, "once", 1);
    return gmr_config_unregister_provider(unregisters_itself, userdata);
}

static void a_provider_may_take_itself_out(void **state)
{
    (void)state;
    gmr_config_register_provider(unregisters_itself, NULL);
    assert_int_equal(render(GMR_VIEW_TEXT), 0);
    shows("default: \n  once = 1\n");
    assert_int_equal(gmr_config_unregister_provider(unregisters_itself, NULL), -ENOENT);
}

static int quick(struct gmr_writer *w, void *userdata)
{
    gmr_begin_map(w, "g");
    gmr_put_int(w, "n", 1);
    return gmr_end_map(w);
}

/* Values live on this thread's stack: they are gone when it has unregistered them. */
static void *registers_again_and_again(void *argument)
{
    for (int i = 0; i < 3000; i++) {
        int value = i;
        const struct gmr_config_option options[] = {{"a", GMR_CONFIG_INT, &value, 0}, {"b", GMR_CONFIG_INT, &value, 0}};
        assert_int_equal(gmr_config_register_group(argument, options, 2), 0);
        assert_int_equal(gmr_config_register_provider(quick, argument), 0);
        assert_int_equal(gmr_config_unregister_provider(quick, argument), 0);
        assert_int_equal(gmr_config_unregister_group(argument), 0);
    }
    return NULL;
}

static void registering_goes_on_while_reports_are_made(void **state)
{
    static char *names[] = {"t1", "t2", "t3"};
    pthread_t threads[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, registers_again_and_again, names[i]), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(render(i % 2 ? GMR_VIEW_JSON : GMR_VIEW_TEXT), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    render(GMR_VIEW_JSON);
    shows("\"configuration\": {}");
}

static void nonsense_is_refused(void **state)
{
    int one = 1;
    (void)state;
    assert_int_equal(gmr_config_register_group(NULL, NULL, 0), -EINVAL);
    assert_int_equal(gmr_config_register_group("g", NULL, 1), -EINVAL);
    assert_int_equal(gmr_config_register_group("g", &(struct gmr_config_option){NULL, GMR_CONFIG_INT, &one, 0}, 1),
                     -EINVAL);
    assert_int_equal(gmr_config_register_group("g", &(struct gmr_config_option){"x", GMR_CONFIG_INT, NULL, 0}, 1),
                     -EINVAL);
    assert_int_equal(gmr_config_register_group("g", &(struct gmr_config_option){"x", 0, &one, 0}, 1), -EINVAL);
    assert_int_equal(gmr_config_register_group("g", &(struct gmr_config_option){"x", 99, &one, 0}, 1), -EINVAL);
    assert_int_equal(gmr_config_register_provider(NULL, NULL), -EINVAL);
    assert_int_equal(gmr_config_unregister_provider(NULL, NULL), -EINVAL);
    assert_int_equal(gmr_config_unregister_group(NULL), -EINVAL);
    assert_int_equal(gmr_config_register_group("empty", NULL, 0), 0);
    render(GMR_VIEW_TEXT);
    shows("empty: \n");
    gmr_config_unregister_group("empty");
}

/* ------------------------------------------------------------------------------------------------ settings files */

static struct gmr__ini ini;

static int read_ini(const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/x.conf", tree_root);
    tree_put("x.conf", text);
    return gmr__ini_read(path, &ini);
}

static void settings_are_read_as_oslo_config_reads_them(void **state)
{
    (void)state;
    assert_int_equal(
        read_ini(
            "# comment\n; another\n[DEFAULT]\nlog_dir = /wrong\nlist = a,\n  b\n\n[Oslo_Reports]\nlog_dir = /var/log/x "
            "# y ; z\n"
            "file_event_handler: \"/run/a b\"\nfile_event_handler_interval=3\nother = 1\n[late]\nlog_dir=/wrong\n"),
        0);
    assert_string_equal(ini.log_dir, "/var/log/x # y ; z"); /* no comment behind a value */
    assert_string_equal(ini.watch_file, "/run/a b");
    assert_int_equal(ini.interval_ms, 3000);
    assert_int_equal(read_ini("[oslo_reports]\nlog_dir=/a\nlog_dir=/b\n"), 0);
    assert_string_equal(ini.log_dir, "/b");
    assert_int_equal(read_ini("[OSLO_REPORTS]\r\nlog_dir = /crlf\r\n"), 0);
    assert_string_equal(ini.log_dir, "/crlf");
    assert_int_equal(read_ini(""), 0);
    assert_string_equal(ini.log_dir, "");
    assert_int_equal(ini.interval_ms, 0);
    char text[4000] = "[oslo_reports]\nlog_dir = /";
    memset(text + strlen(text), 'x', 3000);
    strcat(text, "\nfile_event_handler = /after\n");
    assert_int_equal(read_ini(text), 0);
    assert_int_equal(strlen(ini.log_dir), 3001);
    assert_string_equal(ini.watch_file, "/after");
}

static void broken_settings_change_nothing_and_say_where(void **state)
{
    static const struct {
        const char *text, *problem;
    } broken[] = {
        {"[oslo_reports]\nlog_dir = /a\nnonsense\n", "x.conf, line 3: neither"},
        {"[oslo_reports\nlog_dir = /a\n", "x.conf, line 1: neither"},
        {"[oslo_reports]\nlog_dir = /a\nfile_event_handler_interval = soon\n",
         "line 3: file_event_handler_interval is not"},
        {"[oslo_reports]\nlog_dir = /a\nfile_event_handler_interval = 0\n",
         "line 3: file_event_handler_interval is not"},
        {"[oslo_reports]\nfile_event_handler_interval = 99999999999999999999\n",
         "line 2: file_event_handler_interval is not"},
        {"[oslo_reports]\nlog_dir = /a\n  /b\n", "line 3: a value of several lines"},
        {"[oslo_reports]\n\nlog_dir = $state_path/x\n", "line 3: log_dir refers to another option"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        assert_int_equal(read_ini(broken[i].text), -EBADMSG);
        if (!strstr(ini.problem, broken[i].problem))
            fail_msg("%s -> %s", broken[i].text, ini.problem);
        assert_string_equal(ini.log_dir, "");
        assert_int_equal(ini.interval_ms, 0);
    }
}

static void files_that_are_none_are_refused(void **state)
{
    char path[128];
    (void)state;
    assert_int_equal(gmr__ini_read("/nonexistent.conf", &ini), -ENOENT);
    assert_string_equal(ini.problem, "/nonexistent.conf: No such file or directory");
    assert_int_equal(gmr__ini_read(tree_root, &ini), -EINVAL);
    assert_non_null(strstr(ini.problem, "is a directory"));
    snprintf(path, sizeof(path), "%s/fifo", tree_root);
    mkfifo(path, 0600);
    assert_int_equal(gmr__ini_read(path, &ini), -EINVAL);
    assert_int_equal(gmr__ini_read("/dev/zero", &ini), -EINVAL);
    assert_int_equal(gmr__ini_read(NULL, &ini), -EINVAL);
    tree_put_bytes("nul", "[oslo_reports]\nlog_dir=/a\0b\n", 28);
    snprintf(path, sizeof(path), "%s/nul", tree_root);
    assert_int_equal(gmr__ini_read(path, &ini), -EBADMSG);
    assert_non_null(strstr(ini.problem, "NUL"));
    snprintf(path, sizeof(path), "%s/big", tree_root);
    tree_put("big", "x");
    assert_int_equal(truncate(path, 1ll << 33), 0);
    assert_int_equal(gmr__ini_read(path, &ini), -EFBIG);
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
        cmocka_unit_test(values_are_those_in_force),
        cmocka_unit_test(registering_again_adds_and_replaces),
        cmocka_unit_test(memory_that_is_gone_does_no_harm),
        cmocka_unit_test(providers_are_merged_and_masked),
        cmocka_unit_test(a_provider_may_take_itself_out),
        cmocka_unit_test(registering_goes_on_while_reports_are_made),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(settings_are_read_as_oslo_config_reads_them),
        cmocka_unit_test(broken_settings_change_nothing_and_say_where),
        cmocka_unit_test(files_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
