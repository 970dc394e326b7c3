/*
 * section/cgroup_as.c - the Control Group section: where the process is, what it may use there and what it does use.
 *
 * Both halves, any context: async-signal-safe. Called through gmr__report_order. /proc/PID/cgroup names a path in each hierarchy; where that hierarchy is
 * mounted says /proc/self/mountinfo (as we see it, since it is we who read). Limits count on every level above as well: the
 * tightest is told. Version 1 and 2, also mixed.
 */
#include <errno.h>

#include "section/note.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define PATH_BYTES 1024
#define UNLIMITED UINT64_MAX

struct place {
    char mount[PATH_BYTES]; /* "" if it is not mounted where we can see it */
    char path[PATH_BYTES];  /* as /proc/PID/cgroup says */
    char directory[2 * PATH_BYTES];
    size_t mount_bytes;
    struct gmr__section_status *status;
};

/* ------------------------------------------------------------------------------------------------ where */

/* Is `name` one of the comma-separated words up to `end`? */
static bool has_word(const char *words, char end, const char *name)
{
    size_t n = gmr__strlen(name);
    while (*words && *words != end) {
        if (gmr__starts_with(words, name) && (words[n] == ',' || words[n] == end || !words[n]))
            return true;
        while (*words && *words != end && *words != ',')
            words++;
        words += *words == ',';
    }
    return false;
}

/* The path in the hierarchy of `controller`; NULL: version 2's ("0::/path"). */
static bool find_path(const struct gmr__target *target, const char *controller, char *to, size_t cap,
                      struct gmr__section_status *status)
{
    struct gmr__lines lines;
    bool found = false;
    gmr__proc_lines_open(&lines, target->proc, target->pid, 0, "cgroup");
    for (char *line; !found && (line = gmr__lines_next(&lines, NULL));) {
        const char *at = line;
        while (*at && *at != ':')
            at++;
        at += *at == ':';
        found = controller ? has_word(at, ':', controller) : gmr__starts_with(line, "0::");
        while (*at && *at != ':')
            at++;
        found = found && *at == ':';
        if (found) {
            struct gmr__buf buf;
            gmr__buf_init(&buf, to, cap);
            gmr__buf_str(&buf, at + 1);
            found = !buf.overflow && to[0] == '/';
        }
    }
    gmr__section_unread(status, "the control groups", lines.error);
    gmr__lines_close(&lines);
    return found;
}

/* "36 35 98:0 /root /mount/point options - type source super,options": the words that matter, the line cut into them. */
static bool parse_mount(char *line, char **root, char **point, char **type, char **super)
{
    char *words[64];
    int count = 0, dash = -1;
    for (char *at = line; *at && count < 64;) {
        words[count] = at;
        while (*at && *at != ' ')
            at++;
        if (*at)
            *at++ = '\0';
        if (dash < 0 && count > 5 && gmr__streq(words[count], "-"))
            dash = count;
        count++;
    }
    if (dash < 0 || count < dash + 4)
        return false;
    *root = words[3];
    *point = words[4];
    *type = words[dash + 1];
    *super = words[dash + 3];
    return true;
}

static bool find_mount(const struct gmr__target *target, const char *controller, struct place *place)
{
    struct gmr__lines lines;
    bool found = false;
    char path[GMR__PROC_PATH_MAX];
    struct gmr__buf buf;
    gmr__buf_init(&buf, path, sizeof(path));
    gmr__buf_str(&buf, target->proc);
    gmr__buf_str(&buf, "/self/mountinfo");
    gmr__lines_open(&lines, path);
    for (char *line, *root, *point, *type, *super; !found && (line = gmr__lines_next(&lines, NULL));) {
        if (!parse_mount(line, &root, &point, &type, &super))
            continue;
        if (controller ? !gmr__streq(type, "cgroup") || !has_word(super, '\0', controller)
                       : !gmr__streq(type, "cgroup2"))
            continue;
        /* Mounted from below the top (a container's): the part above is not to be seen. */
        size_t root_bytes = gmr__streq(root, "/") ? 0 : gmr__strlen(root);
        if (root_bytes && !gmr__starts_with(place->path, root))
            root_bytes = gmr__strlen(place->path);
        gmr__buf_init(&buf, place->directory, sizeof(place->directory));
        gmr__buf_str(&buf, point);
        place->mount_bytes = buf.used;
        if (!gmr__streq(place->path + root_bytes, "/"))
            gmr__buf_str(&buf, place->path + root_bytes);
        found = !buf.overflow;
    }
    gmr__section_unread(place->status, "the list of mounts", lines.error);
    gmr__lines_close(&lines);
    return found;
}

static bool outside(const char *path)
{
    return gmr__starts_with(path, "/.."); /* above our cgroup namespace */
}

/* ------------------------------------------------------------------------------------------------ what */

/* The file `name` of the first `bytes` of the place's directory. */
static bool read_in(const struct place *place, size_t bytes, const char *name, char *to, size_t cap)
{
    char path[2 * PATH_BYTES + 64];
    struct gmr__buf buf;
    gmr__buf_init(&buf, path, sizeof(path));
    gmr__buf_bytes(&buf, place->directory, bytes);
    gmr__buf_char(&buf, '/');
    gmr__buf_str(&buf, name);
    ssize_t n = buf.overflow ? -ENAMETOOLONG : gmr__read_file(path, to, cap);
    gmr__section_unread(place->status, name, (int)n);
    return n > 0;
}

/* "max" and version 1's nearly-2^63 mean no limit. */
static bool number_in(const struct place *place, size_t bytes, const char *name, uint64_t *value)
{
    char text[64];
    const char *at = text;
    if (!read_in(place, bytes, name, text, sizeof(text)))
        return false;
    if (gmr__starts_with(text, "max")) {
        *value = UNLIMITED;
        return true;
    }
    if (!gmr__parse_uint(&at, value))
        return false;
    if (*value >= (uint64_t)INT64_MAX - (1u << 20))
        *value = UNLIMITED;
    return true;
}

/* The directory's first `bytes` name a level: those of the one above it, up to the mount. */
static bool level_above(const struct place *place, size_t *bytes)
{
    if (*bytes <= place->mount_bytes)
        return false;
    while (*bytes > place->mount_bytes && place->directory[--*bytes] != '/') {
    }
    return true;
}

/* The least of this level and all above it up to the mount. */
static bool tightest(const struct place *place, const char *name, uint64_t *least)
{
    size_t bytes = gmr__strlen(place->directory);
    bool any = false;
    *least = UNLIMITED;
    do {
        uint64_t value;
        if (number_in(place, bytes, name, &value)) {
            any = true;
            if (value < *least)
                *least = value;
        }
    } while (level_above(place, &bytes));
    return any;
}

static void put_number(struct gmr_writer *w, const char *key, uint64_t value, bool size)
{
    char text[32];
    struct gmr__buf buf;
    if (value == UNLIMITED) {
        gmr_put_string(w, key, "unlimited");
    } else if (size && gmr__writer_text(w)) {
        gmr__buf_init(&buf, text, sizeof(text));
        gmr__buf_size(&buf, value);
        gmr_put_string(w, key, text);
    } else {
        gmr_put_uint(w, key, value);
    }
}

static void put_one(struct gmr_writer *w, const char *key, const struct place *place, const char *name, bool size)
{
    uint64_t value;
    if (number_in(place, gmr__strlen(place->directory), name, &value))
        put_number(w, key, value, size);
}

static void put_limit(struct gmr_writer *w, const char *key, const struct place *place, const char *name, bool size)
{
    uint64_t value;
    if (tightest(place, name, &value))
        put_number(w, key, value, size);
}

/* "key value" lines, such as memory.events and cpu.stat. */
static bool number_in_lines(const struct place *place, size_t bytes, const char *file, const char *name,
                            uint64_t *value)
{
    char text[4096];
    size_t n = gmr__strlen(name);
    if (!read_in(place, bytes, file, text, sizeof(text)))
        return false;
    for (const char *at = text; *at; at++) {
        if ((at == text || at[-1] == '\n') && gmr__starts_with(at, name) && at[n] == ' ') {
            at += n + 1;
            return gmr__parse_uint(&at, value);
        }
    }
    return false;
}

static void put_from_lines(struct gmr_writer *w, const char *key, const struct place *place, const char *file,
                           const char *name)
{
    uint64_t value;
    if (number_in_lines(place, gmr__strlen(place->directory), file, name, &value))
        gmr_put_uint(w, key, value);
}

/* CPUs' worth of time: quota / period. */
static void put_cpus(struct gmr_writer *w, uint64_t quota, uint64_t period)
{
    if (quota != UNLIMITED && period)
        gmr_put_double(w, "cpus", (double)quota / (double)period);
    put_number(w, "quota_us", quota, false);
    gmr_put_uint(w, "period_us", period);
}

static void put_cpu_max(struct gmr_writer *w, const struct place *place)
{
    char text[64];
    const char *at = text;
    uint64_t quota = UNLIMITED, period = 0;
    if (!read_in(place, gmr__strlen(place->directory), "cpu.max", text, sizeof(text)))
        return;
    if (gmr__starts_with(text, "max"))
        at += 3;
    else if (!gmr__parse_uint(&at, &quota))
        return;
    while (*at == ' ')
        at++;
    if (gmr__parse_uint(&at, &period))
        put_cpus(w, quota, period);
}

static void put_v2(struct gmr_writer *w, const struct place *place)
{
    gmr_begin_map(w, "memory");
    put_one(w, "current", place, "memory.current", true);
    put_limit(w, "max", place, "memory.max", true);
    put_limit(w, "high", place, "memory.high", true);
    put_one(w, "peak", place, "memory.peak", true);
    put_one(w, "swap_current", place, "memory.swap.current", true);
    put_limit(w, "swap_max", place, "memory.swap.max", true);
    put_from_lines(w, "oom_kills", place, "memory.events", "oom_kill");
    gmr_end_map(w);
    gmr_begin_map(w, "cpu");
    put_cpu_max(w, place);
    put_one(w, "weight", place, "cpu.weight", false);
    put_from_lines(w, "throttled", place, "cpu.stat", "nr_throttled");
    put_from_lines(w, "throttled_us", place, "cpu.stat", "throttled_usec");
    gmr_end_map(w);
    gmr_begin_map(w, "pids");
    put_one(w, "current", place, "pids.current", false);
    put_limit(w, "max", place, "pids.max", false);
    gmr_end_map(w);
}

static void put_v1_memory(struct gmr_writer *w, const struct place *place)
{
    put_one(w, "current", place, "memory.usage_in_bytes", true);
    put_limit(w, "max", place, "memory.limit_in_bytes", true);
    put_one(w, "peak", place, "memory.max_usage_in_bytes", true);
    put_one(w, "failures", place, "memory.failcnt", false);
}

static void put_v1_cpu(struct gmr_writer *w, const struct place *place)
{
    uint64_t quota = UNLIMITED, period = 0;
    size_t n = gmr__strlen(place->directory);
    if (number_in(place, n, "cpu.cfs_period_us", &period)) {
        if (!number_in(place, n, "cpu.cfs_quota_us", &quota))
            quota = UNLIMITED; /* -1 */
        put_cpus(w, quota, period);
    }
    put_one(w, "shares", place, "cpu.shares", false);
    put_from_lines(w, "throttled", place, "cpu.stat", "nr_throttled");
}

static void put_v1_pids(struct gmr_writer *w, const struct place *place)
{
    put_one(w, "current", place, "pids.current", false);
    put_limit(w, "max", place, "pids.max", false);
}

/* A hierarchy: its path, and what it limits if its directory can be read. */
static bool put_hierarchy(struct gmr_writer *w, const struct gmr__target *target, const char *controller,
                          void (*put)(struct gmr_writer *, const struct place *), bool *unseen,
                          struct gmr__section_status *status)
{
    struct place place = {.status = status};
    if (!find_path(target, controller, place.path, sizeof(place.path), status))
        return false;
    if (controller)
        gmr_begin_map(w, controller);
    gmr_put_string(w, "path", place.path);
    if (!outside(place.path) && find_mount(target, controller, &place))
        put(w, &place);
    else
        *unseen = true;
    if (controller)
        gmr_end_map(w);
    return true;
}

static void run(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    char text[64];
    char path[PATH_BYTES];
    bool any = false, unseen = false;
    ssize_t n = gmr__proc_read(target->proc, target->pid, 0, "cgroup", text, sizeof(text));
    if (n == -ENOENT) {
        gmr__section_note(status, GMR__ABSENT, "the kernel has no control groups, or the process is gone", NULL);
        return;
    }
    if (n < 0) {
        gmr__section_error(status, GMR__FAILED, "the control groups", (int)n);
        return;
    }
    any |= put_hierarchy(w, target, "memory", put_v1_memory, &unseen, status);
    any |= put_hierarchy(w, target, "cpu", put_v1_cpu, &unseen, status);
    any |= put_hierarchy(w, target, "pids", put_v1_pids, &unseen, status);
    if (any) { /* beside version 1 the second hierarchy only groups processes */
        if (find_path(target, NULL, path, sizeof(path), status))
            gmr_put_string(w, "unified_path", path);
    } else {
        any = put_hierarchy(w, target, NULL, put_v2, &unseen, status);
    }
    if (!any && status->status == GMR__OK)
        gmr__section_note(status, GMR__ABSENT, "the process is in no control group", NULL);
    else if (unseen)
        gmr__section_note(status, GMR__PARTIAL,
                          "the control group's directory can't be seen from here: its limits are not known", NULL);
}

/* ------------------------------------------------------------------------------------------------ how near its limit */

static void look_at_memory(const struct place *place, bool second, struct gmr__cgroup_memory *memory)
{
    const char *current = second ? "memory.current" : "memory.usage_in_bytes";
    const char *most = second ? "memory.max" : "memory.limit_in_bytes";
    size_t bytes = gmr__strlen(place->directory);
    number_in_lines(place, bytes, second ? "memory.events" : "memory.oom_control", "oom_kill", &memory->oom_kills);
    do {
        uint64_t used, max, idle = 0;
        if (!number_in(place, bytes, most, &max) || max == UNLIMITED || !max ||
            !number_in(place, bytes, current, &used))
            continue;
        number_in_lines(place, bytes, "memory.stat", second ? "inactive_file" : "total_inactive_file", &idle);
        used -= idle < used ? idle : used;
        if (!memory->max || (double)used / (double)max > (double)memory->used / (double)memory->max) {
            memory->used = used;
            memory->max = max;
        }
    } while (level_above(place, &bytes));
}

void gmr__cgroup_memory(const struct gmr__target *target, struct gmr__cgroup_memory *memory)
{
    struct gmr__section_status status = {.status = GMR__OK};
    struct place place = {.status = &status};
    *memory = (struct gmr__cgroup_memory){0};
    bool first = find_path(target, "memory", place.path, sizeof(place.path), &status);
    if (!first && !find_path(target, NULL, place.path, sizeof(place.path), &status))
        return;
    if (!outside(place.path) && find_mount(target, first ? "memory" : NULL, &place))
        look_at_memory(&place, !first, memory);
}

const struct gmr__proc_section gmr__section_cgroup = {
    .head = {.name = "cgroup", .title = "Control Group", .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_SORTED},
    .run = run,
};
