/*
 * report/settings.c - what gmr_options, the environment and the INI file together ask for, copied into one block.
 *
 * Runs in gmr_setup_autorun() on the caller's thread; may use libc. Order: environment (ignored when AT_SECURE), INI file, struct, default.
 * A setting that can't be understood is told in gmr_setup_message() and the next source counts.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "config/config.h"
#include "report/runtime.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define LONGEST_SETTING 4096

/* Strings are gathered first and counted, then copied behind the struct. */
struct draft {
    struct gmr__settings s;
    struct gmr__ini ini;
    bool secure;
    char service[LONGEST_SETTING], file_service[80];
    char log_dir[2 * LONGEST_SETTING], watch_file[2 * LONGEST_SETTING];
};

static const char *from_environment(const struct draft *draft, const char *name)
{
    const char *value = draft->secure ? NULL : getenv(name);
    return value && value[0] ? value : NULL;
}

static const char *pick(const struct draft *draft, const char *variable, const char *ini, const char *given)
{
    const char *value = variable ? from_environment(draft, variable) : NULL;
    if (!value && ini && ini[0])
        value = ini;
    if (!value)
        value = given && given[0] ? given : NULL;
    if (value && strlen(value) >= LONGEST_SETTING) {
        gmr__setup_problem("a setting is longer than 4095 bytes and is ignored", variable, 0);
        return NULL;
    }
    return value;
}

static int parse_signal(const char *text)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"USR1", SIGUSR1},    {"USR2", SIGUSR2},
                 {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"CONT", SIGCONT}, {"URG", SIGURG},      {"WINCH", SIGWINCH},
                 {"IO", SIGIO},     {"PWR", SIGPWR},   {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},    {"PROF", SIGPROF},
                 {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU}, {"TSTP", SIGTSTP}, {"VTALRM", SIGVTALRM}};
    if (strcasecmp(text, "none") == 0 || strcasecmp(text, "off") == 0)
        return GMR_SIGNAL_NONE;
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(text, names[i].name) == 0)
            return names[i].number;
    int base = 0;
    const char *number = text;
    if (strncasecmp(text, "RTMIN", 5) == 0) {
        base = SIGRTMIN;
        number = text[5] == '+' ? text + 6 : text + 5;
        if (!*number)
            return base;
    }
    uint64_t value;
    if (!gmr__parse_uint(&number, &value) || *number || value > 64)
        return 0;
    return base + (int)value;
}

/* Signals that can't be caught, that gmr itself uses, that libc uses, or that mean a crash. */
static bool usable_signal(int signal)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSTKFLT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        if (signal == never[i])
            return false;
    return signal > 0 && signal <= SIGRTMAX && (signal < 32 || signal >= SIGRTMIN);
}

static void settle_signal(struct draft *draft, int given)
{
    int number = given;
    const char *text = from_environment(draft, "GMR_SIGNAL");
    if (text) {
        number = parse_signal(text);
        if (number == 0)
            gmr__setup_problem("GMR_SIGNAL is not the name or number of a signal; using the program's", text, 0);
        if (number == 0)
            number = given;
    }
    if (number == 0)
        number = SIGUSR2;
    if (number != GMR_SIGNAL_NONE && !usable_signal(number)) {
        gmr__setup_problem(
            "the trigger's signal can't be used for reports; no signal is armed. Choose another, such as SIGUSR2", NULL,
            0);
        number = GMR_SIGNAL_NONE;
    }
    draft->s.signal = number == GMR_SIGNAL_NONE ? 0 : number;
}

bool gmr__switch_on(const char *text)
{
    return !strcasecmp(text, "1") || !strcasecmp(text, "on") || !strcasecmp(text, "yes") || !strcasecmp(text, "true");
}

static bool settle_switch(const struct draft *draft, const char *variable, enum gmr_switch given, bool otherwise)
{
    const char *text = variable ? from_environment(draft, variable) : NULL;
    if (text) {
        if (gmr__switch_on(text))
            return true;
        if (!strcasecmp(text, "0") || !strcasecmp(text, "off") || !strcasecmp(text, "no") || !strcasecmp(text, "false"))
            return false;
        gmr__setup_problem("neither on nor off", variable, 0);
    }
    return given == GMR_ON ? true : given == GMR_OFF ? false : otherwise;
}

static int settle_view(const struct draft *draft, enum gmr_view given)
{
    const char *text = from_environment(draft, "GMR_VIEW");
    if (text && !strcasecmp(text, "text"))
        return GMR_VIEW_TEXT;
    if (text && !strcasecmp(text, "json"))
        return GMR_VIEW_JSON;
    if (text && !strcasecmp(text, "xml"))
        return GMR_VIEW_XML;
    if (text)
        gmr__setup_problem("GMR_VIEW is none of text, json, xml", text, 0);
    if (given < GMR_VIEW_DEFAULT || given > GMR_VIEW_XML)
        gmr__setup_problem("options.view is no view; using text", NULL, 0);
    return given == GMR_VIEW_JSON || given == GMR_VIEW_XML ? (int)given : GMR_VIEW_TEXT;
}

static unsigned settle_interval(const struct draft *draft, unsigned given)
{
    const char *text = from_environment(draft, "GMR_WATCH_INTERVAL_MS");
    uint64_t value;
    if (text) {
        const char *end = text;
        if (gmr__parse_uint(&end, &value) && !*end && value > 0 && value <= 86400000)
            return (unsigned)value;
        gmr__setup_problem("GMR_WATCH_INTERVAL_MS is no number of milliseconds", text, 0);
    }
    if (draft->ini.interval_ms)
        return draft->ini.interval_ms;
    return given ? given : 1000;
}

/* The executable's name, as `gmr list` and file names show it. */
static void name_service(struct draft *draft, const char *given)
{
    const char *name = pick(draft, "GMR_SERVICE", NULL, given);
    char exe[PATH_MAX];
    if (!name) /* as it was called: /proc/self/exe of redis-server is redis-check-rdb on Debian, one file with many names */
        name = program_invocation_short_name;
    if (!name || !name[0]) {
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        exe[n > 0 ? n : 0] = '\0';
        char *slash = strrchr(exe, '/');
        name = slash ? slash + 1 : exe;
    }
    char comm[17] = "";
    if (!name[0]) {
        prctl(PR_GET_NAME, comm);
        name = comm[0] ? comm : "unknown";
    }
    struct gmr__buf buf;
    gmr__buf_init(&buf, draft->service, sizeof(draft->service));
    gmr__buf_str(&buf, name);
    /* A file name: no separator, no control byte, nothing a shell or a glob could take for more, no leading dot or dash. */
    gmr__buf_init(&buf, draft->file_service, sizeof(draft->file_service));
    for (const char *c = name; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' ||
                     ((*c == '.' || *c == '-') && buf.used > 0);
        gmr__buf_char(&buf, plain ? *c : '_');
    }
}

static const char *keep(char **at, const char *text)
{
    if (!text)
        return NULL;
    size_t bytes = strlen(text) + 1;
    char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

static size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* A relative path is meant from here: a daemon goes to / later. */
static const char *absolute(const char *path, char *room)
{
    char here[LONGEST_SETTING];
    if (!path || path[0] == '/' || !getcwd(here, sizeof(here)) || here[0] != '/')
        return path;
    struct gmr__buf buf;
    gmr__buf_init(&buf, room, 2 * LONGEST_SETTING);
    gmr__buf_str(&buf, here);
    gmr__buf_char(&buf, '/');
    gmr__buf_str(&buf, path);
    return room;
}

static struct gmr__settings *seal(struct draft *draft)
{
    struct gmr__settings *s = &draft->s;
    const char **strings[] = {&s->vendor,  &s->product,    &s->version,     &s->service,  &s->file_service,
                              &s->log_dir, &s->watch_file, &s->config_file, &s->inspector};
    const size_t count = sizeof(strings) / sizeof(strings[0]);
    size_t bytes = sizeof(*s);
    for (size_t i = 0; i < count; i++)
        bytes += size_of(*strings[i]);
    struct gmr__settings *block = gmr__map_memory(bytes);
    if (!block)
        return NULL;
    char *at = (char *)(block + 1);
    for (size_t i = 0; i < count; i++)
        *strings[i] = keep(&at, *strings[i]);
    s->block_bytes = bytes;
    *block = *s;
    return block;
}

static void settle_limits(struct gmr__settings *s, const struct gmr_options *o)
{
    s->report_timeout_ms = o->report_timeout_ms ? o->report_timeout_ms : 30000;
    s->section_timeout_ms = o->section_timeout_ms ? o->section_timeout_ms : 2000;
    s->section_max_bytes = o->section_max_bytes ? o->section_max_bytes : (size_t)4 << 20;
    s->min_interval_ms = o->min_interval_ms ? o->min_interval_ms : 500;
    s->max_files = o->max_files ? o->max_files : 100;
    s->max_files_bytes = o->max_files_bytes ? o->max_files_bytes : (uint64_t)256 << 20;
}

struct gmr__settings *gmr__settings_new(const struct gmr_options *given)
{
    struct gmr_options o = {0};
    if (given) /* a caller of an older header knows fewer members, one of a newer header more */
        memcpy(&o, given, given->size < sizeof(o) ? given->size : sizeof(o));
    struct draft *draft = gmr__map_memory(sizeof(*draft));
    if (!draft)
        return NULL;
    draft->secure = getauxval(AT_SECURE) != 0;
    struct gmr__settings *s = &draft->s;
    s->secure = draft->secure;
    s->config_file = pick(draft, "GMR_CONFIG", NULL, o.config_file);
    if (s->config_file) {
        int error = gmr__ini_read(s->config_file, &draft->ini);
        if (error)
            gmr__setup_problem(draft->ini.problem[0] ? draft->ini.problem : "the configuration file can't be read",
                               draft->ini.problem[0] ? NULL : s->config_file, draft->ini.problem[0] ? 0 : -error);
    }
    s->vendor = o.vendor;
    s->product = o.product;
    s->version = o.version;
    name_service(draft, o.service);
    s->service = draft->service;
    s->file_service = draft->file_service;
    settle_signal(draft, o.signal);
    s->flags = o.flags;
    s->log_dir = absolute(pick(draft, "GMR_LOG_DIR", draft->ini.log_dir, o.log_dir), draft->log_dir);
    s->watch_file = absolute(pick(draft, "GMR_WATCH_FILE", draft->ini.watch_file, o.watch_file), draft->watch_file);
    s->watch_interval_ms = settle_interval(draft, o.watch_interval_ms);
    s->control_socket = settle_switch(draft, "GMR_CONTROL_SOCKET", o.control_socket, true);
    s->view = settle_view(draft, o.view);
    s->inspector = pick(draft, "GMR_INSPECTOR", NULL, o.inspector);
    s->log = o.log;
    s->log_userdata = o.log_userdata;
    s->fork_children = settle_switch(draft, NULL, o.fork_children, true);
    s->crash = settle_switch(draft, "GMR_CRASH", o.crash, false);
    settle_limits(s, &o);
    struct gmr__settings *sealed = seal(draft);
    gmr__unmap_memory(draft, sizeof(*draft));
    return sealed;
}

int gmr__settings_provide(struct gmr_writer *writer, void *unused)
{
    const struct gmr__settings *s = gmr__rt.settings;
    if (!s)
        return 0;
    gmr_begin_map(writer, "oslo_reports");
    gmr_put_string(writer, "log_dir", s->log_dir);
    gmr_put_string(writer, "file_event_handler", s->watch_file);
    if (s->watch_interval_ms % 1000 == 0)
        gmr_put_uint(writer, "file_event_handler_interval", s->watch_interval_ms / 1000);
    else
        gmr_put_double(writer, "file_event_handler_interval", s->watch_interval_ms / 1000.0);
    return gmr_end_map(writer);
}

void gmr__settings_free(struct gmr__settings *settings)
{
    if (settings)
        gmr__unmap_memory(settings, settings->block_bytes);
}
