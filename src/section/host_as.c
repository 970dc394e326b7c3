/*
 * section/host_as.c - the Host section: kernel, libc, CPUs, uptime, load, memory.
 *
 * Both halves, any context: async-signal-safe, and no network: the host's name is what uname says. Called through gmr__report_order. The libc's version
 * stands as text in its read-only data ("GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36."); it is looked for in the file that
 * the target has mapped.
 */
#include <errno.h>
#include <sys/utsname.h>

#include "section/note.h"
#include "sys/pin.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define LIBC_SEARCH_MAX (4u << 20)

static const char the_libc[] = "the libc's version";

static void keep_first_line(char *text)
{
    while (*text && *text != '\n')
        text++;
    *text = '\0';
}

static void put_file(struct gmr_writer *w, const struct gmr__target *target, const char *key, const char *name,
                     struct gmr__section_status *status)
{
    char text[256];
    ssize_t n = gmr__proc_read(target->proc, 0, 0, name, text, sizeof(text));
    gmr__section_unread(status, name, (int)n);
    if (n <= 0)
        return;
    keep_first_line(text);
    if (text[0])
        gmr_put_string(w, key, text);
}

static void put_kernel(struct gmr_writer *w, struct gmr__section_status *status)
{
    struct utsname names;
    int error = (int)GMR__SYS(SYS_uname, &names, 0, 0, 0, 0, 0);
    if (error) {
        gmr__section_error(status, GMR__PARTIAL, "the kernel's name", error);
        return;
    }
    gmr_put_string(w, "name", names.nodename);
    gmr_begin_map(w, "kernel");
    gmr_put_string(w, "system", names.sysname);
    gmr_put_string(w, "release", names.release);
    gmr_put_string(w, "version", names.version);
    gmr_put_string(w, "machine", names.machine);
    gmr_end_map(w);
}

/* ------------------------------------------------------------------------------------------------ libc */

static const char *base_name(const char *path)
{
    const char *base = path;
    for (; *path; path++) {
        if (*path == '/')
            base = path + 1;
    }
    return base;
}

/* "version 2.36" behind the mark. */
static bool version_behind(const char *text, struct gmr__buf *to)
{
    for (int i = 0; *text && *text != '\n' && i < 200; text++, i++) {
        if (!gmr__starts_with(text, "version "))
            continue;
        for (text += 8; (*text >= '0' && *text <= '9') || *text == '.'; text++)
            gmr__buf_char(to, *text);
        if (to->used && to->text[to->used - 1] == '.')
            to->text[--to->used] = '\0';
        return to->used > 0;
    }
    return false;
}

static bool search_file(const char *path, uint64_t offset, uint64_t bytes, struct gmr__buf *to,
                        struct gmr__section_status *status)
{
    static const char mark[] = "GNU C Library (";
    char text[4096 + 512];
    struct stat st;
    int error = (int)GMR__SYS(SYS_newfstatat, AT_FDCWD, path, &st, 0, 0, 0);
    gmr__section_unread(status, the_libc, error);
    if (error < 0 || !S_ISREG(st.st_mode))
        return false;
    int fd = gmr__open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    bool found = false;
    gmr__section_unread(status, the_libc, fd);
    if (bytes > LIBC_SEARCH_MAX)
        bytes = LIBC_SEARCH_MAX;
    for (uint64_t at = 0; fd >= 0 && !found && at < bytes; at += 4096) { /* pieces overlap by 511 bytes */
        ssize_t n = gmr__pread(fd, text, sizeof(text) - 1, (int64_t)(offset + at));
        if (n == -EINTR)
            n = gmr__pread(fd, text, sizeof(text) - 1, (int64_t)(offset + at));
        gmr__section_unread(status, the_libc, (int)n);
        if (n <= 0)
            break;
        text[n] = '\0';
        for (ssize_t i = 0; i < n && i < 4096 && !found; i++) {
            if (text[i] == 'G' && gmr__starts_with(text + i, mark))
                found = version_behind(text + i, to);
        }
    }
    if (fd >= 0)
        gmr__close(fd);
    return found;
}

/* Its read-only data: a mapping that is neither executable nor writable, and not the first one, which holds the symbol tables. */
static void put_libc(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__lines lines;
    struct gmr__proc_map map;
    char text[96], path[GMR__PROC_PATH_MAX];
    struct gmr__buf version;
    gmr__buf_init(&version, text, sizeof(text));
    gmr__proc_lines_open(&lines, target->proc, target->pid, 0, "maps");
    while (!version.used && gmr__proc_maps_next(&lines, &map)) {
        const char *base = base_name(map.path);
        if (gmr__starts_with(base, "ld-musl-")) {
            gmr__buf_str(&version, "musl");
            break;
        }
        if (map.path[0] != '/' || !gmr__starts_with(base, "libc.so.6") || map.exec || map.write || map.offset == 0 ||
            map.deleted)
            continue;
        gmr__proc_path(path, sizeof(path), target->proc, target->pid, 0, "root");
        struct gmr__buf buf = {.text = path, .used = gmr__strlen(path), .cap = sizeof(path)};
        gmr__buf_str(&buf, map.path);
        char number[32];
        struct gmr__buf digits;
        gmr__buf_init(&digits, number, sizeof(number));
        if (!buf.overflow && search_file(path, map.offset, map.end - map.start, &digits, status)) {
            gmr__buf_str(&version, "glibc ");
            gmr__buf_str(&version, number);
        }
    }
    gmr__section_unread(status, the_libc, lines.error);
    gmr__lines_close(&lines);
    if (version.used)
        gmr_put_string(w, "libc", text);
}

/* ------------------------------------------------------------------------------------------------ figures */

static void put_cpus(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__lines lines;
    unsigned long allowed[1024 / sizeof(unsigned long)] = {0};
    unsigned online = 0, usable = 0;
    gmr__proc_lines_open(&lines, target->proc, 0, 0, "stat");
    for (char *line; (line = gmr__lines_next(&lines, NULL));)
        online += gmr__starts_with(line, "cpu") && line[3] >= '0' && line[3] <= '9';
    gmr__section_unread(status, "the number of processors", lines.error);
    gmr__lines_close(&lines);
    long n = GMR__SYS(SYS_sched_getaffinity, target->pid, sizeof(allowed), allowed, 0, 0, 0);
    if (gmr__pinned_gone(target->pid, 0))
        n = -ESRCH;
    gmr__section_unread(status, "on which processors it may run", n < 0 ? (int)n : 0);
    for (long i = 0; i < n / (long)sizeof(*allowed); i++) {
        for (unsigned long word = allowed[i]; word; word &= word - 1)
            usable++;
    }
    gmr_begin_map(w, "cpus");
    if (online)
        gmr_put_uint(w, "online", online);
    if (usable)
        gmr_put_uint(w, "allowed", usable);
    gmr_end_map(w);
}

/* "12.34" without strtod. */
static bool next_decimal(const char **text, double *value)
{
    uint64_t whole, fraction = 0;
    while (**text == ' ')
        ++*text;
    if (!gmr__parse_uint(text, &whole))
        return false;
    double scale = 1;
    if (**text == '.') {
        const char *from = ++*text;
        if (gmr__parse_uint(text, &fraction)) {
            for (; from < *text; from++)
                scale *= 10;
        }
    }
    *value = ((double)whole * scale + (double)fraction) / scale; /* one rounding: 1.82 stays 1.82 */
    return true;
}

static void put_decimals(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    char text[128];
    const char *at = text;
    double value;
    ssize_t n = gmr__proc_read(target->proc, 0, 0, "uptime", text, sizeof(text));
    gmr__section_unread(status, "the uptime", (int)n);
    if (n > 0 && next_decimal(&at, &value))
        gmr_put_double(w, "uptime_seconds", value);
    at = text;
    n = gmr__proc_read(target->proc, 0, 0, "loadavg", text, sizeof(text));
    gmr__section_unread(status, "the load", (int)n);
    if (n <= 0)
        return;
    static const char *const names[] = {"minute_1", "minutes_5", "minutes_15"};
    gmr_begin_map(w, "load");
    for (int i = 0; i < 3 && next_decimal(&at, &value); i++)
        gmr_put_double(w, names[i], value);
    gmr_end_map(w);
}

static void put_size(struct gmr_writer *w, const char *key, uint64_t bytes)
{
    char text[32];
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_size(&buf, bytes);
    if (gmr__writer_text(w))
        gmr_put_string(w, key, text);
    else
        gmr_put_uint(w, key, bytes);
}

static void put_memory(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__proc_memory memory;
    int error = gmr__proc_memory(target->proc, &memory);
    if (error) {
        gmr__section_error(status, GMR__PARTIAL, "the host's memory", error);
        return;
    }
    gmr_begin_map(w, "memory");
    put_size(w, "total", memory.total);
    put_size(w, "available", memory.available);
    put_size(w, "free", memory.free);
    put_size(w, "swap_total", memory.swap_total);
    put_size(w, "swap_free", memory.swap_free);
    gmr_end_map(w);
}

static void run(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    char start[24];
    put_kernel(w, status);
    put_libc(w, target, status);
    put_cpus(w, target, status);
    put_decimals(w, target, status);
    uint64_t boot;
    gmr__section_unread(status, "the boot's time", gmr__proc_boot_time(target->proc, &boot));
    if (boot) {
        gmr__iso_time(start, sizeof(start), boot);
        gmr_put_string(w, "boot_time", start);
    }
    put_file(w, target, "boot_id", "sys/kernel/random/boot_id", status);
    put_memory(w, target, status);
}

const struct gmr__proc_section gmr__section_host = {
    .head = {.name = "host", .title = "Host", .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_SORTED},
    .run = run,
};
