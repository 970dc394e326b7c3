/*
 * cli/stored_read.c - a JSON report from a file.
 *
 * The gmr command only. jansson parses: it bounds the nesting (JSON_PARSER_MAX_DEPTH, 2048) and checks UTF-8. What it can't hold, an integer
 * between 2^63 and 2^64, travels as a string with a mark in front (U+F8FF, of the private use area).
 */
#include "cli/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

#define MAX_BYTES ((size_t)1 << 30)
#define BIG_MARK "\xef\xa3\xbf"
#define SAFE_DIGITS 18 /* more than that may not fit into 63 bits */

/* ------------------------------------------------------------------------------------------------ members */

const char *gmr__stored_string(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : NULL;
}

int64_t gmr__stored_int(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

uint64_t gmr__stored_hex(const json_t *object, const char *key)
{
    const char *text = gmr__stored_string(object, key);
    return text && strncmp(text, "0x", 2) == 0 ? strtoull(text + 2, NULL, 16) : 0;
}

bool gmr__stored_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const char *gmr__stored_big(const json_t *value)
{
    const char *text = json_is_string(value) ? json_string_value(value) : NULL;
    return text && strncmp(text, BIG_MARK, 3) == 0 && text[3 + strspn(text + 3, "0123456789")] == '\0' ? text + 3
                                                                                                       : NULL;
}

/* ------------------------------------------------------------------------------------------------ parsing */

/* Past the string that begins at `at`. */
static size_t past_string(const char *text, size_t bytes, size_t at)
{
    for (at++; at < bytes && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at < bytes ? at + 1 : bytes;
}

static size_t digits_at(const char *text, size_t bytes, size_t at)
{
    size_t n = 0;
    while (at + n < bytes && text[at + n] >= '0' && text[at + n] <= '9')
        n++;
    return n;
}

static bool is_big(const char *text, size_t bytes, size_t at, size_t digits)
{
    char after = at + digits < bytes ? text[at + digits] : ' ';
    bool whole = after != '.' && after != 'e' && after != 'E';
    bool fits = digits == 19 && memcmp(text + at, "9223372036854775807", 19) <= 0;
    return digits > SAFE_DIGITS && digits <= 20 && whole && !fits &&
           (at == 0 || (text[at - 1] != '-' && text[at - 1] != '.'));
}

/* The text with big integers as marked strings, in memory to be freed; NULL: there are none, or no memory. */
static char *mark_big(const char *text, size_t bytes, size_t *marked_bytes)
{
    size_t count = 0, used = 0, from = 0;
    for (size_t at = 0; at < bytes;) {
        size_t digits = digits_at(text, bytes, at);
        count += is_big(text, bytes, at, digits);
        at = text[at] == '"' ? past_string(text, bytes, at) : at + (digits ? digits : 1);
    }
    char *marked = count ? malloc(bytes + count * 5 + 1) : NULL;
    if (!marked)
        return NULL;
    for (size_t at = 0; at < bytes;) {
        size_t digits = digits_at(text, bytes, at);
        if (is_big(text, bytes, at, digits)) {
            memcpy(marked + used, text + from, at - from);
            used += at - from;
            used += (size_t)sprintf(marked + used, "\"" BIG_MARK "%.*s\"", (int)digits, text + at);
            from = at + digits;
        }
        at = text[at] == '"' ? past_string(text, bytes, at) : at + (digits ? digits : 1);
    }
    memcpy(marked + used, text + from, bytes - from);
    *marked_bytes = used + bytes - from;
    return marked;
}

static const char *what_is_wrong(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_premature_end_of_input:
        return "it is cut short";
    case json_error_stack_overflow:
        return "it is nested too deeply";
    case json_error_duplicate_key:
        return "it has a member twice";
    case json_error_out_of_memory:
        return "there is not enough memory for it";
    default:
        return error->text;
    }
}

json_t *gmr__stored_parse(const char *text, size_t bytes, char *problem, size_t problem_bytes)
{
    json_error_t error;
    size_t marked_bytes = 0;
    char *marked = mark_big(text, bytes, &marked_bytes);
    json_t *root = json_loadb(marked ? marked : text, marked ? marked_bytes : bytes,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    free(marked);
    if (!root) {
        snprintf(problem, problem_bytes, "line %d, column %d: %s", error.line, error.column, what_is_wrong(&error));
        return NULL;
    }
    const char *schema = gmr__stored_string(root, "schema");
    if (schema && strcmp(schema, "gmr-report/1") == 0)
        return root;
    if (schema)
        snprintf(problem, problem_bytes, "its schema is \"%.60s\", and this gmr knows gmr-report/1", schema);
    else
        snprintf(problem, problem_bytes,
                 "it is JSON, but no report: it does not begin with \"schema\": \"gmr-report/1\"");
    json_decref(root);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ the file */

/* All of it; -EFBIG past MAX_BYTES. */
static int read_all(int fd, char **text, size_t *bytes)
{
    size_t used = 0, cap = 1 << 16;
    char *buffer = malloc(cap);
    for (;;) {
        if (buffer && used == cap) {
            char *larger = cap < MAX_BYTES ? realloc(buffer, cap * 2) : NULL;
            if (!larger) {
                free(buffer);
                return cap < MAX_BYTES ? -ENOMEM : -EFBIG;
            }
            buffer = larger;
            cap *= 2;
        }
        ssize_t n = buffer ? read(fd, buffer + used, cap - used) : -1;
        if (n < 0 && buffer && errno == EINTR)
            continue;
        if (n < 0) {
            int error = buffer ? -errno : -ENOMEM;
            free(buffer);
            return error;
        }
        if (n == 0)
            break;
        used += (size_t)n;
    }
    *text = buffer;
    *bytes = used;
    return 0;
}

static int read_file(const char *path, char **text, size_t *bytes)
{
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, text, bytes);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int error = read_all(fd, text, bytes);
    close(fd);
    return error;
}

int gmr__stored_read(const char *path, json_t **root)
{
    char *text, problem[256];
    size_t bytes;
    int error = read_file(path, &text, &bytes);
    if (error == -EFBIG)
        return gmr__fail(GMR__EXIT_NOT_POSSIBLE, NULL, "%s is larger than 1 GiB", path);
    if (error == -ENOMEM)
        return gmr__fail(GMR__EXIT_FAILED, NULL, "there is not enough memory for %s", path);
    if (error)
        return gmr__fail(error == -EACCES ? GMR__EXIT_NOT_PERMITTED : GMR__EXIT_NO_PROCESS, NULL, "can't read %s: %s",
                         path, strerror(-error));
    if (bytes == 0)
        snprintf(problem, sizeof(problem), "it is empty");
    *root = bytes ? gmr__stored_parse(text, bytes, problem, sizeof(problem)) : NULL;
    free(text);
    if (!*root)
        return gmr__fail(GMR__EXIT_NOT_POSSIBLE, "store one with: gmr report PID --format json -o FILE",
                         "%s is not a whole JSON report: %s", path, problem);
    return GMR__EXIT_WHOLE;
}
