/*
 * cli/symbolize.c - gmr symbolize: functions, files and lines for the frames of a stored JSON report that have none.
 *
 * The gmr command only. A report from a fenced-in process, or from a machine without debug symbols, has addresses, modules and build ids. Here, later
 * and elsewhere, files with these build ids are looked for: those named on the command line, the modules' own paths, /usr/lib/debug, a
 * debuginfod server if one is named. A file with another build id is never used. The report may come from anywhere and say anything.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/stored.h"
#include "symbol/cache.h"
#include "symbol/symbol.h"

struct arguments {
    const char *output, *debuginfod_urls;
    char **files;
    size_t file_count;
    int view;
    bool no_cache;
};

enum {
    OPT_FILE = 256,
    OPT_NO_CACHE,
    OPT_DEBUGINFOD,
};

static int take_option(struct arguments *to, int option)
{
    switch (option) {
    case 'f':
        to->view = gmr__parse_view(optarg);
        return to->view ? 0 : gmr__fail(GMR__EXIT_USAGE, NULL, "--format takes text, json or xml, not '%s'", optarg);
    case 'o':
        to->output = optarg;
        return 0;
    case OPT_FILE:
        to->files[to->file_count++] = optarg;
        return 0;
    case OPT_NO_CACHE:
        to->no_cache = true;
        return 0;
    case OPT_DEBUGINFOD:
        to->debuginfod_urls = optarg ? optarg : getenv("DEBUGINFOD_URLS");
        if (to->debuginfod_urls && *to->debuginfod_urls)
            return 0;
        return gmr__fail(GMR__EXIT_USAGE, "--debuginfod=URL, or set DEBUGINFOD_URLS", "no debuginfod server is named");
    default:
        return gmr__usage("symbolize");
    }
}

/* ------------------------------------------------------------------------------------------------ modules */

static bool parse_id(const char *text, struct gmr__module *module)
{
    size_t digits = text ? strlen(text) : 0;
    if (digits < 4 || digits % 2 || digits / 2 > sizeof(module->build_id))
        return false;
    for (size_t i = 0; i < digits / 2; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        module->build_id[i] = (unsigned char)byte;
    }
    module->build_id_bytes = (uint8_t)(digits / 2);
    return true;
}

/* The pc less the offset is the bias; where no frame of the module has an offset, its first mapping begins at address 0 of the file. */
static uint64_t bias_of(const json_t *stacks, const char *path, uint64_t start)
{
    size_t i, k;
    const json_t *stack, *frame;
    json_array_foreach(stacks, i, stack)
    {
        json_array_foreach(json_object_get(stack, "frames"), k, frame)
        {
            const char *module = gmr__stored_string(frame, "module");
            uint64_t offset = gmr__stored_hex(frame, "module_offset"), pc = gmr__stored_hex(frame, "pc");
            if (module && offset && pc && strcmp(module, path) == 0)
                return pc - offset;
        }
    }
    return start;
}

static void store_modules(struct gmr__modules *modules, const json_t *root)
{
    const json_t *stacks = json_object_get(root, "stacks"), *entry, *stack, *frame;
    size_t i, k;
    json_array_foreach(json_object_get(root, "modules"), i, entry)
    {
        struct gmr__module module = {.path = gmr__stored_string(entry, "path"),
                                     .start = gmr__stored_hex(entry, "start"),
                                     .end = gmr__stored_hex(entry, "end")};
        if (!module.path || !parse_id(gmr__stored_string(entry, "build_id"), &module))
            continue;
        module.bias = bias_of(stacks, module.path, module.start);
        gmr__modules_store(modules, &module);
    }
    /* Without a list of modules each frame speaks for itself: a module of one byte. */
    json_array_foreach(stacks, i, stack)
    {
        json_array_foreach(json_object_get(stack, "frames"), k, frame)
        {
            struct gmr__module module = {.path = gmr__stored_string(frame, "module")};
            uint64_t pc = gmr__stored_hex(frame, "pc"), offset = gmr__stored_hex(frame, "module_offset");
            if (!module.path || !pc || !offset || !parse_id(gmr__stored_string(frame, "build_id"), &module))
                continue;
            module.bias = pc - offset;
            module.start = pc - 1;
            module.end = pc + 1;
            gmr__modules_store(modules, &module);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ frames */

static void set(json_t *frame, const char *member, json_t *value)
{
    if (json_object_set_new(frame, member, value) < 0)
        json_object_del(frame, member);
}

static json_t *frame_of(const json_t *stored, const struct gmr__symbol *symbol, uint64_t shift)
{
    json_t *frame = json_copy((json_t *)stored);
    if (!frame)
        return NULL;
    json_object_del(frame, "offset");
    json_object_del(frame, "source");
    if (symbol->function) {
        set(frame, "function", json_string(symbol->function));
        json_object_del(frame, "module_offset");
        json_object_del(frame, "problem");
        if (!symbol->inlined)
            set(frame, "offset", json_integer((json_int_t)(symbol->offset + shift)));
    }
    if (symbol->file)
        set(frame, "file", json_string(symbol->file));
    if (symbol->line > 0)
        set(frame, "line", json_integer(symbol->line));
    if (symbol->column > 0)
        set(frame, "column", json_integer(symbol->column));
    if (symbol->inlined)
        set(frame, "inlined", json_true());
    return frame;
}

/* Frames in place of this one, appended to `to`: the inlined functions, then the real one. False: nothing more is known. */
static bool resolve(struct gmr__symbolizer *symbolizer, const json_t *frame, bool exact, json_t *to)
{
    uint64_t pc = gmr__stored_hex(frame, "pc");
    if (!pc || gmr__stored_string(frame, "file") || gmr__stored_string(frame, "language"))
        return false;
    const struct gmr__resolved *resolved = gmr__symbolize(symbolizer, pc - !exact);
    const char *module = gmr__stored_string(frame, "module");
    if (!resolved || !resolved->module || !module || strcmp(module, resolved->module->path) != 0)
        return false;
    const struct gmr__symbol *last = &resolved->symbols[resolved->symbol_count - 1];
    if (!last->function || (!last->file && gmr__stored_string(frame, "function")))
        return false;
    for (size_t i = 0; i < resolved->symbol_count; i++)
        json_array_append_new(to, frame_of(frame, &resolved->symbols[i], !exact));
    return true;
}

/* The functions between this frame and the next that have left the stack by a tail call, appended to `to`; as section/frames.c does. */
static void add_tail_calls(struct gmr__symbolizer *symbolizer, const json_t *frame, bool exact, const json_t *caller,
                           json_t *to)
{
    const struct gmr__tail_call *calls;
    uint64_t pc = gmr__stored_hex(frame, "pc"), return_pc = gmr__stored_hex(caller, "pc");
    if (!pc || !return_pc || gmr__stored_true(frame, "signal_frame") || gmr__stored_true(caller, "signal_frame") ||
        gmr__stored_true(caller, "guessed") || gmr__stored_true(caller, "tail_call"))
        return;
    size_t count = gmr__symbolize_tail_calls(symbolizer, return_pc, pc - !exact, &calls);
    for (size_t i = 0; i < count; i++) {
        const struct gmr__resolved *resolved = calls[i].resolved;
        char text[32], id[65] = "";
        snprintf(text, sizeof(text), "0x%llx", (unsigned long long)calls[i].pc);
        if (resolved->module)
            gmr__module_build_id(resolved->module, id);
        for (size_t k = 0; k < resolved->symbol_count; k++) {
            json_t *plain = json_pack("{s:s, s:s*, s:s*}", "pc", text, "module",
                                      resolved->module ? resolved->module->path : NULL, "build_id", id[0] ? id : NULL);
            json_t *named = plain ? frame_of(plain, &resolved->symbols[k], 0) : NULL;
            json_decref(plain);
            json_object_del(named, "offset");
            if (named)
                set(named, "tail_call", json_true());
            json_array_append_new(to, named);
        }
    }
}

/* Returns how many frames of the stack found a name. */
static size_t symbolize_stack(struct gmr__symbolizer *symbolizer, json_t *stack)
{
    json_t *frames = json_object_get(stack, "frames"), *frame, *done = json_array();
    size_t i, found = 0;
    bool exact = true; /* the innermost frame, and one that a signal interrupted, stand at the instruction itself */
    json_array_foreach(frames, i, frame)
    {
        bool signal_frame = gmr__stored_true(frame, "signal_frame");
        if (resolve(symbolizer, frame, exact || signal_frame, done))
            found++;
        else
            json_array_append(done, frame);
        const json_t *caller = json_array_get(frames, i + 1);
        bool known = gmr__stored_string(frame, "file") && gmr__stored_string(caller, "file");
        if (caller && !known && !gmr__stored_true(frame, "inlined") && !gmr__stored_true(frame, "tail_call"))
            add_tail_calls(symbolizer, frame, exact, caller, done);
        exact = signal_frame || (exact && gmr__stored_true(frame, "inlined"));
    }
    if (json_array_size(done) >= json_array_size(frames))
        json_object_set(stack, "frames", done);
    json_decref(done);
    return found;
}

static void tell_missing(const struct gmr__modules *modules, const json_t *root)
{
    const json_t *stacks = json_object_get(root, "stacks"), *stack, *frame;
    size_t i, k;
    for (size_t m = 0; m < gmr__modules_count(modules); m++) {
        const struct gmr__module *module = gmr__modules_at(modules, m);
        char id[65];
        bool wanted = false;
        json_array_foreach(stacks, i, stack)
        {
            json_array_foreach(json_object_get(stack, "frames"), k, frame)
            {
                uint64_t pc = gmr__stored_hex(frame, "pc");
                wanted |= pc >= module->start && pc < module->end && !gmr__stored_string(frame, "function");
            }
        }
        if (!wanted || gmr__module_found(module))
            continue;
        gmr__module_build_id(module, id);
        gmr__note("no file with build id %s (%s) was found", id, module->path);
    }
}

static int symbolize(const struct arguments *arguments, json_t *root)
{
    struct gmr__snapshot *empty = gmr__snapshot_new(0);
    struct gmr__modules *modules = empty ? gmr__modules_stored(empty, arguments->files, arguments->file_count) : NULL;
    char cache[4096];
    struct gmr__symbolizer_options options = {
        .cache_directory = arguments->no_cache ? NULL : gmr__symbol_cache_directory(cache, sizeof(cache)),
        .debuginfod_urls = arguments->debuginfod_urls};
    if (modules)
        store_modules(modules, root);
    struct gmr__symbolizer *symbolizer = modules ? gmr__symbolizer_new(empty, modules, &options) : NULL;
    int code = GMR__EXIT_WHOLE;
    if (symbolizer) {
        size_t i;
        json_t *stack;
        json_array_foreach(json_object_get(root, "stacks"), i, stack)
        {
            symbolize_stack(symbolizer, stack);
        }
        tell_missing(modules, root);
        code = gmr__stored_write(root, arguments->view, arguments->output);
    } else {
        code = gmr__fail(GMR__EXIT_FAILED, NULL, "no memory for the report");
    }
    gmr__symbolizer_free(symbolizer);
    gmr__modules_free(modules);
    gmr__snapshot_free(empty);
    return code;
}

int gmr__cmd_symbolize(int argc, char **argv)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'},
        {"output", required_argument, NULL, 'o'},
        {"file", required_argument, NULL, OPT_FILE},
        {"debuginfod", optional_argument, NULL, OPT_DEBUGINFOD},
        {"no-cache", no_argument, NULL, OPT_NO_CACHE},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct arguments arguments = {.view = GMR_VIEW_JSON, .files = calloc((size_t)argc + 1, sizeof(char *))};
    int code = arguments.files ? 0 : gmr__fail(GMR__EXIT_FAILED, NULL, "no memory");
    json_t *root = NULL;
    optind = 0; /* GNU: start anew */
    for (int option; code == 0 && (option = getopt_long(argc, argv, "f:o:h", options, NULL)) != -1;) {
        if (option == 'h') {
            free(arguments.files);
            return gmr__command_help("symbolize");
        }
        code = take_option(&arguments, option);
    }
    if (code == 0 && argc - optind != 1)
        code = gmr__usage("symbolize");
    if (code == 0)
        code = gmr__stored_read(argv[optind], &root);
    if (code == 0)
        code = symbolize(&arguments, root);
    json_decref(root);
    free(arguments.files);
    return code;
}
