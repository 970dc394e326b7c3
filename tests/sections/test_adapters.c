/* tests/sections/test_adapters.c - gmr/adapters: what GKeyFile, libconfig and jansson hold, in the Configuration section of a real report. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "gmr/adapters/gkeyfile.h"
#include "gmr/adapters/jansson.h"
#include "gmr/adapters/libconfig.h"

static char out[1 << 16];

static void report(void)
{
    int fd = memfd_create("report", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(gmr_report_section(fd, GMR_VIEW_TEXT, "Configuration"), 0);
    ssize_t n = pread(fd, out, sizeof(out) - 1, 0);
    assert_true(n > 0);
    out[n] = '\0';
    close(fd);
}

static void shows(const char *text)
{
    if (!strstr(out, text))
        fail_msg("%s\nis not in\n%s", text, out);
}

static void a_key_file_is_shown(void **state)
{
    static const char text[] =
        "[database]\nconnection=mysql://u:geheim@h/db\nadmin_password=geheim\npool=5\n[api]\nhosts=a;b;\n";
    GKeyFile *file = g_key_file_new();
    (void)state;
    assert_true(g_key_file_load_from_data(file, text, sizeof(text) - 1, G_KEY_FILE_NONE, NULL));
    assert_int_equal(gmr_config_register_provider(gmr_provide_gkeyfile, file), 0);
    report();
    shows("\napi: \n  hosts = a;b;\n");
    shows("\ndatabase: \n  admin_password = ***\n  connection = mysql://***:***@h/db\n  pool = 5\n");
    assert_null(strstr(out, "geheim"));
    g_key_file_set_integer(file, "database", "pool", 6);
    report();
    shows("  pool = 6\n");
    assert_int_equal(gmr_config_unregister_provider(gmr_provide_gkeyfile, file), 0);
    g_key_file_free(file);
}

static void a_libconfig_is_shown(void **state)
{
    config_t config;
    (void)state;
    config_init(&config);
    assert_int_equal(
        config_read_string(&config,
                           "debug = true; db = { password = \"geheim\"; port = 5432; ratio = 0.5; big = 5000000000L;\n"
                           "inner = { hosts = [\"b\", \"a\"]; mixed = (1, \"x\", { k = 1; }); }; };"),
        CONFIG_TRUE);
    assert_int_equal(gmr_config_register_provider(gmr_provide_libconfig, &config), 0);
    report();
    shows("\ndb: \n  big = 5000000000\n\n  inner: \n    hosts = \n      a\n      b\n    mixed = \n");
    shows("  password = ***\n  port = 5432\n  ratio = 0.5\n");
    shows("\ndefault: \n  debug = True\n");
    assert_null(strstr(out, "geheim"));
    assert_int_equal(gmr_config_unregister_provider(gmr_provide_libconfig, &config), 0);
    config_destroy(&config);
}

static void a_json_object_is_shown(void **state)
{
    json_t *config = json_loads(
        "{\"workers\": 4, \"log\": {\"level\": \"info\", \"token\": \"geheim\", \"to\": [\"x\", null, true, 1.5]}}", 0,
        NULL);
    (void)state;
    assert_int_equal(gmr_config_register_provider(gmr_provide_jansson, config), 0);
    report();
    shows("\ndefault: \n  workers = 4\n\nlog: \n  level = info\n  to = \n    1.5\n    None\n    True\n    x\n  token = "
          "***\n");
    assert_null(strstr(out, "geheim"));
    assert_int_equal(gmr_config_unregister_provider(gmr_provide_jansson, config), 0);
    json_decref(config);
}

int main(void)
{
    const struct gmr_options options = {.size = sizeof(options), .signal = GMR_SIGNAL_NONE, .control_socket = GMR_OFF};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_file_is_shown),
        cmocka_unit_test(a_libconfig_is_shown),
        cmocka_unit_test(a_json_object_is_shown),
    };
    gmr_setup_autorun(&options);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
