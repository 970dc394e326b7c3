/*
 * report/assemble_as.c - makes a report: starts the inspector, merges its stream with the target's own sections, and fills in
 * what is missing when the inspector is.
 *
 * Reporter thread of the target; async-signal-safe: the process may be sick. Called by trigger/reporter_as.c. Must never wait past the
 * report's deadline, and always ends with a whole document, whatever became of the inspector.
 */
#include "report/assemble.h"

#include <errno.h>
#include <signal.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "report/crash.h"
#include "report/fallback.h"
#include "report/order.h"
#include "report/runtime.h"
#include "report/spawn.h"
#include "section/section.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define READ_BYTES (16u << 10)
#define WRITER_BYTES (64u << 10)
#define WIRE_BYTES (64u << 10)

struct gmr__workspace {
    _Alignas(64) unsigned char writer[WRITER_BYTES];
    _Alignas(64) unsigned char wire[WIRE_BYTES];
    unsigned char bytes[READ_BYTES];
    struct gmr__fallback *fallback; /* NULL: no memory for it */
};

struct making {
    struct gmr__workspace *workspace;
    struct gmr__wish *wish;
    struct gmr_writer *writer;
    uint64_t start_ns;
    uint32_t done; /* bit n: entry n of gmr__report_order */
    struct gmr__cost cost;
    char method[32];
    char reason[256], next_step[160];
};

struct gmr__workspace *gmr__workspace_new(void)
{
    struct gmr__workspace *workspace = gmr__map_memory(sizeof(*workspace));
    if (workspace)
        workspace->fallback = gmr__fallback_new();
    return workspace;
}

void gmr__workspace_free(struct gmr__workspace *workspace)
{
    if (!workspace)
        return;
    gmr__fallback_free(workspace->fallback);
    gmr__unmap_memory(workspace, sizeof(*workspace));
}

struct gmr_writer *gmr__workspace_writer(struct gmr__workspace *workspace, int view, int final_view,
                                         struct gmr__sink *sink)
{
    return !workspace ? NULL : gmr__writer_init(workspace->writer, WRITER_BYTES, view, final_view, sink);
}

/* ---- which sections ---- */

static const char *title_of(const struct gmr__order_entry *entry)
{
    if (entry->proc)
        return entry->proc->head.title;
    static const char *const titles[][2] = {{"package", "Package"},
                                            {"threads", "Threads"},
                                            {"green_threads", "Green Threads"},
                                            {"configuration", "Configuration"}};
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        if (gmr__streq(titles[i][0], entry->name))
            return titles[i][1];
    return NULL;
}

static bool wanted(const struct gmr__wish *wish, const struct gmr__order_entry *entry)
{
    if (!wish->only_title)
        return true;
    const char *title = title_of(entry);
    if (title && gmr__streq(title, wish->only_title))
        return true;
    if (gmr__streq(entry->name, "stacks")) /* what threads' and green threads' stacks are indexes into */
        return gmr__streq(wish->only_title, "Threads") || gmr__streq(wish->only_title, "Green Threads");
    return false;
}

static bool is_built_in(const char *title)
{
    for (const struct gmr__order_entry *e = gmr__report_order; e->name; e++) {
        const char *known = title_of(e);
        if (known && gmr__streq(known, title))
            return true;
    }
    return false;
}

static void mark(struct making *m, const char *name)
{
    for (unsigned i = 0; gmr__report_order[i].name; i++)
        if (gmr__streq(gmr__report_order[i].name, name))
            m->done |= 1u << i;
}

/* ---- the inspector ---- */

static void absent(struct making *m, const struct gmr__order_entry *entry)
{
    bool stacks = gmr__streq(entry->name, "stacks");
    const char *title = title_of(entry) ? title_of(entry) : entry->name;
    const char *why = m->reason[0] ? m->reason : "the inspector left it out";
    if (stacks && gmr__writer_text(m->writer))
        return; /* in text they stand with their threads */
    if (m->workspace->fallback && gmr__fallback_section(m->workspace->fallback, m->writer, entry->name, title, why))
        return;
    struct gmr__section_head head = {
        .name = entry->name, .title = title, .shape = GMR__SHAPE_LIST, .flags = stacks ? GMR__SECTION_STRUCTURED : 0};
    if (gmr__section_begin(m->writer, &head))
        return;
    gmr__section_end(m->writer, GMR__FAILED, why, "run `gmr doctor PID`, or `gmr report PID` as root");
}

/* Where the inspector itself can't look at the threads, it leaves the place to us: a slot "threads: why". */
static int on_thread_slot(struct making *m, const char *name)
{
    for (unsigned i = 0; gmr__report_order[i].name; i++) {
        const struct gmr__order_entry *e = &gmr__report_order[i];
        size_t length = gmr__strlen(e->name);
        if (e->half != GMR__HALF_INSPECTOR || !gmr__starts_with(name, e->name) || name[length] != ':' ||
            m->done & 1u << i || !wanted(m->wish, e))
            continue;
        struct gmr__buf buf;
        m->done |= 1u << i;
        gmr__buf_init(&buf, m->reason, sizeof(m->reason));
        gmr__buf_str(&buf, name + length + (name[length + 1] == ' ' ? 2 : 1));
        absent(m, e);
        m->reason[0] = '\0';
        return 1;
    }
    return 0;
}

static int on_slot(void *userdata, const char *name)
{
    struct making *m = userdata;
    if (on_thread_slot(m, name))
        return 0;
    for (unsigned i = 0; gmr__report_order[i].name; i++) {
        const struct gmr__order_entry *e = &gmr__report_order[i];
        if (gmr__streq(e->name, name) && e->half == GMR__HALF_TARGET && !(m->done & 1u << i) && wanted(m->wish, e)) {
            m->done |= 1u << i;
            return gmr__fill_slot(m->writer, name, m->wish);
        }
    }
    return 0;
}

static void on_cost(void *userdata, const struct gmr__cost *cost, const char *method)
{
    struct making *m = userdata;
    struct gmr__buf buf;
    m->cost = *cost;
    gmr__buf_init(&buf, m->method, sizeof(m->method));
    gmr__buf_str(&buf, method);
}

static void on_section(void *userdata, const char *name, enum gmr__status status)
{
    mark(userdata, name);
}

static int why_end(struct gmr__buf *buf, const struct gmr__spawn *spawn, bool late)
{
    if (spawn->error) {
        char place[32];
        gmr__buf_str(buf, "the inspector could not be started: ");
        gmr__buf_str(buf, gmr__errno_text(-spawn->error, place));
    } else if (late) {
        gmr__buf_str(buf, "the inspector did not finish within its deadline");
    } else if (spawn->seen && WIFSIGNALED(spawn->wait_status)) {
        gmr__buf_str(buf, "the inspector was killed by signal ");
        gmr__buf_uint(buf, (uint64_t)WTERMSIG(spawn->wait_status));
    } else if (spawn->seen && WEXITSTATUS(spawn->wait_status) != 0) {
        gmr__buf_str(buf, "the inspector gave up with exit code ");
        gmr__buf_uint(buf, (uint64_t)WEXITSTATUS(spawn->wait_status));
    } else {
        gmr__buf_str(buf, "the inspector ended too early");
    }
    return 0;
}

/* Feeds the stream to the writer until its end. 0, -ETIMEDOUT, or what is wrong with the stream. */
static int pump(struct making *m, struct gmr__spawn *spawn, struct gmr__wire_in *in)
{
    for (;;) {
        ssize_t n = gmr__read(spawn->stream, m->workspace->bytes, READ_BYTES);
        if (n == 0)
            return 0;
        if (n > 0) {
            int error = gmr__wire_feed(in, m->workspace->bytes, (size_t)n);
            if (error)
                return error;
            continue;
        }
        if (n != -EAGAIN && n != -EINTR)
            return (int)n;
        uint64_t now = gmr__now_ns();
        if (now >= spawn->deadline_ns)
            return -ETIMEDOUT;
        struct pollfd wait = {.fd = spawn->stream, .events = POLLIN};
        gmr__poll(&wait, 1, (int)((spawn->deadline_ns - now) / 1000000u) + 1);
    }
}

static const char *inspector_sections(const struct making *m, char *list, size_t cap)
{
    struct gmr__buf buf;
    if (!m->wish->only_title)
        return NULL;
    gmr__buf_init(&buf, list, cap);
    for (const struct gmr__order_entry *e = gmr__report_order; e->name; e++) {
        if (!wanted(m->wish, e))
            continue;
        if (buf.used)
            gmr__buf_char(&buf, ',');
        gmr__buf_str(&buf, e->name);
    }
    return list;
}

static const char *view_name(int view)
{
    return view == GMR_VIEW_JSON ? "json" : view == GMR_VIEW_XML ? "xml" : "text";
}

struct command {
    const char *argv[16];
    char pid[24], deadline[24], crashed[24], sections[256];
};

static const char *number(char text[24], uint64_t value)
{
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, 24);
    gmr__buf_uint(&buf, value);
    return text;
}

static void make_command(struct making *m, struct command *c, uint64_t budget_ns)
{
    const char *list = inspector_sections(m, c->sections, sizeof(c->sections));
    const char *const options[][2] = {
        {"--stream-fd", "3"},
        {"--pid", number(c->pid, (uint64_t)gmr__getpid())},
        {"--view", view_name(m->wish->view)},
        {"--deadline-ms", number(c->deadline, budget_ns / 1000000u)},
        {"--sections", list},
        {"--crashed-tid", m->wish->crash ? number(c->crashed, (uint64_t)atomic_load(&gmr__crash.tid)) : NULL}};
    size_t n = 0;
    c->argv[n++] = "gmr-inspector";
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (options[i][1]) {
            c->argv[n++] = options[i][0];
            c->argv[n++] = options[i][1];
        }
    c->argv[n] = NULL;
}

static void inspect(struct making *m)
{
    struct gmr__buf buf;
    struct command command;
    uint64_t budget_ns = (m->wish->deadline_ns - m->start_ns) / 10 * 7;
    make_command(m, &command, budget_ns);
    struct gmr__spawn spawn = {.exec_fd = gmr__rt.fds.inspector,
                               .path = gmr__rt.settings->inspector,
                               .argv = (char *const *)command.argv,
                               .envp = gmr__inspector_environment,
                               .cpu_seconds = (unsigned)(budget_ns / 1000000000u) * 2 + 5,
                               .deadline_ns = m->start_ns + budget_ns,
                               .yama = gmr__rt.fds.yama > 0};
    gmr__buf_init(&buf, m->reason, sizeof(m->reason));
    int error = gmr__spawn_begin(&spawn);
    if (error) {
        spawn.error = error;
        why_end(&buf, &spawn, false);
        return;
    }
    const struct gmr__wire_handlers handlers = {
        .slot = on_slot, .cost = on_cost, .section_done = on_section, .userdata = m};
    struct gmr__wire_in *in = gmr__wire_in_init(m->workspace->wire, WIRE_BYTES, m->writer, &handlers);
    error = in ? pump(m, &spawn, in) : -ENOMEM;
    gmr__spawn_end(&spawn, error != 0);
    if (error && error != -ETIMEDOUT)
        gmr__buf_str(&buf, "what the inspector sent is damaged");
    else
        why_end(&buf, &spawn, error == -ETIMEDOUT);
    if (in && gmr__wire_finish(in, m->reason) == 0)
        m->reason[0] = '\0';
}

/* ---- what the inspector did not bring ---- */

static void run_here(struct making *m, const struct gmr__proc_section *section)
{
    struct gmr__section_status status = {0};
    struct gmr__target target = {.pid = gmr__getpid(), .proc = "/proc", .deadline_ns = m->wish->deadline_ns};
    if (gmr__section_begin(m->writer, &section->head))
        return;
    section->run(m->writer, &target, &status);
    gmr__section_end(m->writer, status.status, status.reason[0] ? status.reason : NULL,
                     status.next_step[0] ? status.next_step : NULL);
}

static void fill_the_rest(struct making *m)
{
    for (unsigned i = 0; gmr__report_order[i].name; i++) {
        const struct gmr__order_entry *entry = &gmr__report_order[i];
        if (m->done & 1u << i || !wanted(m->wish, entry))
            continue;
        m->done |= 1u << i;
        if (entry->half == GMR__HALF_TARGET)
            gmr__fill_slot(m->writer, entry->name, m->wish);
        else if (entry->half == GMR__HALF_PROC)
            run_here(m, entry->proc);
        else if (entry->half == GMR__HALF_INSPECTOR)
            absent(m, entry);
    }
}

static bool needs_inspector(const struct gmr__wish *wish)
{
    for (const struct gmr__order_entry *e = gmr__report_order; e->name; e++)
        if (e->half == GMR__HALF_INSPECTOR && wanted(wish, e))
            return true;
    return false;
}

/* ---- the document ---- */

static void make_id(struct gmr__wish *wish)
{
    struct gmr__buf buf;
    char time[GMR__TIME_TEXT];
    uint64_t now = gmr__realtime_ns();
    gmr__utc_text(now, false, time);
    gmr__buf_init(&buf, wish->id, sizeof(wish->id));
    gmr__buf_str(&buf, time);
    gmr__buf_char(&buf, '-');
    gmr__buf_int(&buf, gmr__getpid());
    gmr__buf_char(&buf, '-');
    gmr__buf_uint(&buf, atomic_fetch_add(&gmr__rt.report_count, 1) + 1);
}

static int own_section(struct making *m)
{
    int written = gmr__fill_slot(m->writer, "own", m->wish);
    return written == 0 ? -ENOENT : written < 0 ? written : 0;
}

static int assemble_wire(struct making *m)
{
    static const char *const mine[] = {"package", "configuration", "own"};
    gmr__doc_begin(m->writer, &(struct gmr__doc){.pid = gmr__getpid()});
    for (size_t i = 0; i < 3; i++)
        gmr__fill_slot(m->writer, mine[i], m->wish);
    return gmr__doc_end(m->writer, &(struct gmr__doc){.pid = gmr__getpid()}, &m->cost);
}

int gmr__assemble(struct gmr__workspace *workspace, struct gmr__wish *wish, struct gmr__sink *sink)
{
    if (!workspace)
        return -ENOMEM;
    struct making making = {.workspace = workspace, .wish = wish, .start_ns = gmr__now_ns()}, *m = &making;
    m->writer = gmr__writer_init(workspace->writer, WRITER_BYTES, wish->view, wish->final_view, sink);
    if (!m->writer)
        return -ENOMEM;
    if (!workspace->fallback) /* there was no memory for it at setup; there may be now */
        workspace->fallback = gmr__fallback_new();
    if (workspace->fallback)
        gmr__fallback_begin(workspace->fallback, wish->deadline_ns);
    wish->fallback = workspace->fallback;
    if (wish->view == GMR__VIEW_WIRE)
        return assemble_wire(m);

    struct utsname host = {0};
    GMR__SYS(SYS_uname, &host, 0, 0, 0, 0, 0);
    char time[GMR__TIME_TEXT];
    gmr__utc_text(gmr__realtime_ns(), true, time);
    make_id(wish);
    struct gmr__doc doc = {.id = wish->id,
                           .service = gmr__rt.settings->service,
                           .host = host.nodename,
                           .trigger = wish->trigger,
                           .time = time,
                           .pid = gmr__getpid()};
    int result = 0;
    gmr__doc_begin(m->writer, &doc);
    if (wish->only_title && !is_built_in(wish->only_title)) {
        result = own_section(m);
    } else {
        if (needs_inspector(wish))
            inspect(m);
        fill_the_rest(m);
    }
    m->cost.wall_ns = gmr__now_ns() - m->start_ns;
    doc.method = m->method[0] ? m->method : "none";
    if (workspace->fallback && gmr__fallback_used(workspace->fallback)) {
        gmr__fallback_cost(workspace->fallback, &m->cost);
        doc.method = "signal";
    }
    int error = gmr__doc_end(m->writer, &doc, &m->cost);
    return result ? result : error;
}

/* Days since 1970 to a date: Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days. */
void gmr__utc_text(uint64_t realtime_ns, bool iso, char text[GMR__TIME_TEXT])
{
    uint64_t seconds = realtime_ns / 1000000000u;
    uint64_t days = seconds / 86400 + 719468, era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t of_year = day - (365 * year + year / 4 - year / 100), shifted = (5 * of_year + 2) / 153;
    uint64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, GMR__TIME_TEXT);
    const uint64_t parts[6] = {year + era * 400 + (month <= 2),
                               month,
                               of_year - (153 * shifted + 2) / 5 + 1,
                               seconds / 3600 % 24,
                               seconds / 60 % 60,
                               seconds % 60};
    static const char separators[] = "\0--T::";
    for (int i = 0; i < 6; i++) {
        if (iso && i > 0)
            gmr__buf_char(&buf, separators[i]);
        gmr__buf_pad(&buf, parts[i], i ? 2 : 4);
    }
    if (iso)
        gmr__buf_char(&buf, 'Z');
}
