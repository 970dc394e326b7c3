/*
 * symbol/modules.c - which ELF files a process has loaded, where, and their build ids.
 *
 * Inspector only. Works on the snapshot's map and the ELF headers in the target's memory: these are right even where the file was
 * deleted or replaced, and cost a few reads a module. A module's extent comes from its program headers, so that what was mapped over
 * it (relocated tables, text moved to huge pages) still counts as part of it. Files are opened elsewhere (module_file.c), lazily.
 * Must not read headers of mappings that are mere data: a database maps thousands.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbol/internal.h"
#include "sys/buf.h"
#include "sys/grow.h"

struct memory_reader {
    const struct gmr__snapshot *snapshot;
    uint64_t base;
};

static int read_memory(void *userdata, uint64_t offset, void *to, size_t bytes)
{
    struct memory_reader *reader = userdata;
    return gmr__snapshot_read(reader->snapshot, NULL, reader->base + offset, to, bytes);
}

static bool same_file(const struct gmr__map *a, const struct gmr__map *b)
{
    return a->inode == b->inode && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
           strcmp(a->path, b->path) == 0;
}

static bool is_file(const struct gmr__map *map)
{
    return map->path[0] == '/';
}

static bool is_vdso(const struct gmr__map *map)
{
    return strcmp(map->path, "[vdso]") == 0;
}

static struct gmr__module_data *add(struct gmr__modules *modules, const struct gmr__map *map, uint64_t end)
{
    if (!GMR__GROW(modules->list, modules->cap, modules->count + 1))
        return NULL;
    struct gmr__module_data *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->owner = modules;
    m->first_map = map;
    m->path = strdup(map->path);
    m->module.path = m->path ? m->path : "";
    m->module.start = map->start;
    m->module.end = end;
    m->module.deleted = map->deleted;
    modules->list[modules->count++] = m;
    return m;
}

/* Bias, extent and build id of a module whose header lies in memory at its first mapping. */
static bool take_header(struct gmr__module_data *m, const struct gmr__elf_header *header, uint64_t limit)
{
    uint64_t vaddr;
    if (!gmr__elf_header_vaddr(header, 0, m->first_map->exec, &vaddr))
        return false;
    m->header = *header;
    m->has_header = true;
    m->module.bias = m->module.start - vaddr;
    uint64_t end = m->module.bias + header->high;
    m->module.end = end > m->module.start && end < limit ? end : limit;
    struct memory_reader reader = {m->owner->snapshot, 0};
    m->module.build_id_bytes =
        (uint8_t)gmr__elf_header_build_id(header, read_memory, &reader, true, m->module.bias, m->module.build_id);
    return true;
}

/* One module from the run of mappings [i, end) of a file, beginning at i; the index behind it. */
static size_t one_module(struct gmr__modules *modules, size_t i, size_t end)
{
    const struct gmr__map *maps = modules->snapshot->maps;
    struct gmr__elf_header header;
    struct memory_reader reader = {modules->snapshot, maps[i].start};
    bool ok = (maps[i].offset == 0 || is_vdso(&maps[i])) && maps[i].read &&
              gmr__elf_header_read(&header, read_memory, &reader) == 0;
    uint64_t limit = maps[end - 1].end;
    struct gmr__module_data *m = add(modules, &maps[i], limit);
    if (!m)
        return end;
    size_t next = i + 1;
    bool exec = maps[i].exec;
    if (ok && take_header(m, &header, limit)) {
        for (; next < end && maps[next].start < m->module.end; next++)
            exec |= maps[next].exec;
    } else { /* without a header: all that follows until a mapping that begins the file again */
        for (; next < end && !(is_file(&maps[next]) && maps[next].offset == 0); next++)
            exec |= maps[next].exec && is_file(&maps[next]);
        m->module.end = maps[next - 1].end;
    }
    m->end_map = &maps[next];
    if (m->module.end < maps[i].end)
        m->module.end = maps[i].end;
    if (!exec) { /* mapped as data: a debugger's or a backup's copy */
        free(m->path);
        free(m);
        modules->count--;
    }
    return next;
}

static void scan(struct gmr__modules *modules)
{
    const struct gmr__snapshot *s = modules->snapshot;
    for (size_t i = 0; i < s->map_count;) {
        const struct gmr__map *map = &s->maps[i];
        if (is_vdso(map)) {
            one_module(modules, i, i + 1);
            i++;
            continue;
        }
        if (!is_file(map)) {
            i++;
            continue;
        }
        /* The run: this file's mappings and anonymous memory between and right behind them. */
        size_t end = i + 1;
        bool exec = map->exec;
        for (; end < s->map_count; end++) {
            const struct gmr__map *next = &s->maps[end];
            if (is_file(next) ? !same_file(map, next) : next->path[0] != 0)
                break;
            exec |= next->exec;
        }
        if (!exec) {
            i = end;
            continue;
        }
        while (i < end) {
            if (is_file(&s->maps[i]))
                i = one_module(modules, i, end);
            else
                i++;
        }
    }
}

struct gmr__modules *gmr__modules_new(const struct gmr__snapshot *snapshot)
{
    struct gmr__modules *modules = calloc(1, sizeof(*modules));
    if (!modules)
        return NULL;
    elf_version(EV_CURRENT);
    modules->snapshot = snapshot;
    modules->root = -2;
    modules->debug_directory = "/usr/lib/debug";
    scan(modules);
    return modules;
}

static void free_module(struct gmr__module_data *m)
{
    if (m->eh_frame)
        dwarf_cfi_end(m->eh_frame);
    if (m->frame_dwarf)
        dwarf_end(m->frame_dwarf);
    gmr__elf_file_close(m->frame_file);
    gmr__elf_file_close(m->mini);
    gmr__elf_file_close(m->alt);
    gmr__elf_file_close(m->debug);
    gmr__elf_file_close(m->file);
    free(m->path);
    free(m);
}

void gmr__modules_free(struct gmr__modules *modules)
{
    if (!modules)
        return;
    for (size_t i = 0; i < modules->count; i++)
        free_module(modules->list[i]);
    if (modules->root >= 0)
        close(modules->root);
    free(modules->list);
    free(modules);
}

size_t gmr__modules_count(const struct gmr__modules *modules)
{
    return modules->count;
}

const struct gmr__module *gmr__modules_at(const struct gmr__modules *modules, size_t index)
{
    return index < modules->count ? &modules->list[index]->module : NULL;
}

const struct gmr__module *gmr__modules_find(struct gmr__modules *modules, uint64_t address)
{
    struct gmr__module_data *last = modules->last;
    if (last && address >= last->module.start && address < last->module.end)
        return &last->module;
    size_t low = 0, high = modules->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct gmr__module_data *m = modules->list[middle];
        if (address < m->module.start) {
            high = middle;
        } else if (address >= m->module.end) {
            low = middle + 1;
        } else {
            modules->last = m;
            return &m->module;
        }
    }
    return NULL;
}

void gmr__module_build_id(const struct gmr__module *module, char text[65])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (unsigned i = 0; i < module->build_id_bytes && i < sizeof(module->build_id); i++) {
        text[at++] = digits[module->build_id[i] >> 4];
        text[at++] = digits[module->build_id[i] & 15];
    }
    text[at] = 0;
}
