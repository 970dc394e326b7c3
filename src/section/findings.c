/*
 * section/findings.c - what to know of a process at first sight, before its threads: the Findings section.
 *
 * Inspector only, with the target running. Each line repeats what other sections tell in their places, so only what its reader would
 * act upon is told, and only when it is true; without a finding there is no such section. Called by cli/walk.c.
 */
#include "section/findings.h"

#include <string.h>
#include <unistd.h>

#include "section/frames.h"
#include "section/note.h"
#include "sys/proc.h"

#define NEAR_PERCENT 90

void gmr__finding(struct gmr__findings *findings, const char *kind, struct gmr__buf *text)
{
    size_t most = sizeof(findings->items) / sizeof(findings->items[0]);
    struct gmr__finding *finding = &findings->items[findings->count < most ? findings->count++ : most - 1];
    finding->kind = kind;
    gmr__buf_init(text, finding->text, sizeof(finding->text));
}

/* Rounded down, so that 100 % means all of it. */
static unsigned percent(uint64_t part, uint64_t of)
{
    if (part >= of)
        return 100;
    return (unsigned)((double)part / (double)of * 100);
}

static void open_files(struct gmr__findings *findings, const struct gmr__target *target)
{
    struct gmr__buf text;
    uint64_t count, limit;
    if (gmr__open_files(target, &count, &limit) || !limit || percent(count, limit) < NEAR_PERCENT)
        return;
    gmr__finding(findings, "open_files", &text);
    gmr__buf_uint(&text, count);
    gmr__buf_str(&text, " files are open, and the limit is ");
    gmr__buf_uint(&text, limit);
    gmr__buf_str(&text, count < limit ? ": opening more will soon fail" : ": opening another one fails");
    gmr__buf_str(&text, " (EMFILE)");
}

static void memory(struct gmr__findings *findings, const struct gmr__target *target)
{
    struct gmr__buf text;
    struct gmr__cgroup_memory memory;
    gmr__cgroup_memory(target, &memory);
    if (memory.max && percent(memory.used, memory.max) >= NEAR_PERCENT) {
        gmr__finding(findings, "cgroup_memory", &text);
        gmr__buf_str(&text, "the control group uses ");
        gmr__buf_size(&text, memory.used);
        gmr__buf_str(&text, " of the ");
        gmr__buf_size(&text, memory.max);
        gmr__buf_str(&text, " of memory it may have, file pages that could be given back not counted");
    }
    if (memory.oom_kills) {
        gmr__finding(findings, "oom_kills", &text);
        gmr__buf_str(&text, "for want of memory the kernel has killed ");
        gmr__buf_uint(&text, memory.oom_kills);
        gmr__buf_str(&text, memory.oom_kills == 1 ? " process" : " processes");
        gmr__buf_str(&text, " of the control group");
    }
}

static void executable(struct gmr__findings *findings, const struct gmr__target *target)
{
    static const char deleted[] = " (deleted)";
    char path[4200];
    struct gmr__buf text;
    ssize_t n = gmr__proc_readlink(target->proc, target->pid, 0, "exe", path, sizeof(path));
    size_t mark = sizeof(deleted) - 1;
    /* Of a memfd it is said always. */
    if (n <= (ssize_t)mark || strcmp(path + n - mark, deleted) != 0 || gmr__starts_with(path, "/memfd:"))
        return;
    size_t bytes = (size_t)n - mark, from = bytes > 300 ? bytes - 300 : 0;
    gmr__finding(findings, "executable_deleted", &text);
    gmr__buf_str(&text, "the executable was deleted or replaced since the process began: ");
    gmr__buf_str(&text, from ? "..." : "");
    gmr__buf_text(&text, path + from, bytes - from);
}

static void traced(struct gmr__findings *findings, const struct gmr__target *target)
{
    char name[64];
    struct gmr__buf text;
    struct gmr__proc_status status;
    if (gmr__proc_status(target->proc, target->pid, 0, &status) || !status.tracer || status.tracer == getpid())
        return;
    ssize_t n = gmr__proc_read(target->proc, status.tracer, 0, "comm", name, sizeof(name));
    gmr__finding(findings, "traced", &text);
    gmr__buf_str(&text, "it is traced by process ");
    gmr__buf_int(&text, status.tracer);
    if (n > 1) {
        gmr__buf_str(&text, " (");
        gmr__buf_text(&text, name, (size_t)n - 1); /* without the newline */
        gmr__buf_str(&text, ")");
    }
}

bool gmr__findings_stopped(const struct gmr__snapshot *snapshot)
{
    size_t stopped = 0, other = 0;
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        char state = snapshot->threads[i].state;
        stopped += state == 'T';
        other += state == 'R' || state == 'S' || state == 'D' || state == 't';
    }
    return stopped && !other;
}

void gmr__findings_process(struct gmr__findings *findings, const struct gmr__target *target, bool stopped)
{
    struct gmr__buf text;
    if (stopped) {
        gmr__finding(findings, "stopped", &text);
        gmr__buf_str(&text, "the process is stopped by a signal (state T) until it gets SIGCONT");
    }
    traced(findings, target);
    open_files(findings, target);
    memory(findings, target);
    executable(findings, target);
}

void gmr__section_findings(struct gmr_writer *w, const struct gmr__findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct gmr__finding *finding = &findings->items[i];
        if (gmr__writer_text(w)) {
            gmr__raw_text(w, finding->text);
            gmr__raw_format(w, "\n");
            continue;
        }
        gmr_begin_map(w, NULL);
        gmr_put_string(w, "kind", finding->kind);
        gmr_put_string(w, "text", finding->text);
        gmr_end_map(w);
    }
}
