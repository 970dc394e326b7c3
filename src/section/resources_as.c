/*
 * section/resources_as.c - the Resource Usage section: CPU time, memory, faults, context switches, I/O of the process.
 *
 * Both halves, any context: async-signal-safe. Called through gmr__report_order. From stat, status, io and oom_score of /proc/PID: what one of them
 * does not tell is absent.
 */
#include <errno.h>

#include "section/note.h"
#include "sys/proc.h"

static double seconds(uint64_t ticks)
{
    return (double)ticks / 100;
}

static void put_cpu(struct gmr_writer *w, const struct gmr__proc_stat *stat)
{
    gmr_begin_map(w, "cpu_seconds");
    gmr_put_double(w, "user", seconds(stat->utime));
    gmr_put_double(w, "system", seconds(stat->stime));
    gmr_put_double(w, "children_user", seconds(stat->children_utime));
    gmr_put_double(w, "children_system", seconds(stat->children_stime));
    gmr_end_map(w);
}

static void put_bytes(struct gmr_writer *w, const char *key, uint64_t kb)
{
    char text[32];
    struct gmr__buf buf;
    if (!gmr__writer_text(w)) {
        gmr_put_uint(w, key, kb > UINT64_MAX / 1024 ? UINT64_MAX : kb * 1024);
        return;
    }
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_size(&buf, kb > UINT64_MAX / 1024 ? UINT64_MAX : kb * 1024);
    gmr_put_string(w, key, text);
}

static void put_memory(struct gmr_writer *w, const struct gmr__proc_status *status)
{
    gmr_begin_map(w, "memory");
    put_bytes(w, "rss", status->vm_rss_kb);
    put_bytes(w, "rss_peak", status->vm_hwm_kb);
    put_bytes(w, "rss_anonymous", status->rss_anon_kb);
    put_bytes(w, "rss_file", status->rss_file_kb);
    put_bytes(w, "rss_shared", status->rss_shmem_kb);
    put_bytes(w, "virtual", status->vm_size_kb);
    put_bytes(w, "virtual_peak", status->vm_peak_kb);
    put_bytes(w, "data", status->vm_data_kb);
    put_bytes(w, "page_tables", status->vm_pte_kb);
    put_bytes(w, "locked", status->vm_lck_kb);
    put_bytes(w, "swap", status->vm_swap_kb);
    gmr_end_map(w);
}

static void put_faults(struct gmr_writer *w, const struct gmr__proc_stat *stat)
{
    gmr_begin_map(w, "page_faults");
    gmr_put_uint(w, "minor", stat->minor_faults);
    gmr_put_uint(w, "major", stat->major_faults);
    gmr_end_map(w);
}

/* rchar, wchar: bytes through read and write; read_bytes, write_bytes: those that went to the disk. */
static void put_io(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    static const struct {
        const char *key, *name;
    } members[] = {
        {"rchar: ", "read"},
        {"wchar: ", "written"},
        {"syscr: ", "read_calls"},
        {"syscw: ", "write_calls"},
        {"read_bytes: ", "read_from_disk"},
        {"write_bytes: ", "written_to_disk"},
    };
    struct gmr__lines lines;
    int error = gmr__proc_lines_open(&lines, target->proc, target->pid, 0, "io");
    if (error == -ENOENT)
        return; /* a kernel without task I/O accounting */
    if (error) {
        gmr__section_error(status, GMR__PARTIAL, "the I/O figures", error);
        return;
    }
    unsigned seen = 0;
    gmr_begin_map(w, "io");
    for (char *line; (line = gmr__lines_next(&lines, NULL));) {
        for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
            const char *at = line + gmr__strlen(members[i].key);
            uint64_t value;
            if (!gmr__starts_with(line, members[i].key) || (seen & 1u << i) || !gmr__parse_uint(&at, &value))
                continue;
            seen |= 1u << i;
            gmr_put_uint(w, members[i].name, value);
        }
    }
    gmr_end_map(w);
    gmr__section_unread(status, "the I/O figures", lines.error);
    gmr__lines_close(&lines);
}

static bool read_oom(const struct gmr__target *target, const char *name, char text[32],
                     struct gmr__section_status *status)
{
    ssize_t n = gmr__proc_read(target->proc, target->pid, 0, name, text, 32);
    gmr__section_unread(status, name, (int)n);
    return n > 0;
}

static void put_oom(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    char text[32];
    uint64_t value;
    if (read_oom(target, "oom_score", text, status)) {
        const char *at = text;
        if (gmr__parse_uint(&at, &value))
            gmr_put_uint(w, "oom_score", value);
    }
    if (read_oom(target, "oom_score_adj", text, status)) {
        const char *at = text + (text[0] == '-');
        if (gmr__parse_uint(&at, &value) && value <= 1000)
            gmr_put_int(w, "oom_score_adj", text[0] == '-' ? -(int64_t)value : (int64_t)value);
    }
}

static const char *policy_name(unsigned policy)
{
    static const char *const names[] = {"other", "fifo", "rr", "batch", "iso", "idle", "deadline", "ext"};
    return policy < sizeof(names) / sizeof(*names) ? names[policy] : "unknown";
}

static void run(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__proc_stat stat;
    struct gmr__proc_status more;
    int error = gmr__proc_stat(target->proc, target->pid, 0, &stat);
    if (error) {
        gmr__section_error(status, GMR__FAILED, "the process", error);
        return;
    }
    put_cpu(w, &stat);
    error = gmr__proc_status(target->proc, target->pid, 0, &more);
    if (!error && more.has_memory)
        put_memory(w, &more);
    else if (error)
        gmr__section_error(status, GMR__PARTIAL, "the memory figures", error);
    put_faults(w, &stat);
    if (!error) { /* of the leader alone: the kernel keeps these by thread */
        gmr_begin_map(w, "main_thread_switches");
        gmr_put_uint(w, "voluntary", more.voluntary_switches);
        gmr_put_uint(w, "involuntary", more.involuntary_switches);
        gmr_end_map(w);
    }
    gmr_put_uint(w, "threads", stat.threads);
    gmr_put_int(w, "nice", stat.nice);
    gmr_put_string(w, "scheduling", policy_name(stat.policy));
    if (stat.rt_priority)
        gmr_put_uint(w, "realtime_priority", stat.rt_priority);
    put_oom(w, target, status);
    put_io(w, target, status);
}

const struct gmr__proc_section gmr__section_resources = {
    .head = {.name = "resources", .title = "Resource Usage", .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_SORTED},
    .run = run,
};
