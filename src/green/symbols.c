/*
 * green/symbols.c - the address of a variable or function of the target by its name.
 *
 * Inspector only, libelf. For the few names a source of green threads starts from ("__pth_current", "runtime.allgs"). Reads .dynsym and
 * .symtab of the files that are mapped; each file is opened once. Callers: sources, in find.
 */
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "green/set.h"
#include "sys/mapped.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define MAX_SYMBOLS 4000000u

struct gmr__green_module {
    struct gmr__green_module *next;
    uint64_t start, bias;
    const char *path;
    int fd;
    struct gmr__mapped mapped;
    Elf *elf; /* NULL: could not be opened; not tried again */
};

static int open_map(const struct gmr__green *green, const struct gmr__map *map)
{
    char path[4200], name[64];
    /* The very file that is mapped, whatever stands at its path by now; needs privileges in some kernels. */
    snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)map->start, (unsigned long long)map->end);
    gmr__proc_path(path, sizeof(path), "/proc", green->snapshot->pid, 0, name);
    int fd = green->read_pid ? gmr__open(path, O_RDONLY | O_NONBLOCK) : -ENOENT;
    if (fd >= 0)
        return fd;
    const char *root = green->snapshot->root ? green->snapshot->root : "";
    if ((size_t)snprintf(path, sizeof(path), "%s%s", root, map->path) >= sizeof(path))
        return -ENAMETOOLONG;
    return gmr__open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

static void open_module(struct gmr__green_module *module, int fd)
{
    struct stat status;
    GElf_Phdr phdr;
    size_t count = 0;
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        if (fd >= 0)
            gmr__close(fd);
        return;
    }
    elf_version(EV_CURRENT);
    module->fd = fd;
    if (gmr__map_file(&module->mapped, fd, (size_t)status.st_size) == 0)
        module->elf = elf_memory((char *)module->mapped.bytes, module->mapped.size);
    uint64_t first = UINT64_MAX;
    if (module->elf && elf_kind(module->elf) == ELF_K_ELF && elf_getphdrnum(module->elf, &count) == 0)
        for (size_t i = 0; i < count; i++)
            if (gelf_getphdr(module->elf, (int)i, &phdr) && phdr.p_type == PT_LOAD && phdr.p_vaddr < first)
                first = phdr.p_vaddr & ~4095ull;
    if (first == UINT64_MAX) {
        elf_end(module->elf);
        module->elf = NULL;
    }
    module->bias = module->start - first;
}

static struct gmr__green_module *module_of(struct gmr__green *green, const struct gmr__map *map)
{
    for (struct gmr__green_module *m = green->symbol_modules; m; m = m->next)
        if (m->start == map->start)
            return m;
    struct gmr__green_module *module = calloc(1, sizeof(*module));
    if (!module)
        return NULL;
    module->start = map->start;
    module->path = map->path;
    module->fd = -1;
    open_module(module, open_map(green, map));
    module->next = green->symbol_modules;
    green->symbol_modules = module;
    return module;
}

void gmr__green_symbols_free(struct gmr__green *green)
{
    while (green->symbol_modules) {
        struct gmr__green_module *module = green->symbol_modules;
        green->symbol_modules = module->next;
        if (module->elf)
            elf_end(module->elf);
        gmr__unmap_file(&module->mapped);
        if (module->fd >= 0)
            gmr__close(module->fd);
        free(module);
    }
}

static bool find_in_table(Elf *elf, uint32_t type, const char *name, GElf_Sym *found)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr head;
        if (!gelf_getshdr(section, &head) || head.sh_type != type || !head.sh_entsize)
            continue;
        Elf_Data *data = elf_getdata(section, NULL);
        uint64_t count = head.sh_size / head.sh_entsize;
        for (uint64_t i = 0; data && i < count && i < MAX_SYMBOLS; i++) {
            if (!gelf_getsym(data, (int)i, found) || found->st_shndx == SHN_UNDEF)
                continue;
            const char *here = elf_strptr(elf, head.sh_link, found->st_name);
            if (here && here[0] == name[0] && strcmp(here, name) == 0)
                return true;
        }
    }
    return false;
}

static bool named(const struct gmr__green *green, const struct gmr__map *map, const char *module)
{
    if (!module)
        return true;
    if (!*module)
        return green->snapshot->exe && strcmp(map->path, green->snapshot->exe) == 0;
    const char *last = strrchr(map->path, '/');
    return strncmp(last ? last + 1 : map->path, module, strlen(module)) == 0;
}

int gmr__green_symbol(struct gmr__green *green, const char *module, const char *name, uint64_t *address, uint64_t *size)
{
    for (size_t i = 0; i < green->snapshot->map_count; i++) {
        const struct gmr__map *map = &green->snapshot->maps[i];
        if (map->offset != 0 || !map->path || map->path[0] != '/' || !named(green, map, module))
            continue;
        struct gmr__green_module *m = module_of(green, map);
        GElf_Sym symbol;
        if (!m || !m->elf)
            continue;
        if (!find_in_table(m->elf, SHT_DYNSYM, name, &symbol) && !find_in_table(m->elf, SHT_SYMTAB, name, &symbol))
            continue;
        bool tls = GELF_ST_TYPE(symbol.st_info) == STT_TLS;
        *address = tls ? symbol.st_value : symbol.st_value + m->bias;
        if (size)
            *size = symbol.st_size;
        return tls ? -ENOTSUP : 0;
    }
    return -ENOENT;
}
