/*
 * cli/stored_proc.c - the sections of a stored report about the process' surroundings, as text: processes, limits, open files, modules, and
 * the figures that are sizes.
 *
 * The gmr command only. Lays out as the files of the same names in section/ do; tests/e2e/test_show.py holds both to the same text.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/stored.h"
#include "section/note.h"

#define LINE_BYTES 4608

/* An integer of any size, or text. */
static void value_text(struct gmr__buf *line, const json_t *value)
{
    const char *big = gmr__stored_big(value);
    if (json_is_integer(value))
        gmr__buf_int(line, json_integer_value(value));
    else if (big)
        gmr__buf_str(line, big);
    else if (json_is_string(value))
        gmr__buf_text(line, json_string_value(value), json_string_length(value));
    else
        gmr__buf_char(line, '?');
}

static void string_text(struct gmr__buf *line, const char *text, const char *otherwise)
{
    text = text ? text : otherwise;
    gmr__buf_text(line, text, strlen(text));
}

static void member_text(struct gmr__buf *line, const json_t *object, const char *key)
{
    value_text(line, json_object_get(object, key));
}

static void put_line(struct gmr_writer *w, struct gmr__buf *line)
{
    if (line->overflow) {
        line->used -= 4;
        while (line->used && ((unsigned char)line->text[line->used] & 0xc0) == 0x80)
            line->used--;
        line->overflow = false;
        gmr__buf_str(line, "...");
    }
    gmr__buf_char(line, '\n');
    gmr__raw(w, line->text, line->used);
}

/* ------------------------------------------------------------------------------------------------ processes */

static void put_summary(struct gmr_writer *w, const json_t *process, bool root)
{
    char text[512];
    struct gmr__buf line;
    const json_t *uids = json_object_get(process, "uids");
    gmr__buf_init(&line, text, sizeof(text));
    gmr__buf_str(&line, root ? "Process " : "    Process ");
    member_text(&line, process, "pid");
    gmr__buf_str(&line, " (under ");
    member_text(&line, process, "parent_pid");
    gmr__buf_str(&line, ") [ run by: ");
    if (uids) {
        member_text(&line, process, "username");
        gmr__buf_str(&line, " (");
        member_text(&line, uids, "real");
    } else {
        gmr__buf_str(&line, "unknown (unknown uid");
    }
    gmr__buf_str(&line, "), state: ");
    member_text(&line, process, "state");
    gmr__buf_str(&line, " ]");
    put_line(w, &line);
}

static void ids_text(struct gmr__buf *line, const char *what, const json_t *ids)
{
    const json_t *real = json_object_get(ids, "real"), *effective = json_object_get(ids, "effective");
    const json_t *saved = json_object_get(ids, "saved");
    if (!ids || (json_equal(real, effective) && json_equal(real, saved)))
        return;
    gmr__buf_str(line, what);
    value_text(line, real);
    gmr__buf_char(line, '/');
    value_text(line, effective);
    gmr__buf_char(line, '/');
    value_text(line, saved);
}

static void size_text(struct gmr__buf *line, const json_t *memory, const char *key)
{
    const json_t *value = json_object_get(memory, key);
    const char *big = gmr__stored_big(value);
    if (json_is_integer(value))
        gmr__buf_size(line, (uint64_t)json_integer_value(value));
    else if (big)
        gmr__buf_size(line, strtoull(big, NULL, 10));
    else
        gmr__buf_char(line, '-');
}

static void command_text(struct gmr__buf *line, const json_t *command)
{
    json_t *argument;
    size_t i;
    json_array_foreach(command, i, argument)
    {
        gmr__buf_char(line, ' ');
        if (json_string_length(argument) == 0)
            gmr__buf_str(line, "''");
        value_text(line, argument);
    }
    if (json_array_size(command) == 0)
        gmr__buf_str(line, " -");
}

static void put_detail(struct gmr_writer *w, const json_t *process)
{
    char text[LINE_BYTES];
    struct gmr__buf line;
    const json_t *memory = json_object_get(process, "memory");
    const char *start = gmr__stored_string(process, "start_time");
    gmr__buf_init(&line, text, sizeof(text));
    gmr__buf_str(&line, "  ");
    member_text(&line, process, "pid");
    gmr__buf_column(&line, 11);
    string_text(&line, start, "-");
    gmr__buf_column(&line, 33);
    member_text(&line, process, "threads");
    gmr__buf_column(&line, 42);
    size_text(&line, memory, "rss");
    gmr__buf_column(&line, 54);
    size_text(&line, memory, "virtual");
    gmr__buf_column(&line, 65);
    command_text(&line, json_object_get(process, "command"));
    ids_text(&line, "  [uids real/effective/saved: ", json_object_get(process, "uids"));
    ids_text(&line, "  [gids real/effective/saved: ", json_object_get(process, "gids"));
    put_line(w, &line);
}

/* Parents before children, the parser having bounded the depth. */
static void each_process(struct gmr_writer *w, const json_t *processes, bool details, bool root)
{
    json_t *process;
    size_t i;
    json_array_foreach(processes, i, process)
    {
        if (details)
            put_detail(w, process);
        else
            put_summary(w, process, root && i == 0);
        each_process(w, json_object_get(process, "children"), details, false);
    }
}

static void processes_text(struct gmr_writer *w, const json_t *processes)
{
    static const char header[] = "\n  PID      STARTED               THREADS  RESIDENT    VIRTUAL     COMMAND\n";
    each_process(w, processes, false, true);
    if (json_array_size(processes))
        gmr__raw(w, header, sizeof(header) - 1);
    each_process(w, processes, true, true);
}

/* ------------------------------------------------------------------------------------------------ limits, files, modules */

static void limits_text(struct gmr_writer *w, const json_t *limits)
{
    const char *name;
    json_t *limit;
    json_object_foreach((json_t *)limits, name, limit)
    {
        char text[256];
        struct gmr__buf line;
        const json_t *soft = json_object_get(limit, "soft"), *hard = json_object_get(limit, "hard");
        const char *unit = gmr__stored_string(limit, "unit"), *word = gmr__stored_string(limit, "soft");
        gmr__buf_init(&line, text, sizeof(text));
        value_text(&line, soft);
        if (unit && !(word && strcmp(word, "unlimited") == 0)) {
            gmr__buf_char(&line, ' ');
            gmr__buf_str(&line, unit);
        }
        if (!json_equal(soft, hard)) {
            gmr__buf_str(&line, " (hard: ");
            value_text(&line, hard);
            gmr__buf_char(&line, ')');
        }
        gmr_put_string(w, name, text);
    }
}

static void socket_text(struct gmr__buf *line, const json_t *socket)
{
    static const char *const parts[] = {"local", "path"};
    const char *remote = gmr__stored_string(socket, "remote"), *state = gmr__stored_string(socket, "state");
    member_text(line, socket, "type");
    for (int i = 0; i < 2; i++) {
        const char *part = gmr__stored_string(socket, parts[i]);
        if (part) {
            gmr__buf_char(line, ' ');
            gmr__buf_str(line, part);
        }
    }
    if (remote && (!state || strcmp(state, "listen") != 0)) {
        gmr__buf_str(line, " -> ");
        gmr__buf_str(line, remote);
    }
    if (state) {
        gmr__buf_str(line, " (");
        gmr__buf_str(line, state);
        gmr__buf_char(line, ')');
    }
}

static void put_descriptor(struct gmr_writer *w, const json_t *file)
{
    char text[1280], number[32];
    struct gmr__buf line, key;
    const json_t *socket = json_object_get(file, "socket");
    gmr__buf_init(&key, number, sizeof(number));
    gmr__buf_int(&key, gmr__stored_int(file, "fd", -1));
    gmr__buf_init(&line, text, sizeof(text));
    if (socket)
        socket_text(&line, socket);
    else
        gmr__buf_str(&line, gmr__stored_string(file, "target"));
    gmr_put_string(w, number, text);
}

static void files_text(struct gmr_writer *w, const json_t *files)
{
    const char *name;
    json_t *value, *file;
    size_t i;
    json_object_foreach((json_t *)files, name, value)
    {
        if (strcmp(name, "descriptors") != 0 || !json_is_array(value)) {
            gmr__stored_put(w, name, value);
            continue;
        }
        gmr_begin_map(w, name);
        json_array_foreach(value, i, file) put_descriptor(w, file);
        gmr_end_map(w);
    }
}

static void modules_text(struct gmr_writer *w, const json_t *modules)
{
    json_t *module;
    size_t i;
    json_array_foreach(modules, i, module)
    {
        char text[LINE_BYTES];
        struct gmr__buf line;
        const char *build_id = gmr__stored_string(module, "build_id");
        gmr__buf_init(&line, text, sizeof(text));
        member_text(&line, module, "start");
        gmr__buf_char(&line, '-');
        member_text(&line, module, "end");
        gmr__buf_column(&line, 31);
        string_text(&line, build_id, "-");
        gmr__buf_column(&line, 73);
        member_text(&line, module, "path");
        if (gmr__stored_true(module, "deleted"))
            gmr__buf_str(&line, " (deleted)");
        put_line(w, &line);
    }
}

/* ------------------------------------------------------------------------------------------------ sizes */

static bool is_count(const char *name)
{
    return strcmp(name, "oom_kills") == 0 || strcmp(name, "failures") == 0;
}

/* In "memory" a number is a size, but for the counts above. */
static void sizes_text(struct gmr_writer *w, const json_t *body)
{
    const char *name, *inner;
    json_t *value, *size;
    json_object_foreach((json_t *)body, name, value)
    {
        if (strcmp(name, "memory") != 0 || !json_is_object(value)) {
            gmr__stored_put(w, name, value);
            continue;
        }
        gmr_begin_map(w, name);
        json_object_foreach(value, inner, size)
        {
            char text[64];
            struct gmr__buf line;
            gmr__buf_init(&line, text, sizeof(text));
            size_text(&line, value, inner);
            if ((json_is_integer(size) || gmr__stored_big(size)) && !is_count(inner))
                gmr_put_string(w, inner, text);
            else
                gmr__stored_put(w, inner, size);
        }
        gmr_end_map(w);
    }
}

bool gmr__stored_proc_text(struct gmr_writer *w, const char *name, const json_t *body)
{
    static const struct {
        const char *name;
        json_type type;
        void (*put)(struct gmr_writer *w, const json_t *body);
    } layouts[] = {
        {"processes", JSON_ARRAY, processes_text}, {"limits", JSON_OBJECT, limits_text},
        {"open_files", JSON_OBJECT, files_text},   {"modules", JSON_ARRAY, modules_text},
        {"resources", JSON_OBJECT, sizes_text},    {"cgroup", JSON_OBJECT, sizes_text},
        {"host", JSON_OBJECT, sizes_text},
    };
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        if (strcmp(layouts[i].name, name) == 0 && json_typeof(body) == layouts[i].type) {
            layouts[i].put(w, body);
            return true;
        }
    }
    return false;
}
