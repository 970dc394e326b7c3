/*
 * cli/target.c - the target's half of a report that `gmr report` makes: package, configuration, its own sections.
 *
 * The gmr command only. Each is asked for by a conversation of its own, so that a generator that hangs costs its section only; once the process
 * has failed to answer it is not asked again, so that a stuck process costs one deadline.
 */
#include "cli/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/hello.h"
#include "cli/process.h"
#include "report/client.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define HELLO_NS 1000000000ull /* the answer comes from a thread that has nothing else to do */
#define SECTION_NS 10000000000ull

struct gmr__target_half {
    const struct gmr__walk_options *options;
    enum gmr_view view;
    bool carries;     /* libgmr answers */
    bool fails;       /* it is there and does not, or no more: what it would tell is missing, not absent */
    char reason[256]; /* why it does not */
    const char *next_step;
    struct gmr__hello hello;
    char service[128];
    /* of the conversation under way */
    bool *partial;
    bool any;
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool maps_libgmr(pid_t pid)
{
    char path[GMR__PROC_PATH_MAX], line[4096];
    bool found = false;
    FILE *maps = fopen(gmr__proc_path(path, sizeof(path), "/proc", pid, 0, "maps"), "re");
    while (maps && !found && fgets(line, sizeof(line), maps))
        found = strstr(line, "/libgmr") != NULL;
    if (maps)
        fclose(maps);
    return found;
}

static const char *why(int status)
{
    return status == -ETIMEDOUT ? "it did not answer in time"
           : status == -EBADMSG ? "its answer makes no sense"
                                : strerror(-status);
}

static bool is_stopped(struct gmr__target_half *half)
{
    struct gmr__process process;
    if (gmr__process_read(half->options->pid, &process) != 0 || (process.state != 'T' && process.state != 't'))
        return false;
    snprintf(half->reason, sizeof(half->reason), "the process is stopped (state %c), so that its libgmr can't answer",
             process.state);
    half->next_step = "let it go on (kill -CONT PID), then ask again";
    return true;
}

static void say_hello(struct gmr__target_half *half)
{
    pid_t pid = half->options->pid;
    half->next_step = "start it by `gmr run -- COMMAND`, or link it with libgmr";
    int fd = gmr__client_connect(pid, earlier(half->options->deadline_ns, gmr__now_ns() + HELLO_NS));
    if (fd == -ENOENT && !maps_libgmr(pid)) {
        snprintf(half->reason, sizeof(half->reason), "this process does not carry libgmr, which alone could tell");
        return;
    }
    if (is_stopped(half)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    half->next_step = "try the signal: kill -USR2 PID";
    int status =
        fd < 0 ? fd : gmr__hello_ask(fd, earlier(half->options->deadline_ns, gmr__now_ns() + HELLO_NS), &half->hello);
    half->carries = status == 0;
    /* Let go, a stopped process runs for a moment before it is stopped again. */
    if (status == -ETIMEDOUT && is_stopped(half))
        return;
    half->fails = status < 0 && fd != -ENOENT;
    if (fd == -ENOENT)
        snprintf(half->reason, sizeof(half->reason), "the process carries libgmr, but has no control socket");
    else if (status < 0)
        snprintf(half->reason, sizeof(half->reason), "the control socket of the process: %s", why(status));
}

struct gmr__target_half *gmr__target_half_new(const struct gmr__walk_options *options, enum gmr_view view)
{
    struct gmr__target_half *half = calloc(1, sizeof(*half));
    if (!half)
        return NULL;
    half->options = options;
    half->view = view;
    say_hello(half);
    if (half->hello.service[0])
        snprintf(half->service, sizeof(half->service), "%s", half->hello.service);
    else
        gmr__process_name(options->pid, half->service, sizeof(half->service));
    return half;
}

void gmr__target_half_free(struct gmr__target_half *half)
{
    free(half);
}

/* ------------------------------------------------------------------------------------------------ from the process */

static void section_done(void *userdata, const char *name, enum gmr__status status)
{
    struct gmr__target_half *half = userdata;
    half->any = true;
    if (status == GMR__PARTIAL || status == GMR__FAILED)
        *half->partial = true;
}

static const char *view_name(enum gmr_view view)
{
    return view == GMR_VIEW_JSON ? "json" : view == GMR_VIEW_XML ? "xml" : "text";
}

/* 0 when the section was replayed; else why not, and nothing or a closed section stands in the report. */
static int replay(struct gmr__target_half *half, struct gmr_writer *w, const char *name)
{
    char line[128], reason[256];
    uint64_t deadline_ns = earlier(half->options->deadline_ns, gmr__now_ns() + SECTION_NS);
    struct gmr__wire_handlers handlers = {.section_done = section_done, .userdata = half};
    void *place = malloc(gmr__wire_in_size());
    half->any = false;
    snprintf(line, sizeof(line), "gmr/1 sections view=%s names=%s\n", view_name(half->view), name);
    int fd = place ? gmr__client_connect(half->options->pid, deadline_ns) : -ENOMEM;
    int status = fd < 0 ? fd : gmr__client_send(fd, line, deadline_ns);
    if (status == 0) {
        struct gmr__wire_in *in = gmr__wire_in_init(place, gmr__wire_in_size(), w, &handlers);
        status = gmr__client_replay(fd, in, deadline_ns);
        snprintf(reason, sizeof(reason), "the process broke off: %s",
                 status < 0 ? why(status) : "its stream ended early");
        /* Whole is whole, whatever came behind the end. */
        int finish = gmr__wire_finish(in, reason);
        status = finish == 0 || status == 0 ? finish : status;
    }
    if (fd >= 0)
        close(fd);
    free(place);
    if (status < 0 && gmr__writer_error(w) == 0) {
        half->carries = false;
        half->fails = true;
        snprintf(half->reason, sizeof(half->reason), "the process did not tell %s: %s",
                 strcmp(name, "own") == 0 ? "its own sections" : name, why(status));
        half->next_step = "try the signal: kill -USR2 PID";
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------ without it */

static int package_from_outside(struct gmr__target_half *half, struct gmr_writer *w)
{
    static const struct gmr__section_head head = {.name = "package", .title = "Package", .shape = GMR__SHAPE_MAP};
    struct gmr__target target = {.pid = half->options->pid, .proc = "/proc", .deadline_ns = half->options->deadline_ns};
    struct gmr__section_status status = {.status = GMR__OK};
    struct gmr__package package = {.libgmr = half->hello.version[0] ? half->hello.version : NULL};
    gmr__section_begin(w, &head);
    gmr__section_package(w, &target, &package, &status);
    return gmr__section_end(w, status.status, status.reason[0] ? status.reason : NULL,
                            status.next_step[0] ? status.next_step : NULL);
}

static int not_told(struct gmr__target_half *half, struct gmr_writer *w, const char *name, const char *title,
                    unsigned flags)
{
    struct gmr__section_head head = {.name = name, .title = title, .shape = GMR__SHAPE_MAP, .flags = flags};
    *half->partial = *half->partial || half->fails;
    gmr__section_begin(w, &head);
    return gmr__section_end(w, half->fails ? GMR__FAILED : GMR__ABSENT, half->reason, half->next_step);
}

int gmr__target_half_write(void *userdata, struct gmr_writer *w, const char *name, bool *partial)
{
    struct gmr__target_half *half = userdata;
    half->partial = partial;
    if (half->carries) {
        int status = replay(half, w, name);
        if (status == 0 || half->any || gmr__writer_error(w) < 0)
            return gmr__writer_error(w);
    }
    if (strcmp(name, "package") == 0)
        return package_from_outside(half, w);
    if (strcmp(name, "configuration") == 0)
        return not_told(half, w, "configuration", "Configuration", 0);
    /* Whether the program has sections of its own is not known, unless libgmr is there and did not tell. */
    if (half->fails)
        return not_told(half, w, "Own Sections", "Own Sections", GMR__SECTION_OWN);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the document */

void gmr__document(struct gmr__doc *doc, const struct gmr__walk_options *options, const struct gmr__target_half *half,
                   char *id, size_t id_cap, char *time_text, size_t time_cap, char *host, size_t host_cap)
{
    uint64_t now_ns = gmr__realtime_ns();
    time_t seconds = (time_t)(now_ns / 1000000000);
    struct tm utc;
    memset(doc, 0, sizeof(*doc));
    gmtime_r(&seconds, &utc);
    strftime(time_text, time_cap, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (gethostname(host, host_cap) < 0)
        host[0] = '\0';
    host[host_cap - 1] = '\0';
    char stamp[32];
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &utc);
    snprintf(id, id_cap, "%s.%06u-%d-%d", stamp, (unsigned)(now_ns / 1000 % 1000000), (int)options->pid, (int)getpid());
    doc->id = id;
    doc->service = half->service;
    doc->host = host[0] ? host : NULL;
    doc->trigger = "gmr report";
    doc->time = time_text;
    doc->pid = options->pid;
}
