/* tests/unit/test_secrets.c - section/secrets: a corpus of what must be masked, of what must not, and random secrets in many dresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "section/secrets.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void names_of_secrets_are_known(void **state)
{
    static const char *const secret[] = {
        "password",
        "PASSWORD",
        "db_password",
        "dbPassword",
        "rabbit-password",
        "passwd",
        "pwd",
        "DB_PWD",
        "secret",
        "client_secret",
        "AWS_SECRET_ACCESS_KEY",
        "token",
        "authToken",
        "x-auth-token",
        "credential",
        "credentials",
        "private_key",
        "privateKey",
        "ssh key",
        "API key",
        "api-key",
        "ApiKey",
        "apikey",
        "connection_string",
        "ConnectionString",
        "auth",
        "proxy_auth",
        "requirepass",
        "masterauth",
        "pass",
        "smtp.pass",
        "PGPASSWORD",
        "MYSQL_PWD",
        "passphrase",
        "cookie",
        "Authorization",
        "key",
        "encryption_key",
        "jwt",
        "memcache_secret_key",
        "metadata_proxy_shared_secret",
        "transport.sasl.password",
        "SSHPASS",
        "xxxxpasswordxxxx",
        "ldap_bind_pw",
    };
    static const char *const plain[] = {
        "",
        "user",
        "author",
        "authority",
        "compass_heading",
        "bypass_cache",
        "PWD",
        "OLDPWD",
        "host",
        "monkey",
        "keyboard",
        "max_tokens",
        "cwd",
        "password_min_length",
        "token_ttl",
        "auth_url",
        "auth_strategy",
        "private_key_file",
        "public_key",
        "primary_key",
        "passive",
        "stoken",
        "keepalive",
        "tokenizer",
        "cookiejar",
        "cookie_path",
        "spin",
        "debug",
        "log_dir",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(secret); i++) {
        if (!gmr__secret_name(secret[i]))
            fail_msg("not known as a secret: %s", secret[i]);
    }
    for (size_t i = 0; i < COUNT(plain); i++) {
        if (gmr__secret_name(plain[i]))
            fail_msg("taken for a secret: %s", plain[i]);
    }
    assert_false(gmr__secret_name(NULL));
    char longest[5000];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + sizeof(longest) - 10, "_password", 10);
    assert_true(gmr__secret_name(longest));
}

static const struct {
    const char *value, *masked;
} values[] = {
    {"mysql://user:pw@host/db", "mysql://***:***@host/db"},
    {"mysql+pymysql://u:p@ss@h:3306/db?charset=utf8", "mysql+pymysql://***:***@h:3306/db?charset=utf8"},
    {"postgres://u:p/w#x@h/db", "postgres://***:***@h/db"},
    {"redis://:pw@h", "redis://***:***@h"},
    {"ssh://git@host/repo", "ssh://***@host/repo"},
    {"rabbit://u:p@h1:5672,u2:p2@h2:5672/", "rabbit://***:***@h2:5672/"},
    {"http://host:8080/path", "http://host:8080/path"},
    {"http://[::1]:8080/path", "http://[::1]:8080/path"},
    {"https://example.com/@user", "https://example.com/@user"},
    {"mysql://user:pw", "mysql://***:***"},
    {"mysql://user:p w@host", "mysql://***:***@host"},
    {"user:pw@tcp(h:3306)/db", "***:***@tcp(h:3306)/db"},
    {"root@example.com", "root@example.com"},
    {"img/x:1@sha256:abc", "img/x:1@sha256:abc"},
    {"password=abc", "password=***"},
    {"host=h password=a\\ b dbname=d", "host=h password=*** dbname=d"},
    {"host=h password='a b' dbname=d", "host=h password='***' dbname=d"},
    {"Server=s;Password=x;y;Database=d", "Server=s;Password=***"},
    {"password: a b c", "password: ***"},
    {"password = a b c\nnext = 1", "password = ***\nnext = 1"},
    {"{\"password\": \"a\\\"b\", \"user\": \"u\"}", "{\"password\": \"***\", \"user\": \"u\"}"},
    {"{\\\"password\\\": \\\"ab\\\", 1}", "{\\\"password\\\": \\\"***\\\", 1}"},
    {"{'password': 'a', 'n': 1}", "{'password': '***', 'n': 1}"},
    {"Authorization: Basic dXNlcjpwdw==", "Authorization: ***"},
    {"curl -H 'Authorization: Bearer abc' x", "curl -H 'Authorization: ***"},
    {"Bearer abcdefgh.ijk", "Bearer ***"},
    {"basic configuration", "basic configuration"},
    {"X-Auth-Token: abc", "X-Auth-Token: ***"},
    {"API key: abc def", "API key: ***"},
    {"https://h/p?token=abc&x=1", "https://h/p?token=***"},
    {"requirepass foobared", "requirepass ***"},
    {"ALTER USER x PASSWORD 'abc' VALID", "ALTER USER x PASSWORD '***' VALID"},
    {"CREATE USER x IDENTIFIED BY 'abc';", "CREATE USER x IDENTIFIED BY '***';"},
    {"run --password abc --host h", "run --password *** --host h"},
    {"a AKIAIOSFODNN7EXAMPLE b", "a *** b"},
    {"ghp_0123456789abcdefghij0123456789abcdef", "***"},
    {"root:$6$saltsalt$0123456789012345678901234567890:1", "root:***"},
    {"-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nx",
     "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\nx"},
    {"-----BEGIN PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY-----***"},
    {"-----BEGIN CERTIFICATE-----\nMIIE", "-----BEGIN CERTIFICATE-----\nMIIE"},
    {"password_file=/etc/x", "password_file=/etc/x"},
    {"nothing here, 12:30:00 and a=b", "nothing here, 12:30:00 and a=b"},
    {"", ""},
};

static void values_are_masked(void **state)
{
    char to[512], again[512];
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        gmr__mask_value(values[i].value, strlen(values[i].value), to, sizeof(to));
        if (strcmp(to, values[i].masked))
            fail_msg("%s\n -> %s\nnot %s", values[i].value, to, values[i].masked);
        gmr__mask_value(to, strlen(to), again, sizeof(again));
        assert_string_equal(again, to);
        assert_int_equal(gmr__value_has_secret(values[i].value, strlen(values[i].value)),
                         strcmp(values[i].value, values[i].masked) != 0);
    }
}

static void join(void *userdata, const char *text, size_t bytes)
{
    char *to = userdata;
    assert_int_equal(strlen(text), bytes);
    strcat(to, text);
    strcat(to, "|");
}

static const struct {
    const char *command, *masked; /* '|' between arguments */
} commands[] = {
    {"prog|--password=x|y", "prog|--password=***|y|"},
    {"prog|--password|x y|z", "prog|--password|***|z|"},
    {"prog|-password|x", "prog|-password|***|"},
    {"prog|--use-token|--api-key|SECRET", "prog|--use-token|***|***|"},
    {"/usr/bin/mysqldump|-uroot|-pHUSH|db", "/usr/bin/mysqldump|-uroot|-p***|db|"},
    {"mysql|-p|db", "mysql|-p|db|"},
    {"sudo|mysql|-pHUSH", "sudo|mysql|-p***|"},
    {"nginx|-p|8080|-p80", "nginx|-p|8080|-p80|"},
    {"sh|-c|mysql -uroot -pHUSH db | gzip", "sh|-c|mysql -uroot -p*** db | gzip|"},
    {"curl|-u|me:pw|http://a:b@h/", "curl|-u|***|http://***:***@h/|"},
    {"curl|-H|Authorization: Bearer abc", "curl|-H|Authorization: ***|"},
    {"redis-cli|-a|pw|get|x", "redis-cli|-a|***|get|x|"},
    {"env|PGPASSWORD=a b|psql|-h|x", "env|PGPASSWORD=***|psql|-h|x|"},
    {"java|-Djavax.net.ssl.keyStorePassword=x|-jar", "java|-Djavax.net.ssl.keyStorePassword=***|-jar|"},
    {"prog||last", "prog||last|"},
    {"nginx: worker process", "nginx:|worker|process|"},
};

static void commands_are_masked(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(commands); i++) {
        char line[512], out[1024] = "";
        size_t n = strlen(commands[i].command) + 1;
        memcpy(line, commands[i].command, n);
        for (char *bar = line; (bar = strchr(bar, '|'));) {
            if (bar[1] == ' ') /* a pipe within an argument */
                bar++;
            else
                *bar++ = '\0';
        }
        gmr__each_argument(line, n, false, join, out);
        if (strcmp(out, commands[i].masked))
            fail_msg("%s\n -> %s\nnot %s", commands[i].command, out, commands[i].masked);
    }
}

static void a_cut_command_line_does_not_show_its_end(void **state)
{
    char out[128] = "";
    (void)state;
    gmr__each_argument("prog\0--x\0mysql://user:pas", 23, true, join, out);
    assert_string_equal(out, "prog|--x|...|");
    out[0] = '\0';
    gmr__each_argument("title with blanks", 17, false, join, out);
    assert_string_equal(out, "title|with|blanks|");
    out[0] = '\0';
    gmr__each_argument("title --password \"a b c\" d", 26, false, join, out);
    assert_string_equal(out, "title|--password|***|||d|");
    gmr__each_argument("", 0, false, join, out);
}

static uint64_t seed = 88172645463325252u;

static unsigned random_below(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

/* %s is where the secret goes. Characters that would end the secret there are in `without`. */
static const struct {
    const char *dress, *without;
    bool command;
} dresses[] = {
    {"password=%s", " ", false},
    {"a=1 db_password=%s b=2", " ", false},
    {"password: %s", "", false},
    {"secret = %s", "", false},
    {"{\"api_key\": \"%s\", \"x\": 1}", "\"\\", false},
    {"{'token':'%s'}", "'\\", false},
    {"mysql://user:%s@host/db", " \"<>`", false},
    {"amqp://%s:pw@host/", ":/?# \"<>`", false},
    {"x, http://u:%s@h/p y", " @\"<>`", false},
    {"Authorization: Bearer %s", "", false},
    {"Cookie: a=%s", "", false},
    {"--password %s", " ", false},
    {"-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END", "-", false},
    {"prog\1--password=%s\1x", "", true},
    {"prog\1--password\1%s\1x", "", true},
    {"mysql\1-p%s\1x", " ", true},
    {"prog\1PASSWORD=%s", "", true},
    {"curl\1-u\1u:%s\1x", "", true},
    {"sh\1-c\1x --token=%s y", " \"'", true},
};

static void collect(void *userdata, const char *text, size_t bytes)
{
    strncat(userdata, text, bytes);
    strcat(userdata, "\n");
}

static void no_piece_of_a_random_secret_shows(void **state)
{
    static const char letters[] = "QWXZJKqwxzjk79!$%&/()=?@#:;,.<>|{}[]'\"\\ +*~^";
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t d = random_below(COUNT(dresses));
        char secret[40], text[256], out[2048] = "";
        size_t n = 8 + random_below(20);
        for (size_t i = 0; i < n;) {
            char c = letters[random_below(i % 3 == 1 ? 12 : sizeof(letters) - 1)];
            if (!strchr(dresses[d].without, c))
                secret[i++] = c;
        }
        secret[0] = 'Q'; /* not a quote, a blank or an empty value */
        secret[n - 1] = 'Z';
        secret[n] = '\0';
        snprintf(text, sizeof(text), dresses[d].dress, secret);
        size_t bytes = strlen(text);
        if (dresses[d].command) {
            for (size_t i = 0; i < bytes; i++)
                text[i] = text[i] == '\1' ? '\0' : text[i];
            gmr__each_argument(text, bytes + 1, false, collect, out);
        } else {
            gmr__mask_value(text, bytes, out, sizeof(out));
        }
        for (size_t i = 0; i + 4 <= n; i++) {
            char piece[5] = {secret[i], secret[i + 1], secret[i + 2], secret[i + 3]};
            if (strstr(out, piece))
                fail_msg("%s with %s shows %s: %s", dresses[d].dress, secret, piece, out);
        }
    }
}

static void noise_does_no_harm_and_takes_no_time(void **state)
{
    static const char *const bits[] = {
        "://", "@", ":",  "=",     "password", " ",       "\"",  "'",    "\\",      "-----BEGIN ", "PRIVATE KEY-----",
        "a",   ",", "-p", "mysql", "\n",       "Bearer ", "$6$", "\xff", "--token", "..",          "basic ",
        "x y "};
    (void)state;
    static char text[1 << 16], to[1 << 17];
    for (int round = 0; round < 300; round++) {
        size_t n = 0, limit = round < 250 ? 200 : sizeof(text) - 32;
        unsigned kinds = 1 + random_below(4), chosen[4];
        for (unsigned i = 0; i < 4; i++)
            chosen[i] = random_below(COUNT(bits));
        while (n < limit) {
            const char *bit = bits[round % 2 ? chosen[random_below(kinds)] : random_below(COUNT(bits))];
            memcpy(text + n, bit, strlen(bit));
            n += strlen(bit);
            if (random_below(50) == 0)
                text[n++] = '\0';
        }
        gmr__mask_value(text, n, to, sizeof(to));
        gmr__mask_value(text, n, to, 1 + random_below(20));
        char out[1 << 12] = "";
        if (n < 400)
            gmr__each_argument(text, n, random_below(2), collect, out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_secrets_are_known),
        cmocka_unit_test(values_are_masked),
        cmocka_unit_test(commands_are_masked),
        cmocka_unit_test(a_cut_command_line_does_not_show_its_end),
        cmocka_unit_test(no_piece_of_a_random_secret_shows),
        cmocka_unit_test(noise_does_no_harm_and_takes_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
