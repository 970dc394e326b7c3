/*
 * section/modules_as.c - the Modules section: the executable, its libraries and the vdso, each with its range and build id.
 *
 * Both halves, any context: async-signal-safe. Called through gmr__report_order. From /proc/PID/maps: consecutive mappings of one file, at least one of
 * them executable. The build id comes from the process' own memory, else from the file; paths are the target's words and are only opened
 * below PROC/PID/root, regular files alone.
 */
#include <errno.h>

#include "section/build_id.h"
#include "section/note.h"
#include "sys/proc.h"

#define MAX_MODULES 4096
#define PATH_BYTES 4096

struct module {
    char path[PATH_BYTES];
    uint64_t start, end, inode;
    uint64_t header; /* where offset 0 is mapped */
    bool has_header, exec, deleted, open;
};

struct walk {
    struct gmr_writer *w;
    const struct gmr__target *target;
    struct gmr__section_status *status;
    uint64_t count, left_out;
};

static void find_build_id(const struct walk *walk, const struct module *module, char *to, size_t cap)
{
    char path[PATH_BYTES + 64];
    const struct gmr__target *target = walk->target;
    int error = module->has_header ? gmr__build_id_memory(target->pid, module->header, to, cap) : -ENOENT;
    if (error == 0)
        return;
    to[0] = '\0';
    if (module->path[0] != '/' || module->deleted) {
        gmr__section_unread(walk->status, "a build id", error);
        return;
    }
    gmr__proc_path(path, sizeof(path), target->proc, target->pid, 0, "root");
    struct gmr__buf buf = {.text = path, .used = gmr__strlen(path), .cap = sizeof(path)};
    gmr__buf_str(&buf, module->path);
    if (!buf.overflow)
        gmr__section_unread(walk->status, "a build id", gmr__build_id_file(path, to, cap));
}

static void hex(char *to, size_t cap, uint64_t value)
{
    struct gmr__buf buf;
    gmr__buf_init(&buf, to, cap);
    gmr__buf_str(&buf, "0x");
    gmr__buf_hex(&buf, value);
}

static void put_data(struct gmr_writer *w, const struct module *module, const char *build_id)
{
    char text[24];
    gmr_begin_map(w, NULL);
    gmr_put_string(w, "path", module->path);
    hex(text, sizeof(text), module->start);
    gmr_put_string(w, "start", text);
    hex(text, sizeof(text), module->end);
    gmr_put_string(w, "end", text);
    if (build_id[0])
        gmr_put_string(w, "build_id", build_id);
    if (module->deleted)
        gmr_put_bool(w, "deleted", true);
    gmr_end_map(w);
}

static void put_text(struct gmr_writer *w, const struct module *module, const char *build_id)
{
    char text[PATH_BYTES + 256];
    struct gmr__buf line;
    gmr__buf_init(&line, text, sizeof(text) - 1);
    gmr__buf_str(&line, "0x");
    gmr__buf_hex(&line, module->start);
    gmr__buf_str(&line, "-0x");
    gmr__buf_hex(&line, module->end);
    gmr__buf_column(&line, 31);
    gmr__buf_str(&line, build_id[0] ? build_id : "-");
    gmr__buf_column(&line, 73);
    gmr__buf_text(&line, module->path, gmr__strlen(module->path));
    gmr__buf_str(&line, module->deleted ? " (deleted)\n" : "\n");
    if (line.overflow)
        line.text[line.used++] = '\n';
    gmr__raw(w, line.text, line.used);
}

static void finish(struct walk *walk, struct module *module)
{
    char build_id[GMR__BUILD_ID_TEXT];
    if (!module->open || !module->exec)
        return;
    module->open = false;
    if (walk->count == MAX_MODULES || gmr__target_late(walk->target)) {
        walk->left_out++;
        return;
    }
    walk->count++;
    find_build_id(walk, module, build_id, sizeof(build_id));
    if (gmr__writer_text(walk->w))
        put_text(walk->w, module, build_id);
    else
        put_data(walk->w, module, build_id);
}

static bool same(const struct module *module, const struct gmr__proc_map *map)
{
    return module->open && module->inode == map->inode && gmr__streq(module->path, map->path);
}

static void begin(struct module *module, const struct gmr__proc_map *map)
{
    struct gmr__buf path;
    gmr__buf_init(&path, module->path, sizeof(module->path));
    gmr__buf_str(&path, map->path);
    module->start = map->start;
    module->inode = map->inode;
    module->has_header = module->exec = false;
    module->deleted = map->deleted;
    module->open = true;
}

static void add(struct walk *walk, struct module *module, const struct gmr__proc_map *map)
{
    if (map->path[0] != '/' && !gmr__streq(map->path, "[vdso]"))
        return; /* .bss and the like between two mappings of a module */
    /* A second copy of the same file (dlmopen, or mapped as data) begins with offset 0 anew. */
    if (!same(module, map) || (map->offset == 0 && module->has_header && map->start != module->header)) {
        finish(walk, module);
        begin(module, map);
    }
    module->end = map->end;
    module->exec |= map->exec;
    if (map->offset == 0 && !module->has_header) {
        module->has_header = true;
        module->header = map->start;
    }
}

static void run(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__lines lines;
    struct gmr__proc_map map;
    struct module module = {.open = false};
    struct walk walk = {.w = w, .target = target, .status = status};
    int error = gmr__proc_lines_open(&lines, target->proc, target->pid, 0, "maps");
    if (error) {
        gmr__section_error(status, GMR__FAILED, "the memory map", error);
        return;
    }
    while (gmr__proc_maps_next(&lines, &map))
        add(&walk, &module, &map);
    finish(&walk, &module);
    error = lines.error;
    gmr__lines_close(&lines);
    if (error)
        gmr__section_error(status, GMR__PARTIAL, "the memory map", error);
    if (walk.left_out)
        gmr__section_count(status, GMR__PARTIAL, walk.left_out, "more modules are not shown");
    if (!error && walk.count == 0)
        gmr__section_note(
            status, GMR__PARTIAL,
            "the process has no memory map: it is a zombie, a kernel thread, or its main thread has ended", NULL);
}

const struct gmr__proc_section gmr__section_modules = {
    .head = {.name = "modules", .title = "Modules", .shape = GMR__SHAPE_LIST, .flags = GMR__SECTION_SORTED},
    .run = run,
};
