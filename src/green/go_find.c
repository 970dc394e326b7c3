/*
 * green/go_find.c - recognises a Go program, its release, and where the runtime keeps its goroutines.
 *
 * Inspector only; called from the Go source's `find`. Sections are read from the executable's file (the linker keeps their headers in
 * stripped programs), everything else from the target's memory. A release that neither the table nor the program's own debug
 * information describes is not guessed at.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "green/go.h"
#include "sys/mapped.h"
#include "sys/word.h"

#define MAX_TEXT 65536
#define MAX_DATA ((size_t)64 << 20)
#define SEEN_WORDS 6 /* that what is searched for in the data is known by */

struct file {
    int fd;
    struct gmr__mapped mapped;
    Elf *elf;
    uint64_t bias;
};

static bool open_file(struct file *file, const struct gmr__snapshot *snapshot)
{
    char path[4096];
    int length = snprintf(path, sizeof(path), "%s%s", snapshot->root ? snapshot->root : "", snapshot->exe);
    size_t count = 0;
    struct stat st;
    *file = (struct file){.fd = -1};
    if (length < 0 || (size_t)length >= sizeof(path) || elf_version(EV_CURRENT) == EV_NONE)
        return false;
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd >= 0 && fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode) &&
        gmr__map_file(&file->mapped, file->fd, (size_t)st.st_size) == 0)
        file->elf = elf_memory((char *)file->mapped.bytes, file->mapped.size);
    if (!file->elf || elf_getphdrnum(file->elf, &count) != 0)
        return false;
    uint64_t start = 0;
    for (size_t i = 0; i < snapshot->map_count && start == 0; i++)
        if (snapshot->maps[i].offset == 0 && strcmp(snapshot->maps[i].path, snapshot->exe) == 0)
            start = snapshot->maps[i].start;
    for (size_t i = 0; i < count && start != 0; i++) {
        GElf_Phdr phdr;
        if (gelf_getphdr(file->elf, (int)i, &phdr) && phdr.p_type == PT_LOAD) {
            file->bias = start - (phdr.p_vaddr - phdr.p_offset);
            return true;
        }
    }
    return false;
}

static void close_file(struct file *file)
{
    if (file->elf)
        elf_end(file->elf);
    gmr__unmap_file(&file->mapped);
    if (file->fd >= 0)
        close(file->fd);
}

/* A section whose name ends so: position-independent programs have ".data.rel.ro.gopclntab". */
static bool find_section(const struct file *file, const char *suffix, uint64_t *address, uint64_t *size)
{
    size_t names;
    if (elf_getshdrstrndx(file->elf, &names) != 0)
        return false;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(file->elf, section));) {
        GElf_Shdr shdr;
        const char *name;
        if (!gelf_getshdr(section, &shdr) || !(shdr.sh_flags & SHF_ALLOC) ||
            !(name = elf_strptr(file->elf, names, shdr.sh_name)))
            continue;
        size_t length = strlen(name), wanted = strlen(suffix);
        if (length >= wanted && strcmp(name + length - wanted, suffix) == 0) {
            *address = file->bias + shdr.sh_addr;
            *size = shdr.sh_size;
            return true;
        }
    }
    return false;
}

/* "go1.19.8" of .go.buildinfo: since 1.18 the text itself stands there (flag 2), before that a pointer to a Go string. */
static int find_minor(struct gmr__go *go, uint64_t address)
{
    unsigned char info[64] = {0};
    char version[32] = "";
    if (gmr__green_read(go->green, address, info, sizeof(info)) != 0 || memcmp(info, "\xff Go buildinf:", 14) != 0)
        return -1;
    if (info[15] & 2) {
        size_t length = info[32] < sizeof(version) ? info[32] : sizeof(version) - 1;
        memcpy(version, info + 33, length);
    } else {
        uint64_t text[2];
        if (gmr__green_read(go->green, gmr__word(info, 16), text, sizeof(text)) == 0 && text[1] < sizeof(version))
            gmr__green_read(go->green, text[0], version, text[1]);
    }
    return strncmp(version, "go1.", 4) == 0 ? atoi(version + 4) : -1;
}

static bool is_writable(struct gmr__go *go, uint64_t address)
{
    const struct gmr__map *map = gmr__snapshot_map(gmr__green_snapshot(go->green), address);
    return map && map->write;
}

static bool is_slice(struct gmr__go *go, uint64_t address)
{
    uint64_t slice[3], first;
    return gmr__green_read(go->green, address, slice, sizeof(slice)) == 0 && slice[1] > 0 && slice[1] <= slice[2] &&
           slice[2] < (uint64_t)1 << 32 && gmr__green_read(go->green, slice[0], &first, sizeof(first)) == 0 &&
           is_writable(go, first);
}

/*
 * Stripped: runtime.allgadd appends to the slice, so it names its pointer, length and capacity, three words in a row. In its
 * code, instructions that address memory relative to the pc have a ModRM byte with mod 0 and rm 5, then the distance.
 */
static uint64_t allgs_from_code(struct gmr__go *go)
{
    uint64_t end, entry = gmr__go_function_named(&go->table, "runtime.allgadd", &end), found = 0;
    if (entry == 0 || end <= entry || end - entry > MAX_TEXT || go->table.quantum != 1)
        return 0;
    size_t bytes = (size_t)(end - entry), count = 0;
    unsigned char *code = malloc(bytes);
    uint64_t *targets = calloc(bytes, sizeof(*targets));
    if (code && targets && gmr__green_read(go->green, entry, code, bytes) == 0)
        for (size_t i = 0; i + 5 <= bytes; i++)
            if ((code[i] & 0xc7) == 0x05) {
                int32_t distance;
                memcpy(&distance, code + i + 1, 4);
                uint64_t target = entry + i + 5 + (uint64_t)(int64_t)distance;
                if (target % 8 == 0 && is_writable(go, target))
                    targets[count++] = target;
            }
    for (size_t i = 0; i < count && found == 0; i++) {
        unsigned others = 0;
        for (size_t k = 0; k < count; k++)
            others |= targets[k] == targets[i] + 8 ? 1 : targets[k] == targets[i] + 16 ? 2 : 0;
        if (others == 3 && is_slice(go, targets[i]))
            found = targets[i];
    }
    free(code);
    free(targets);
    return found;
}

/* The program's own part of memory that isn't code, all of a mapping at once, until see() is satisfied. */
static uint64_t search_data(struct gmr__go *go, bool (*see)(struct gmr__go *go, const uint64_t *words, size_t count))
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(go->green);
    uint64_t found = 0;
    for (size_t i = 0; i < snapshot->map_count && found == 0; i++) {
        const struct gmr__map *map = &snapshot->maps[i];
        size_t bytes = (size_t)(map->end - map->start);
        if (strcmp(map->path, snapshot->exe) != 0 || map->exec || bytes > MAX_DATA)
            continue;
        uint64_t *data = malloc(bytes);
        if (data && gmr__green_read(go->green, map->start, data, bytes) == 0)
            for (size_t k = 0; k + SEEN_WORDS <= bytes / 8 && found == 0; k++)
                if (see(go, data + k, bytes / 8 - k))
                    found = map->start + k * 8;
        free(data);
    }
    return found;
}

/* runtime.firstmoduledata begins with pointers to the table and to the names in it. */
static bool is_module(struct gmr__go *go, const uint64_t *words, size_t count)
{
    (void)count;
    return words[0] == go->table_address && words[1] == go->table_address + go->table.names;
}

/* runtime.waitReasonStrings: an array of strings, of which since 1.18 the first is empty and the second this one. */
static bool is_reasons(struct gmr__go *go, const uint64_t *words, size_t count)
{
    static const char second[] = "GC assist marking";
    char text[sizeof(second)] = "";
    (void)count;
    return words[1] == 0 && words[3] == sizeof(second) - 1 && words[5] > 0 && words[5] < 64 &&
           gmr__green_read(go->green, words[2], text, sizeof(second) - 1) == 0 && strcmp(text, second) == 0;
}

/* Where pcs are counted from, if the table does not tell (1.26 on), and what the trees of inlined calls are counted from. */
static void read_module(struct gmr__go *go)
{
    uint64_t module = 0, words[2] = {0, 0};
    if (gmr__green_symbol(go->green, "", "runtime.firstmoduledata", &module, NULL) != 0 ||
        gmr__green_read(go->green, module, words, sizeof(words)) != 0 || !is_module(go, words, 2))
        module = search_data(go, is_module);
    if (module == 0)
        return;
    if (go->layout.module_functions)
        gmr__green_read(go->green, module + go->layout.module_functions, &go->inline_base, 8);
    if (go->table.text == 0 && go->layout.module_text)
        gmr__green_read(go->green, module + go->layout.module_text, &go->table.text, 8);
}

static bool find_layout(struct gmr__go *go, const struct file *file)
{
    if (gmr__go_layout(go->minor, &go->layout))
        return true;
    return go->minor > 18 && gmr__go_layout_from_dwarf(file->elf, &go->layout);
}

static int find_in(struct gmr__go *go, const struct file *file)
{
    uint64_t info, info_size, table_size;
    if (!find_section(file, ".go.buildinfo", &info, &info_size) ||
        !find_section(file, ".gopclntab", &go->table_address, &table_size))
        return 0;
    go->minor = find_minor(go, info);
    if (!find_layout(go, file) || !gmr__go_table_read(&go->table, go->green, go->table_address, table_size)) {
        if (go->minor < 0)
            gmr__green_note(go->green, "a Go program of a release that can't be told: no goroutines");
        else
            gmr__green_note(go->green,
                            "a Go program of release 1.%d, which gmr does not know, and without debug information "
                            "that would tell: no goroutines",
                            go->minor);
        return 0;
    }
    if (go->table.quantum != 1) {
        gmr__green_note(go->green, "goroutines can be read on x86-64 only so far");
        return 0;
    }
    read_module(go);
    if (gmr__green_symbol(go->green, "", "runtime.allgs", &go->allgs, NULL) != 0)
        go->allgs = allgs_from_code(go);
    if (go->table.text == 0 || go->allgs == 0 || !is_slice(go, go->allgs)) {
        gmr__green_note(go->green, "the list of goroutines of this Go 1.%d program was not found", go->minor);
        return 0;
    }
    if (gmr__green_symbol(go->green, "", "runtime.waitReasonStrings", &go->wait_reasons, NULL) != 0)
        go->wait_reasons = search_data(go, is_reasons);
    return 1;
}

int gmr__go_find(struct gmr__go *go)
{
    struct file file = {.fd = -1};
    int found = open_file(&file, gmr__green_snapshot(go->green)) ? find_in(go, &file) : 0;
    close_file(&file);
    return found;
}
