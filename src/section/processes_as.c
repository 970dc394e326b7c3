/*
 * section/processes_as.c - the Processes section: the process and its descendants.
 *
 * Both halves, any context: async-signal-safe. Called through gmr__report_order. In text each process has the line that oslo.reports'
 * ProcessView prints (all descendants indented by four, whatever their depth: that is what its template does), then a table tells the rest. In
 * JSON and XML the children are nested. Every process may end between two reads: what is not known is absent.
 */
#include "section/note.h"
#include "section/tree.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define MAX_DEPTH 24 /* a list and a map each; GMR__MAX_DEPTH is the writer's */
#define MAX_SHOWN 4096
#define COMMAND_MAX 4096
#define LINE_MAX 4608

struct process {
    const struct gmr__tree_process *known;
    struct gmr__proc_status status;
    char user[64];
    char start[24];
    bool has_ids;
};

struct walk {
    const struct gmr__target *target;
    struct gmr__section_status *status;
    uint64_t boot_time;
    unsigned last_uid; /* whose name user holds */
    char user[64];
};

static void look_at(struct walk *walk, const struct gmr__tree_process *known, struct process *p)
{
    p->known = known;
    p->user[0] = p->start[0] = '\0';
    int error = gmr__proc_status(walk->target->proc, known->pid, 0, &p->status);
    gmr__section_unread(walk->status, "the user and the memory of a process", error);
    p->has_ids = !error && p->status.has_ids;
    if (p->has_ids) {
        if (!walk->user[0] || walk->last_uid != p->status.uids.real)
            gmr__section_unread(walk->status, "the users' names",
                                gmr__user_name("", p->status.uids.real, walk->user, sizeof(walk->user)));
        walk->last_uid = p->status.uids.real;
        gmr__memcpy(p->user, walk->user, sizeof(p->user));
    }
    if (walk->boot_time)
        gmr__iso_time(p->start, sizeof(p->start), walk->boot_time + known->start_ticks / 100);
}

static ssize_t read_command(const struct walk *walk, pid_t pid, char *to, bool *cut)
{
    ssize_t n = gmr__proc_read(walk->target->proc, pid, 0, "cmdline", to, COMMAND_MAX);
    gmr__section_unread(walk->status, "a command line", (int)n);
    *cut = n == COMMAND_MAX - 1;
    /* A daemon that wrote its own title over its arguments leaves NULs behind it; they are no arguments. */
    while (n > 1 && to[n - 1] == '\0' && to[n - 2] == '\0') {
        *cut = false;
        n--;
    }
    return n;
}

/* ------------------------------------------------------------------------------------------------ data */

static void put_argument(void *w, const char *text, size_t bytes)
{
    gmr_put_bytes(w, NULL, text, bytes);
}

void gmr__put_command(struct gmr_writer *w, const char *key, const char *cmdline, size_t bytes)
{
    gmr_begin_list(w, key);
    gmr__each_argument(cmdline, bytes, false, put_argument, w);
    gmr_end_list(w);
}

static void put_ids(struct gmr_writer *w, const char *key, const struct gmr__proc_ids *ids)
{
    gmr_begin_map(w, key);
    gmr_put_uint(w, "real", ids->real);
    gmr_put_uint(w, "effective", ids->effective);
    gmr_put_uint(w, "saved", ids->saved);
    gmr_end_map(w);
}

static void put_members(struct gmr_writer *w, const struct walk *walk, const struct process *p)
{
    char command[COMMAND_MAX];
    bool cut;
    gmr_put_int(w, "pid", p->known->pid);
    gmr_put_int(w, "parent_pid", p->known->ppid);
    if (p->has_ids) {
        put_ids(w, "uids", &p->status.uids);
        put_ids(w, "gids", &p->status.gids);
        gmr_put_string(w, "username", p->user);
    }
    ssize_t n = read_command(walk, p->known->pid, command, &cut);
    if (n >= 0) {
        gmr_begin_list(w, "command");
        gmr__each_argument(command, (size_t)n, cut, put_argument, w);
        gmr_end_list(w);
    }
    gmr_put_string(w, "state", gmr__proc_state_name(p->known->state));
    if (p->start[0])
        gmr_put_string(w, "start_time", p->start);
    gmr_put_uint(w, "threads", p->known->threads);
    if (p->status.has_memory) {
        gmr_begin_map(w, "memory");
        gmr_put_uint(w, "rss", p->status.vm_rss_kb * 1024);
        gmr_put_uint(w, "virtual", p->status.vm_size_kb * 1024);
        gmr_end_map(w);
    }
}

static void put_data(struct gmr_writer *w, struct walk *walk, const struct gmr__tree *tree)
{
    struct process p;
    unsigned depth = 0, shown = 0;
    for (uint32_t i = tree->root; i != GMR__NO_PROCESS && shown < MAX_SHOWN; shown++) {
        look_at(walk, &tree->processes[i], &p);
        gmr_begin_map(w, NULL);
        put_members(w, walk, &p);
        gmr_begin_list(w, "children");
        unsigned before = depth;
        i = gmr__tree_next(tree, i, &depth, MAX_DEPTH);
        if (i != GMR__NO_PROCESS && shown + 1 < MAX_SHOWN && depth > before)
            continue; /* its first child comes into that list */
        unsigned up = i == GMR__NO_PROCESS || shown + 1 == MAX_SHOWN ? before + 1 : before - depth + 1;
        while (up--) {
            gmr_end_list(w);
            gmr_end_map(w);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ text */

/* Ends the line; one that did not fit (a long command line) ends in dots, at a whole character. */
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

static void put_summary(struct gmr_writer *w, const struct process *p, bool root)
{
    char text[512];
    struct gmr__buf line;
    gmr__buf_init(&line, text, sizeof(text));
    gmr__buf_str(&line, root ? "Process " : "    Process ");
    gmr__buf_int(&line, p->known->pid);
    gmr__buf_str(&line, " (under ");
    gmr__buf_int(&line, p->known->ppid);
    gmr__buf_str(&line, ") [ run by: ");
    if (p->has_ids) {
        gmr__buf_text(&line, p->user, gmr__strlen(p->user));
        gmr__buf_str(&line, " (");
        gmr__buf_uint(&line, p->status.uids.real);
    } else {
        gmr__buf_str(&line, "unknown (unknown uid");
    }
    gmr__buf_str(&line, "), state: ");
    gmr__buf_str(&line, gmr__proc_state_name(p->known->state));
    gmr__buf_str(&line, " ]");
    put_line(w, &line);
}

static void text_argument(void *userdata, const char *text, size_t bytes)
{
    struct gmr__buf *line = userdata;
    gmr__buf_char(line, ' ');
    if (bytes == 0)
        gmr__buf_str(line, "''");
    gmr__buf_text(line, text, bytes);
}

static void put_text_ids(struct gmr__buf *line, const char *what, const struct gmr__proc_ids *ids)
{
    if (ids->real == ids->effective && ids->real == ids->saved)
        return;
    gmr__buf_str(line, what);
    gmr__buf_uint(line, ids->real);
    gmr__buf_char(line, '/');
    gmr__buf_uint(line, ids->effective);
    gmr__buf_char(line, '/');
    gmr__buf_uint(line, ids->saved);
}

static void put_detail(struct gmr_writer *w, const struct walk *walk, const struct process *p)
{
    char text[LINE_MAX], command[COMMAND_MAX];
    struct gmr__buf line;
    bool cut;
    gmr__buf_init(&line, text, sizeof(text));
    gmr__buf_str(&line, "  ");
    gmr__buf_int(&line, p->known->pid);
    gmr__buf_column(&line, 11);
    gmr__buf_str(&line, p->start[0] ? p->start : "-");
    gmr__buf_column(&line, 33);
    gmr__buf_uint(&line, p->known->threads);
    gmr__buf_column(&line, 42);
    if (p->status.has_memory)
        gmr__buf_size(&line, p->status.vm_rss_kb * 1024);
    else
        gmr__buf_char(&line, '-');
    gmr__buf_column(&line, 54);
    if (p->status.has_memory)
        gmr__buf_size(&line, p->status.vm_size_kb * 1024);
    else
        gmr__buf_char(&line, '-');
    gmr__buf_column(&line, 65);
    ssize_t n = read_command(walk, p->known->pid, command, &cut);
    if (n > 0)
        gmr__each_argument(command, (size_t)n, cut, text_argument, &line);
    else
        gmr__buf_str(&line, " -");
    if (p->has_ids) {
        put_text_ids(&line, "  [uids real/effective/saved: ", &p->status.uids);
        put_text_ids(&line, "  [gids real/effective/saved: ", &p->status.gids);
    }
    put_line(w, &line);
}

static void put_text(struct gmr_writer *w, struct walk *walk, const struct gmr__tree *tree)
{
    static const char header[] = "\n  PID      STARTED               THREADS  RESIDENT    VIRTUAL     COMMAND\n";
    struct process p;
    for (int pass = 0; pass < 2; pass++) {
        unsigned depth = 0, shown = 0;
        if (pass)
            gmr__raw(w, header, sizeof(header) - 1);
        for (uint32_t i = tree->root; i != GMR__NO_PROCESS && shown < MAX_SHOWN; shown++) {
            look_at(walk, &tree->processes[i], &p);
            if (pass)
                put_detail(w, walk, &p);
            else
                put_summary(w, &p, i == tree->root);
            i = gmr__tree_next(tree, i, &depth, MAX_DEPTH);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ */

static void note_left_out(const struct gmr__tree *tree, struct gmr__section_status *status)
{
    unsigned depth = 0;
    uint64_t all = 0, shown = 0;
    for (uint32_t i = tree->root; i != GMR__NO_PROCESS; all++)
        i = gmr__tree_next(tree, i, &depth, UINT32_MAX);
    depth = 0;
    for (uint32_t i = tree->root; i != GMR__NO_PROCESS && shown < MAX_SHOWN; shown++)
        i = gmr__tree_next(tree, i, &depth, MAX_DEPTH);
    if (all > shown)
        gmr__section_count(status, GMR__PARTIAL, all - shown, "more descendants are not shown");
}

static void run(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct walk walk = {.target = target, .status = status};
    struct gmr__tree tree;
    gmr__section_unread(status, "the boot's time", gmr__proc_boot_time(target->proc, &walk.boot_time));
    int error = gmr__tree_read(&tree, target, status);
    if (error) {
        gmr__section_error(status, GMR__FAILED, "the process", error);
        gmr__tree_free(&tree);
        return;
    }
    if (gmr__writer_text(w))
        put_text(w, &walk, &tree);
    else
        put_data(w, &walk, &tree);
    note_left_out(&tree, status);
    gmr__tree_free(&tree);
}

const struct gmr__proc_section gmr__section_processes = {
    .head = {.name = "processes", .title = "Processes", .shape = GMR__SHAPE_LIST, .flags = GMR__SECTION_SORTED},
    .run = run,
};
