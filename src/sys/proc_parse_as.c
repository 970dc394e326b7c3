/*
 * sys/proc_parse_as.c - what single files of /proc say: stat, status, maps, meminfo.
 *
 * Both halves, any context: async-signal-safe, no memory but the caller's. Callers: the sections, capture, cli. Every number is checked for
 * overflow; a field that does not parse stays 0; a file that is not what it should be is -EBADMSG, never a guess.
 */
#include "sys/proc.h"

#include <errno.h>
#include <limits.h>

#include "sys/buf.h"

#define PF_KTHREAD 0x00200000u /* include/linux/sched.h, shown in stat's flags since ever */

static void skip_blanks(const char **at)
{
    while (**at == ' ' || **at == '\t')
        (*at)++;
}

/* ------------------------------------------------------------------------------------------------ stat */

/* A number and its sign, blanks before it. False: no number here. */
static bool next_number(const char **at, uint64_t *magnitude, bool *negative)
{
    skip_blanks(at);
    *negative = **at == '-';
    if (*negative)
        (*at)++;
    return gmr__parse_uint(at, magnitude);
}

/* The name stands in parentheses and may itself hold any of them, so its end is the last ')' of the line; all behind it is numbers. */
static const char *parse_name(const char *at, char *name, size_t cap)
{
    const char *last = NULL;
    if (*at != '(')
        return NULL;
    for (const char *p = at; *p; p++) {
        if (*p == ')')
            last = p;
    }
    if (!last)
        return NULL;
    struct gmr__buf buf;
    gmr__buf_init(&buf, name, cap);
    gmr__buf_bytes(&buf, at + 1, (size_t)(last - at - 1));
    return last + 1;
}

/* The fields behind the state, by their number in proc(5). */
enum stat_kind { STAT_PID, STAT_UNSIGNED, STAT_WORD, STAT_SIGNED };

static const struct {
    unsigned char field;
    enum stat_kind kind;
    size_t offset;
} stat_fields[] = {
#define AT(member) offsetof(struct gmr__proc_stat, member)
    {4, STAT_PID, AT(ppid)},
    {5, STAT_PID, AT(pgrp)},
    {6, STAT_PID, AT(session)},
    {9, STAT_UNSIGNED, AT(flags)},
    {10, STAT_WORD, AT(minor_faults)},
    {11, STAT_WORD, AT(children_minor_faults)},
    {12, STAT_WORD, AT(major_faults)},
    {13, STAT_WORD, AT(children_major_faults)},
    {14, STAT_WORD, AT(utime)},
    {15, STAT_WORD, AT(stime)},
    {16, STAT_WORD, AT(children_utime)},
    {17, STAT_WORD, AT(children_stime)},
    {18, STAT_SIGNED, AT(priority)},
    {19, STAT_SIGNED, AT(nice)},
    {20, STAT_WORD, AT(threads)},
    {22, STAT_WORD, AT(start_ticks)},
    {23, STAT_WORD, AT(virtual_bytes)},
    {24, STAT_WORD, AT(rss_pages)},
    {39, STAT_PID, AT(processor)},
    {40, STAT_UNSIGNED, AT(rt_priority)},
    {41, STAT_UNSIGNED, AT(policy)},
#undef AT
};
#define LAST_FIELD 41
#define NEEDED_FIELDS 24

static void set_field(struct gmr__proc_stat *stat, int field, uint64_t magnitude, bool negative)
{
    for (size_t i = 0; i < sizeof(stat_fields) / sizeof(*stat_fields); i++) {
        if (stat_fields[i].field != field)
            continue;
        void *to = (char *)stat + stat_fields[i].offset;
        if (stat_fields[i].kind == STAT_SIGNED)
            *(int64_t *)to = magnitude > INT64_MAX ? 0 : negative ? -(int64_t)magnitude : (int64_t)magnitude;
        else if (negative)
            return; /* "none", such as tpgid -1: stays 0 */
        else if (stat_fields[i].kind == STAT_WORD)
            *(uint64_t *)to = magnitude;
        else
            *(uint32_t *)to = magnitude > INT_MAX && stat_fields[i].kind == STAT_PID ? 0 : (uint32_t)magnitude;
        return;
    }
}

int gmr__proc_parse_stat(const char *text, struct gmr__proc_stat *stat)
{
    uint64_t number;
    bool negative;
    *stat = (struct gmr__proc_stat){0};
    if (!next_number(&text, &number, &negative) || negative || number == 0 || number > INT_MAX)
        return -EBADMSG;
    stat->pid = (pid_t)number;
    skip_blanks(&text);
    text = parse_name(text, stat->name, sizeof(stat->name));
    if (!text)
        return -EBADMSG;
    skip_blanks(&text);
    if (*text < '!' || *text > '~')
        return -EBADMSG;
    stat->state = *text++;
    int field = 4;
    for (; field <= LAST_FIELD && next_number(&text, &number, &negative); field++)
        set_field(stat, field, number, negative);
    return field > NEEDED_FIELDS ? 0 : -EBADMSG;
}

int gmr__proc_stat(const char *proc, pid_t pid, pid_t tid, struct gmr__proc_stat *stat)
{
    char text[2048];
    ssize_t n = gmr__proc_read(proc, pid, tid, "stat", text, sizeof(text));
    if (n < 0) {
        *stat = (struct gmr__proc_stat){0};
        return (int)n;
    }
    return gmr__proc_parse_stat(text, stat);
}

bool gmr__proc_is_kernel(const struct gmr__proc_stat *stat)
{
    return (stat->flags & PF_KTHREAD) != 0;
}

const char *gmr__proc_state_name(char state)
{
    static const struct {
        char letter;
        const char *name;
    } states[] = {
        {'R', "running"},      {'S', "sleeping"}, {'D', "disk-sleep"}, {'T', "stopped"},
        {'t', "tracing-stop"}, {'Z', "zombie"},   {'X', "dead"},       {'x', "dead"},
        {'K', "wake-kill"},    {'W', "waking"},   {'I', "idle"},       {'P', "parked"},
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        if (states[i].letter == state)
            return states[i].name;
    }
    return "?";
}

/* ------------------------------------------------------------------------------------------------ status */

enum kind { KB, COUNT, HEX, PID, INT, IDS, LAST_PID };

static const struct {
    const char *key;
    enum kind kind;
    size_t offset;
} status_keys[] = {
#define AT(member) offsetof(struct gmr__proc_status, member)
    {"Tgid:", PID, AT(tgid)},
    {"TracerPid:", PID, AT(tracer)},
    {"Uid:", IDS, AT(uids)},
    {"Gid:", IDS, AT(gids)},
    {"NSpid:", LAST_PID, AT(ns_pid)},
    {"VmPeak:", KB, AT(vm_peak_kb)},
    {"VmSize:", KB, AT(vm_size_kb)},
    {"VmLck:", KB, AT(vm_lck_kb)},
    {"VmPin:", KB, AT(vm_pin_kb)},
    {"VmHWM:", KB, AT(vm_hwm_kb)},
    {"VmRSS:", KB, AT(vm_rss_kb)},
    {"RssAnon:", KB, AT(rss_anon_kb)},
    {"RssFile:", KB, AT(rss_file_kb)},
    {"RssShmem:", KB, AT(rss_shmem_kb)},
    {"VmData:", KB, AT(vm_data_kb)},
    {"VmStk:", KB, AT(vm_stk_kb)},
    {"VmExe:", KB, AT(vm_exe_kb)},
    {"VmLib:", KB, AT(vm_lib_kb)},
    {"VmPTE:", KB, AT(vm_pte_kb)},
    {"VmSwap:", KB, AT(vm_swap_kb)},
    {"CoreDumping:", INT, AT(core_dumping)},
    {"Threads:", COUNT, AT(threads)},
    {"SigPnd:", HEX, AT(sig_pending)},
    {"ShdPnd:", HEX, AT(shared_pending)},
    {"SigBlk:", HEX, AT(sig_blocked)},
    {"SigIgn:", HEX, AT(sig_ignored)},
    {"SigCgt:", HEX, AT(sig_caught)},
    {"CapPrm:", HEX, AT(cap_permitted)},
    {"CapEff:", HEX, AT(cap_effective)},
    {"CapBnd:", HEX, AT(cap_bounding)},
    {"NoNewPrivs:", INT, AT(no_new_privs)},
    {"Seccomp:", INT, AT(seccomp)},
    {"voluntary_ctxt_switches:", COUNT, AT(voluntary_switches)},
    {"nonvoluntary_ctxt_switches:", COUNT, AT(involuntary_switches)},
#undef AT
};

static void status_ids(struct gmr__proc_status *status, struct gmr__proc_ids *ids, const char *at)
{
    uint64_t value[3];
    for (int i = 0; i < 3; i++) {
        skip_blanks(&at);
        if (!gmr__parse_uint(&at, &value[i]) || value[i] > UINT32_MAX)
            return;
    }
    *ids = (struct gmr__proc_ids){(unsigned)value[0], (unsigned)value[1], (unsigned)value[2]};
    status->has_ids = true;
}

static void status_value(struct gmr__proc_status *status, enum kind kind, void *to, const char *at)
{
    uint64_t value = 0;
    if (kind == IDS) {
        status_ids(status, to, at);
        return;
    }
    skip_blanks(&at);
    if (!(kind == HEX ? gmr__parse_hex(&at, &value) : gmr__parse_uint(&at, &value)))
        return;
    if (kind == LAST_PID) {
        for (uint64_t more; skip_blanks(&at), gmr__parse_uint(&at, &more);)
            value = more;
    }
    if (kind == KB)
        status->has_memory = true;
    if (kind == PID || kind == INT || kind == LAST_PID)
        *(int *)to = value > INT_MAX ? 0 : (int)value;
    else
        *(uint64_t *)to = value;
}

int gmr__proc_status(const char *proc, pid_t pid, pid_t tid, struct gmr__proc_status *status)
{
    struct gmr__lines lines;
    bool any = false;
    *status = (struct gmr__proc_status){.no_new_privs = -1, .seccomp = -1};
    int error = gmr__proc_lines_open(&lines, proc, pid, tid, "status");
    if (error)
        return error;
    for (char *line; (line = gmr__lines_next(&lines, NULL));) {
        for (size_t i = 0; i < sizeof(status_keys) / sizeof(*status_keys); i++) {
            if (!gmr__starts_with(line, status_keys[i].key))
                continue;
            any = true;
            status_value(status, status_keys[i].kind, (char *)status + status_keys[i].offset,
                         line + gmr__strlen(status_keys[i].key));
            break;
        }
    }
    error = lines.error;
    gmr__lines_close(&lines);
    return error ? error : any ? 0 : -EBADMSG;
}

/* ------------------------------------------------------------------------------------------------ maps */

static bool expect(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool map_numbers(const char **at, struct gmr__proc_map *map)
{
    uint64_t major, minor;
    if (!gmr__parse_hex(at, &map->start) || !expect(at, '-') || !gmr__parse_hex(at, &map->end) || !expect(at, ' '))
        return false;
    const char *flags = *at;
    for (int i = 0; i < 4; i++) {
        if (flags[i] < '-' || flags[i] > 'x')
            return false;
    }
    map->read = flags[0] == 'r';
    map->write = flags[1] == 'w';
    map->exec = flags[2] == 'x';
    map->shared = flags[3] == 's';
    *at += 4;
    if (!expect(at, ' ') || !gmr__parse_hex(at, &map->offset) || !expect(at, ' ') || !gmr__parse_hex(at, &major) ||
        !expect(at, ':') || !gmr__parse_hex(at, &minor) || !expect(at, ' ') || !gmr__parse_uint(at, &map->inode))
        return false;
    map->dev_major = (uint32_t)major;
    map->dev_minor = (uint32_t)minor;
    return map->start < map->end;
}

bool gmr__proc_parse_map(char *line, struct gmr__proc_map *map)
{
    static const char mark[] = " (deleted)";
    const char *at = line;
    *map = (struct gmr__proc_map){.path = ""};
    if (!map_numbers(&at, map))
        return false;
    skip_blanks(&at);
    char *path = line + (at - line);
    size_t length = gmr__strlen(path), mark_length = sizeof(mark) - 1;
    if (length > mark_length && gmr__streq(path + length - mark_length, mark)) {
        map->deleted = true;
        path[length - mark_length] = '\0';
    }
    map->path = path;
    return true;
}

bool gmr__proc_maps_next(struct gmr__lines *lines, struct gmr__proc_map *map)
{
    for (char *line; (line = gmr__lines_next(lines, NULL));) {
        if (gmr__proc_parse_map(line, map))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------ host */

static bool number_behind(const char *line, const char *key, uint64_t *value)
{
    if (!gmr__starts_with(line, key))
        return false;
    line += gmr__strlen(key);
    skip_blanks(&line);
    return gmr__parse_uint(&line, value);
}

static uint64_t kb_to_bytes(uint64_t kb)
{
    return kb > UINT64_MAX / 1024 ? UINT64_MAX : kb * 1024;
}

int gmr__proc_memory(const char *proc, struct gmr__proc_memory *memory)
{
    struct gmr__lines lines;
    *memory = (struct gmr__proc_memory){0};
    int error = gmr__proc_lines_open(&lines, proc, 0, 0, "meminfo");
    if (error)
        return error;
    for (char *line; (line = gmr__lines_next(&lines, NULL));) {
        uint64_t kb;
        if (number_behind(line, "MemTotal:", &kb))
            memory->total = kb_to_bytes(kb);
        else if (number_behind(line, "MemFree:", &kb))
            memory->free = kb_to_bytes(kb);
        else if (number_behind(line, "MemAvailable:", &kb))
            memory->available = kb_to_bytes(kb);
        else if (number_behind(line, "SwapTotal:", &kb))
            memory->swap_total = kb_to_bytes(kb);
        else if (number_behind(line, "SwapFree:", &kb))
            memory->swap_free = kb_to_bytes(kb);
    }
    gmr__lines_close(&lines);
    return memory->total ? 0 : -EBADMSG;
}

int gmr__proc_boot_time(const char *proc, uint64_t *seconds)
{
    struct gmr__lines lines;
    *seconds = 0;
    gmr__proc_lines_open(&lines, proc, 0, 0, "stat");
    for (char *line; (line = gmr__lines_next(&lines, NULL));) {
        if (number_behind(line, "btime", seconds))
            break;
    }
    int error = lines.error;
    gmr__lines_close(&lines);
    return error;
}
