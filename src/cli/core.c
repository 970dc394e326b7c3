/*
 * cli/core.c - gmr core: a report from a core file.
 *
 * The gmr command only. The same sections as of a live process, as far as a core knows: package, threads, stacks, the process, modules. What the
 * kernel did not write (thread names, limits, open files) is absent.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "capture/core.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/walk.h"
#include "section/analysis.h"
#include "section/frames.h"
#include "section/green.h"
#include "symbol/cache.h"
#include "sys/proc.h"
#include "sys/sys.h"

struct arguments {
    struct gmr__report_options shared;
    const char *core, *executable;
};

static const struct option options[] = {GMR__SHARED_OPTIONS, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

/* ------------------------------------------------------------------------------------------------ sections */

static void package(struct gmr_writer *w, const struct gmr__core *core, struct gmr__analysis *analysis)
{
    static const struct gmr__section_head head = {.name = "package", .title = "Package", .shape = GMR__SHAPE_MAP};
    const struct gmr__module *main_module = gmr__modules_find(analysis->modules, core->info.entry);
    char id[65];
    gmr__section_begin(w, &head);
    gmr_put_string(w, "product", NULL);
    gmr_put_string(w, "vendor", NULL);
    gmr_put_string(w, "version", NULL);
    if (main_module) {
        gmr__module_build_id(main_module, id);
        gmr_put_string(w, "executable", main_module->path);
        if (id[0])
            gmr_put_string(w, "build_id", id);
    }
    gmr__section_end(w, GMR__OK, NULL, NULL);
}

/* Nothing runs in a core file: all threads stand, for as long as it takes. */
static struct gmr__green *find_green_threads(struct gmr__analysis *analysis)
{
    static const struct gmr__green_options limits = {.stop_budget_ns = 10000000000u};
    struct gmr__green *green = gmr__green_new(analysis->snapshot, analysis->modules, &limits);
    if (green) {
        gmr__green_prepare(green);
        gmr__green_collect(green, analysis->snapshot->threads, analysis->snapshot->thread_count);
        gmr__green_finish(green);
    }
    return green;
}

/* Threads of an interpreter have frames of its language. */
static const struct gmr__language_stack *language_of(void *green, pid_t tid)
{
    return gmr__green_os_thread(green, tid);
}

static void green_threads(struct gmr_writer *w, struct gmr__analysis *analysis, struct gmr__green *green, bool *partial)
{
    static const struct gmr__section_head head = {
        .name = "green_threads", .title = "Green Threads", .shape = GMR__SHAPE_LIST};
    struct gmr__section_status status = {.status = GMR__OK};
    gmr__section_begin(w, &head);
    gmr__section_green(w, analysis, green, NULL, &status);
    *partial |= status.status != GMR__OK;
    gmr__section_end(w, status.status, status.reason[0] ? status.reason : NULL,
                     status.next_step[0] ? status.next_step : NULL);
}

/* The stacks come last, and refer to what the green threads' set owns. */
static void threads(struct gmr_writer *w, const struct gmr__core *core, struct gmr__analysis *analysis,
                    struct gmr__green *green, bool *partial)
{
    static const struct gmr__section_head thread_head = {.name = "threads",
                                                         .title = "Threads",
                                                         .shape = GMR__SHAPE_LIST},
                                          stack_head = {.name = "stacks",
                                                        .title = "Stacks",
                                                        .shape = GMR__SHAPE_LIST,
                                                        .flags = GMR__SECTION_STRUCTURED};
    struct gmr__section_status status = {.status = GMR__OK};
    gmr__section_begin(w, &thread_head);
    gmr__section_threads(w, analysis, &status);
    if (core->file.lost)
        status = (struct gmr__section_status){.status = GMR__PARTIAL,
                                              .reason = "the core file was truncated while it was read"};
    *partial |= status.status != GMR__OK;
    gmr__section_end(w, status.status, status.reason[0] ? status.reason : NULL,
                     status.next_step[0] ? status.next_step : NULL);
    green_threads(w, analysis, green, partial);
    status = (struct gmr__section_status){.status = GMR__OK};
    gmr__section_begin(w, &stack_head);
    gmr__section_stacks(w, analysis, &status);
    *partial |= status.status != GMR__OK;
    gmr__section_end(w, status.status, status.reason[0] ? status.reason : NULL,
                     status.next_step[0] ? status.next_step : NULL);
}

static void put_ids(struct gmr_writer *w, const char *key, unsigned id)
{
    gmr_begin_map(w, key);
    gmr_put_uint(w, "real", id);
    gmr_put_uint(w, "effective", id);
    gmr_put_uint(w, "saved", id);
    gmr_end_map(w);
}

/* The kernel joins the arguments with blanks and cuts them at 80 bytes: split again where blanks are, secrets masked as always. */
static void process(struct gmr_writer *w, const struct gmr__core *core)
{
    static const struct gmr__section_head head = {
        .name = "processes", .title = "Processes", .shape = GMR__SHAPE_LIST, .flags = GMR__SECTION_SORTED};
    const struct gmr__core_info *info = &core->info;
    gmr__section_begin(w, &head);
    if (!info->has_process) {
        gmr__section_end(w, GMR__ABSENT, "the core file does not describe its process", NULL);
        return;
    }
    char command[sizeof(info->command)];
    memcpy(command, info->command, sizeof(command));
    size_t bytes = strlen(command);
    while (bytes > 0 && command[bytes - 1] == ' ')
        bytes--;
    for (size_t i = 0; i < bytes; i++)
        command[i] = command[i] == ' ' ? '\0' : command[i];
    if (gmr__writer_text(w)) {
        gmr__raw_format(w, "Process %d (under %d) [ run by: uid %u, state: ", (int)info->pid, (int)info->ppid,
                        info->uid);
        gmr__raw_text(w, gmr__proc_state_name(info->state));
        gmr__raw_format(w, " ]\n    ");
        gmr__raw_text(w, info->name);
        gmr__raw_format(w, ", %zu thread%s\n", core->snapshot->thread_count,
                        core->snapshot->thread_count == 1 ? "" : "s");
    } else {
        gmr_begin_map(w, NULL);
        gmr_put_int(w, "pid", info->pid);
        gmr_put_int(w, "parent_pid", info->ppid);
        put_ids(w, "uids", info->uid);
        put_ids(w, "gids", info->gid);
        gmr__put_command(w, "command", command, bytes);
        gmr_put_string(w, "state", gmr__proc_state_name(info->state));
        gmr_put_uint(w, "threads", core->snapshot->thread_count);
        gmr_begin_list(w, "children");
        gmr_end_list(w);
        gmr_end_map(w);
    }
    gmr__section_end(w, GMR__OK, NULL, NULL);
}

static void modules(struct gmr_writer *w, const struct gmr__analysis *analysis)
{
    static const struct gmr__section_head head = {
        .name = "modules", .title = "Modules", .shape = GMR__SHAPE_LIST, .flags = GMR__SECTION_SORTED};
    char id[65];
    gmr__section_begin(w, &head);
    for (size_t i = 0; i < gmr__modules_count(analysis->modules); i++) {
        const struct gmr__module *module = gmr__modules_at(analysis->modules, i);
        gmr__module_build_id(module, id);
        if (gmr__writer_text(w)) {
            gmr__raw_format(w, "0x%llx-0x%llx  %-40s  ", (unsigned long long)module->start,
                            (unsigned long long)module->end, id[0] ? id : "-");
            gmr__raw_text(w, module->path);
            gmr__raw_format(w, "%s%s%s%s\n", module->deleted ? " (deleted)" : "", module->problem ? " (" : "",
                            module->problem ? module->problem : "", module->problem ? ")" : "");
            continue;
        }
        gmr_begin_map(w, NULL);
        gmr_put_string(w, "path", module->path);
        gmr_put_format(w, "start", "0x%llx", (unsigned long long)module->start);
        gmr_put_format(w, "end", "0x%llx", (unsigned long long)module->end);
        if (id[0])
            gmr_put_string(w, "build_id", id);
        if (module->deleted)
            gmr_put_bool(w, "deleted", true);
        gmr_end_map(w);
    }
    gmr__section_end(w, GMR__OK, NULL, NULL);
}

/* ------------------------------------------------------------------------------------------------ the report */

static void describe(const struct gmr__core_info *info, char *text, size_t cap)
{
    const char *name = info->signal > 0 ? sigabbrev_np(info->signal) : NULL;
    if (info->signal <= 0)
        snprintf(text, cap, "core file");
    else if (info->has_address)
        snprintf(text, cap, "core file: SIG%s (code %d) at address 0x%llx in thread %d", name ? name : "?",
                 info->signal_code, (unsigned long long)info->signal_address, (int)info->signal_tid);
    else
        snprintf(text, cap, "core file: signal %d (SIG%s) in thread %d", info->signal, name ? name : "?",
                 (int)info->signal_tid);
}

static int write_report(const struct arguments *arguments, const struct gmr__core *core, struct gmr__analysis *analysis,
                        int fd, uint64_t started_ns, bool *partial)
{
    struct gmr__sink_fd sink;
    struct gmr__cost cost = {.copied_bytes = analysis->snapshot->copied_bytes};
    struct stat st;
    struct tm utc;
    char id[64], time_text[64], trigger[160];
    void *place = malloc(gmr__writer_size());
    if (!place)
        return -ENOMEM;
    if (stat(arguments->core, &st) < 0)
        st.st_mtime = 0;
    gmtime_r(&st.st_mtime, &utc); /* when the core was written: that is when all this was true */
    strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    strftime(id, sizeof(id) - 16, "%Y%m%dT%H%M%S", &utc);
    snprintf(id + strlen(id), 16, "-%d", (int)core->info.pid);
    describe(&core->info, trigger, sizeof(trigger));
    struct gmr__doc doc = {.id = id,
                           .service = core->info.name[0] ? core->info.name : NULL,
                           .trigger = trigger,
                           .time = time_text,
                           .method = "core",
                           .pid = core->info.pid};
    gmr__sink_fd_init(&sink, fd, 0);
    struct gmr_writer *w = gmr__writer_init(place, gmr__writer_size(), (int)arguments->shared.view,
                                            (int)arguments->shared.view, &sink.sink);
    struct gmr__green *green = find_green_threads(analysis);
    analysis->options.language_of = language_of;
    analysis->options.language_userdata = green;
    gmr__doc_begin(w, &doc);
    package(w, core, analysis);
    threads(w, core, analysis, green, partial);
    process(w, core);
    modules(w, analysis);
    cost.wall_ns = gmr__now_ns() - started_ns;
    gmr__doc_end(w, &doc, &cost);
    int status = gmr__writer_flush(w);
    status = status ? status : gmr__writer_error(w);
    gmr__green_free(green);
    free(place);
    return status;
}

/* Does the executable that the user named belong to this core? Its own build id must be that of the mapped one. */
static void warn_of_another(const struct arguments *arguments, const struct gmr__core *core,
                            struct gmr__analysis *analysis)
{
    const struct gmr__module *module = gmr__modules_find(analysis->modules, core->info.entry);
    if (arguments->executable && module && module->problem)
        gmr__note("%s is not the program that made this core (its build id differs); names are taken without it",
                  arguments->executable);
}

static int read_file(void *modules, uint64_t address, void *to, size_t bytes)
{
    return gmr__modules_read(modules, address, to, bytes);
}

static int report_core(const struct arguments *arguments, struct gmr__core *core)
{
    struct gmr__output output;
    bool partial = false;
    uint64_t started_ns = gmr__now_ns();
    int code = gmr__output_open(&output, arguments->shared.output);
    if (code)
        return code;
    char cache[4096];
    struct gmr__analysis_options analysis_options = {
        .max_frames = arguments->shared.walk.max_frames,
        .each_thread = arguments->shared.walk.each_thread,
        .all_frames = arguments->shared.walk.all_frames,
        .symbols = {.no_lines = arguments->shared.walk.no_lines,
                    .cache_directory =
                        arguments->shared.walk.no_cache ? NULL : gmr__symbol_cache_directory(cache, sizeof(cache)),
                    .debuginfod_urls = arguments->shared.walk.debuginfod_urls},
    };
    analysis_options.modules = gmr__modules_new(core->snapshot);
    core->read_file_data = analysis_options.modules;
    core->read_file = analysis_options.modules ? read_file : NULL;
    struct gmr__analysis *analysis = gmr__analysis_new(core->snapshot, &analysis_options);
    if (analysis) {
        warn_of_another(arguments, core, analysis);
        int status = write_report(arguments, core, analysis, output.fd, started_ns, &partial);
        code = status < 0 ? gmr__output_failed(&output, status) : partial ? GMR__EXIT_PARTIAL : GMR__EXIT_WHOLE;
    } else {
        code = gmr__fail(GMR__EXIT_FAILED, NULL, "no memory for the report");
    }
    gmr__analysis_free(analysis);
    core->snapshot = NULL; /* it went with the analysis */
    int closing = gmr__output_close(&output, code == GMR__EXIT_WHOLE || code == GMR__EXIT_PARTIAL);
    return closing ? closing : code;
}

int gmr__cmd_core(int argc, char **argv)
{
    struct arguments arguments = {.shared = {.view = GMR_VIEW_TEXT, .walk = {.max_frames = GMR__DEFAULT_MAX_FRAMES}}};
    struct gmr__core *core;
    char message[512];
    for (int option; (option = getopt_long(argc, argv, GMR__SHARED_SHORT_OPTIONS "h", options, NULL)) != -1;) {
        int code =
            option == 'h' ? gmr__command_help("core") : gmr__take_shared_option("core", &arguments.shared, option);
        if (code || option == 'h')
            return code;
    }
    if (optind + 1 != argc && optind + 2 != argc)
        return gmr__usage("core");
    arguments.core = argv[optind];
    arguments.executable = optind + 2 == argc ? argv[optind + 1] : NULL;
    char *executable = arguments.executable ? realpath(arguments.executable, NULL) : NULL;
    if (arguments.executable && !executable)
        return gmr__fail(GMR__EXIT_NO_PROCESS, NULL, "%s can't be opened: %s", arguments.executable, strerror(errno));
    int status = gmr__core_open(arguments.core, executable, &core, message, sizeof(message));
    free(executable);
    if (status < 0) {
        int code = status == -EACCES || status == -EPERM     ? GMR__EXIT_NOT_PERMITTED
                   : status == -ENOENT || status == -ENOEXEC ? GMR__EXIT_NO_PROCESS
                                                             : GMR__EXIT_FAILED;
        return gmr__fail((enum gmr__exit)code, NULL, "%s", message[0] ? message : strerror(-status));
    }
    int code = report_core(&arguments, core);
    gmr__core_close(core);
    return code;
}
