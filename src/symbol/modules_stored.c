/*
 * symbol/modules_stored.c - modules as a stored report names them: path, build id, bias; no process, no memory.
 *
 * Inspector only. Their files are looked for here and now, and taken only if the build id is the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/internal.h"
#include "sys/grow.h"

static const struct gmr__map no_map = {.path = ""};

struct gmr__modules *gmr__modules_stored(const struct gmr__snapshot *empty, char *const *files, size_t file_count)
{
    struct gmr__modules *modules = calloc(1, sizeof(*modules));
    if (!modules)
        return NULL;
    elf_version(EV_CURRENT);
    modules->snapshot = empty;
    modules->root = -1;
    modules->debug_directory = "/usr/lib/debug";
    modules->files = files;
    modules->file_count = file_count;
    return modules;
}

int gmr__modules_store(struct gmr__modules *modules, const struct gmr__module *as)
{
    if (as->start >= as->end)
        return -EINVAL;
    size_t at = 0;
    while (at < modules->count && modules->list[at]->module.start < as->start)
        at++;
    if ((at > 0 && modules->list[at - 1]->module.end > as->start) ||
        (at < modules->count && modules->list[at]->module.start < as->end))
        return -EEXIST;
    if (!GMR__GROW(modules->list, modules->cap, modules->count + 1))
        return -ENOMEM;
    struct gmr__module_data *m = calloc(1, sizeof(*m));
    char *path = strdup(as->path);
    if (!m || !path) {
        free(m);
        free(path);
        return -ENOMEM;
    }
    m->module = *as;
    m->module.path = m->path = path;
    m->owner = modules;
    m->first_map = m->end_map = &no_map;
    memmove(modules->list + at + 1, modules->list + at, (modules->count - at) * sizeof(struct gmr__module_data *));
    modules->list[at] = m;
    modules->count++;
    return 0;
}
