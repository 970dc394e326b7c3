/*
 * config/ini.c - [oslo_reports] of a settings file as oslo.config reads it, parsed by inih.
 *
 * The target's half, on the thread that calls gmr_setup_autorun(). inih is linked in statically and hidden, so its settings are ours alone. oslo.config's
 * rules where they differ from inih's defaults: no comments behind a value, quotes around a value are taken off, lines of any length,
 * group names in any case. The file may be anything: a directory, a FIFO, 10 GB, another user's.
 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/config.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define MAX_FILE_BYTES ((size_t)4 << 20)

struct parse {
    struct gmr__ini *ini;
    const char *path;
    const char *at;
    int line;           /* the one that inih has now */
    bool inside, blank; /* of a line longer than inih's buffer; it begins with a blank */
    char previous[64];  /* the option before: again, on a line that begins with a blank, it is one that goes on */
};

static int problem(struct parse *parse, int line, const char *what)
{
    if (!parse->ini->problem[0]) {
        snprintf(parse->ini->problem, sizeof(parse->ini->problem), "%.120s, line %d: %.100s", parse->path, line, what);
    }
    return 0; /* what inih takes for an error */
}

static char *read_line(char *to, int cap, void *stream)
{
    struct parse *parse = stream;
    if (!*parse->at)
        return NULL;
    const char *end = strchr(parse->at, '\n');
    size_t bytes = end ? (size_t)(end + 1 - parse->at) : strlen(parse->at);
    if (bytes > (size_t)cap - 1)
        bytes = (size_t)cap - 1;
    memcpy(to, parse->at, bytes);
    to[bytes] = '\0';
    if (!parse->inside) {
        parse->line++;
        parse->blank = to[0] == ' ' || to[0] == '\t';
    }
    parse->inside = to[bytes - 1] != '\n';
    parse->at += bytes;
    return to;
}

/* oslo.config takes a pair of quotes off. */
static void unquoted(const char *value, char *to, size_t cap)
{
    size_t n = strlen(value);
    if (n > 1 && value[0] == value[n - 1] && (value[0] == '"' || value[0] == '\'')) {
        value++;
        n -= 2;
    }
    snprintf(to, cap, "%.*s", (int)n, value);
}

static int take_path(struct parse *parse, const char *name, const char *value, char *to, size_t cap)
{
    char text[64];
    size_t n = strlen(value);
    if (n >= cap) {
        snprintf(text, sizeof(text), "%s is longer than a path can be", name);
        return problem(parse, parse->line, text);
    }
    const char *dollar = strchr(value, '$');
    if (dollar && dollar[1] != '$') {
        snprintf(text, sizeof(text), "%s refers to another option with $, which gmr can't follow", name);
        return problem(parse, parse->line, text);
    }
    unquoted(value, to, cap);
    return 1;
}

static int take_interval(struct parse *parse, const char *value)
{
    char text[32];
    const char *at = text;
    uint64_t seconds;
    unquoted(value, text, sizeof(text));
    if (!gmr__parse_uint(&at, &seconds) || *at || seconds == 0 || seconds > 86400)
        return problem(parse, parse->line, "file_event_handler_interval is not a number of seconds from 1 to 86400");
    parse->ini->interval_ms = (unsigned)seconds * 1000;
    return 1;
}

static int on_option(void *userdata, const char *section, const char *name, const char *value)
{
    struct parse *parse = userdata;
    if (strcasecmp(section, "oslo_reports") != 0) {
        parse->previous[0] = '\0';
        return 1;
    }
    bool goes_on = parse->blank && strcmp(parse->previous, name) == 0;
    snprintf(parse->previous, sizeof(parse->previous), "%s", name);
    if (!value)
        return problem(parse, parse->line, "an option without a value");
    bool path = strcmp(name, "log_dir") == 0 || strcmp(name, "file_event_handler") == 0;
    if (goes_on && (path || strcmp(name, "file_event_handler_interval") == 0))
        return problem(parse, parse->line, "a value of several lines where a path or number is meant");
    if (strcmp(name, "log_dir") == 0)
        return take_path(parse, name, value, parse->ini->log_dir, sizeof(parse->ini->log_dir));
    if (strcmp(name, "file_event_handler") == 0)
        return take_path(parse, name, value, parse->ini->watch_file, sizeof(parse->ini->watch_file));
    if (strcmp(name, "file_event_handler_interval") == 0)
        return take_interval(parse, value);
    return 1;
}

static int fail(struct gmr__ini *ini, const char *path, const char *what, int error)
{
    snprintf(ini->problem, sizeof(ini->problem), "%.150s: %s", path, what);
    return error;
}

static int check_file(int fd, const char *path, struct gmr__ini *ini)
{
    struct stat st;
    int error = (int)GMR__SYS(SYS_fstat, fd, &st, 0, 0, 0, 0);
    if (error)
        return fail(ini, path, "can't be looked at", error);
    if (!S_ISREG(st.st_mode))
        return fail(ini, path, S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file", -EINVAL);
    return st.st_size > (off_t)MAX_FILE_BYTES ? fail(ini, path, "is larger than 4 MiB", -EFBIG) : 0;
}

/* The whole file into text[MAX_FILE_BYTES + 1], NUL-terminated. */
static int read_all(const char *path, struct gmr__ini *ini, char *text)
{
    int fd = gmr__open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fail(ini, path, strerrordesc_np(-fd), fd);
    int error = check_file(fd, path, ini);
    ssize_t n = error ? 0 : gmr__read_full(fd, text, MAX_FILE_BYTES);
    gmr__close(fd);
    if (error)
        return error;
    if (n < 0)
        return fail(ini, path, strerrordesc_np((int)-n), (int)n);
    text[n] = '\0';
    return strlen(text) == (size_t)n ? 0 : fail(ini, path, "holds NUL bytes: it is no text file", -EBADMSG);
}

static int parse_text(const char *path, struct gmr__ini *ini, char *text)
{
    struct parse parse = {.ini = ini, .path = path, .at = text};
    ini_use_stack = false;
    ini_allow_realloc = true;
    ini_max_line = MAX_FILE_BYTES;
    ini_allow_inline_comments = false;
    ini_stop_on_first_error = true;
    int line = ini_parse_stream(read_line, &parse, on_option, &parse);
    if (line == 0)
        return 0;
    if (line > 0)
        problem(&parse, line, "neither a [group], nor name = value, nor a comment");
    else
        problem(&parse, parse.line, "no memory to read it");
    ini->log_dir[0] = ini->watch_file[0] = '\0';
    ini->interval_ms = 0;
    return line > 0 ? -EBADMSG : -ENOMEM;
}

int gmr__ini_read(const char *path, struct gmr__ini *ini)
{
    *ini = (struct gmr__ini){.interval_ms = 0};
    if (!path)
        return -EINVAL;
    char *text = gmr__map_memory(MAX_FILE_BYTES + 1);
    if (!text)
        return fail(ini, path, "no memory to read it", -ENOMEM);
    int error = read_all(path, ini, text);
    if (!error)
        error = parse_text(path, ini, text);
    gmr__unmap_memory(text, MAX_FILE_BYTES + 1);
    return error;
}
