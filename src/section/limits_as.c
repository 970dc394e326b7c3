/*
 * section/limits_as.c - the Limits section: /proc/PID/limits.
 *
 * Both halves, any context: async-signal-safe. Called through gmr__report_order. The file has columns of fixed width (fs/proc/base.c,
 * proc_pid_limits: "%-25s %-20s %-20s %-10s"); names become members: "Max open files" -> open_files.
 */
#include <errno.h>

#include "section/note.h"
#include "sys/proc.h"

#define NAME_WIDTH 25
#define VALUE_WIDTH 20
#define MAX_LIMITS 32 /* the kernel has 16 */

struct limit {
    char name[NAME_WIDTH + 1];
    char soft[VALUE_WIDTH + 1], hard[VALUE_WIDTH + 1], unit[16];
};

/* Copies a column without the blanks around it. */
static void column(const char *line, size_t length, size_t from, size_t width, char *to, size_t cap)
{
    struct gmr__buf buf;
    size_t end = from + width;
    gmr__buf_init(&buf, to, cap);
    if (from >= length)
        return;
    if (end > length)
        end = length;
    while (from < end && line[from] == ' ')
        from++;
    while (end > from && line[end - 1] == ' ')
        end--;
    gmr__buf_bytes(&buf, line + from, end - from);
}

static bool parse(const char *line, size_t length, struct limit *limit)
{
    char name[NAME_WIDTH + 1];
    column(line, length, 0, NAME_WIDTH, name, sizeof(name));
    if (!gmr__starts_with(name, "Max "))
        return false;
    size_t n = 0;
    for (const char *from = name + 4; *from; from++) {
        char c = *from >= 'A' && *from <= 'Z' ? (char)(*from - 'A' + 'a') : *from;
        limit->name[n++] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
    }
    limit->name[n] = '\0';
    column(line, length, NAME_WIDTH + 1, VALUE_WIDTH, limit->soft, sizeof(limit->soft));
    column(line, length, NAME_WIDTH + VALUE_WIDTH + 2, VALUE_WIDTH, limit->hard, sizeof(limit->hard));
    column(line, length, NAME_WIDTH + 2 * VALUE_WIDTH + 3, 10, limit->unit, sizeof(limit->unit));
    return n > 0 && limit->soft[0] && limit->hard[0];
}

static void put_limit_value(struct gmr_writer *w, const char *key, const char *text)
{
    const char *at = text;
    uint64_t value;
    if (gmr__parse_uint(&at, &value) && !*at)
        gmr_put_uint(w, key, value);
    else
        gmr_put_string(w, key, text);
}

static void put_data(struct gmr_writer *w, const struct limit *limit)
{
    gmr_begin_map(w, limit->name);
    put_limit_value(w, "soft", limit->soft);
    put_limit_value(w, "hard", limit->hard);
    if (limit->unit[0])
        gmr_put_string(w, "unit", limit->unit);
    gmr_end_map(w);
}

static void put_text(struct gmr_writer *w, const struct limit *limit)
{
    char text[96];
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_str(&buf, limit->soft);
    if (!gmr__streq(limit->soft, "unlimited") && limit->unit[0]) {
        gmr__buf_char(&buf, ' ');
        gmr__buf_str(&buf, limit->unit);
    }
    if (!gmr__streq(limit->soft, limit->hard)) {
        gmr__buf_str(&buf, " (hard: ");
        gmr__buf_str(&buf, limit->hard);
        gmr__buf_char(&buf, ')');
    }
    gmr_put_string(w, limit->name, text);
}

static bool is_in(char (*seen)[NAME_WIDTH + 1], size_t count, const char *name)
{
    while (count--) {
        if (gmr__streq(seen[count], name))
            return true;
    }
    return false;
}

static void run(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__lines lines;
    struct limit limit;
    char seen[MAX_LIMITS][NAME_WIDTH + 1];
    size_t length, count = 0;
    int error = gmr__proc_lines_open(&lines, target->proc, target->pid, 0, "limits");
    if (error) {
        gmr__section_error(status, GMR__FAILED, "the limits", error);
        return;
    }
    for (char *line; (line = gmr__lines_next(&lines, &length));) {
        if (count == MAX_LIMITS || !parse(line, length, &limit) || is_in(seen, count, limit.name))
            continue;
        gmr__memcpy(seen[count++], limit.name, sizeof(limit.name));
        if (gmr__writer_text(w))
            put_text(w, &limit);
        else
            put_data(w, &limit);
    }
    if (count == 0)
        gmr__section_error(status, GMR__FAILED, "the limits", lines.error ? lines.error : -EBADMSG);
    gmr__section_unread(status, "the limits", lines.error);
    gmr__lines_close(&lines);
}

const struct gmr__proc_section gmr__section_limits = {
    .head = {.name = "limits", .title = "Limits", .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_SORTED},
    .run = run,
};
