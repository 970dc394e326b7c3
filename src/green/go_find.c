/*
 * green/go_find.c - recognises a Go program, its release, and where the runtime keeps its goroutines.
 *
 * Inspector only; called from the Go source's `find`. Sections are read from the executable's file (the linker keeps their headers in
 * stripped programs), everything else from the target's memory. Offsets are those of Go's src/runtime/runtime2.go; those of 1.19
 * were checked against the DWARF of a program. Another release is read by the row of the table that its source calls
 * for, and what is read must make sense (go.c); a release without a row is not guessed at.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "green/go.h"

#define MAX_TEXT 65536

static const struct {
    int from, to; /* minor releases */
    struct gmr__go_layout layout;
} layouts[] = {
    {18,
     18,
     {.m = 48,
      .sched_sp = 56,
      .sched_pc = 64,
      .syscall_sp = 112,
      .syscall_pc = 120,
      .status = 144,
      .id = 152,
      .wait_since = 168,
      .wait_reason = 176,
      .m_procid = 72}},
    {19,
     19,
     {.m = 48,
      .sched_sp = 56,
      .sched_pc = 64,
      .syscall_sp = 112,
      .syscall_pc = 120,
      .status = 144,
      .id = 152,
      .wait_since = 168,
      .wait_reason = 176,
      .created_at = 296,
      .start = 312,
      .m_procid = 72,
      .m_vdso_sp = 800,
      .m_vdso_pc = 808}},
    {20,
     22,
     {.m = 48,
      .sched_sp = 56,
      .sched_pc = 64,
      .syscall_sp = 112,
      .syscall_pc = 120,
      .status = 144,
      .id = 152,
      .wait_since = 168,
      .wait_reason = 176,
      .m_procid = 72}},
    {23,
     24,
     {.m = 48,
      .sched_sp = 56,
      .sched_pc = 64,
      .syscall_sp = 112,
      .syscall_pc = 120,
      .status = 152,
      .id = 160,
      .wait_since = 176,
      .wait_reason = 184,
      .m_procid = 72}},
};

struct file {
    int fd;
    Elf *elf;
    uint64_t bias;
};

static bool open_file(struct file *file, const struct gmr__snapshot *snapshot)
{
    char path[4096];
    int length = snprintf(path, sizeof(path), "%s%s", snapshot->root ? snapshot->root : "", snapshot->exe);
    size_t count = 0;
    file->fd = -1;
    if (length < 0 || (size_t)length >= sizeof(path) || elf_version(EV_CURRENT) == EV_NONE)
        return false;
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    file->elf = file->fd < 0 ? NULL : elf_begin(file->fd, ELF_C_READ_MMAP, NULL);
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
        uint64_t pointer, text[2];
        memcpy(&pointer, info + 16, 8);
        if (gmr__green_read(go->green, pointer, text, sizeof(text)) == 0 && text[1] < sizeof(version))
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

/* runtime.firstmoduledata: its first words point to the table and to the names in it. Wanted for inlined calls only. */
static void find_inline_base(struct gmr__go *go, uint64_t table)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(go->green);
    uint64_t offset = go->minor >= 20 ? 320 : 304, module = 0, words[2];
    if (gmr__green_symbol(go->green, "", "runtime.firstmoduledata", &module, NULL) != 0)
        for (size_t i = 0; i < snapshot->map_count && module == 0; i++) {
            const struct gmr__map *map = &snapshot->maps[i];
            size_t bytes = (size_t)(map->end - map->start);
            if (strcmp(map->path, snapshot->exe) != 0 || map->exec || bytes > 64u << 20)
                continue;
            uint64_t *data = malloc(bytes);
            if (data && gmr__green_read(go->green, map->start, data, bytes) == 0)
                for (size_t k = 0; k + 1 < bytes / 8; k++)
                    if (data[k] == table && data[k + 1] == table + go->table.names)
                        module = map->start + k * 8;
            free(data);
        }
    if (module != 0 && gmr__green_read(go->green, module, words, sizeof(words)) == 0 && words[0] == table)
        gmr__green_read(go->green, module + offset, &go->inline_base, 8);
}

static int find_in(struct gmr__go *go, const struct file *file)
{
    uint64_t info, info_size, table, table_size;
    if (!find_section(file, ".go.buildinfo", &info, &info_size) ||
        !find_section(file, ".gopclntab", &table, &table_size))
        return 0;
    go->minor = find_minor(go, info);
    bool known = false;
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
        if (go->minor >= layouts[i].from && go->minor <= layouts[i].to) {
            go->layout = layouts[i].layout;
            known = true;
        }
    if (!known || !gmr__go_table_read(&go->table, go->green, table, table_size)) {
        gmr__green_note(go->green, "a Go program of release 1.%d, which gmr does not know: no goroutines",
                        go->minor < 0 ? 0 : go->minor);
        return 0;
    }
    if (go->table.quantum != 1) {
        gmr__green_note(go->green, "goroutines can be read on x86-64 only so far");
        return 0;
    }
    if (gmr__green_symbol(go->green, "", "runtime.allgs", &go->allgs, NULL) != 0)
        go->allgs = allgs_from_code(go);
    if (go->allgs == 0 || !is_slice(go, go->allgs)) {
        gmr__green_note(go->green, "the list of goroutines of this Go 1.%d program was not found", go->minor);
        return 0;
    }
    if (gmr__green_symbol(go->green, "", "runtime.waitReasonStrings", &go->wait_reasons, NULL) != 0)
        go->wait_reasons = 0;
    find_inline_base(go, table);
    return 1;
}

int gmr__go_find(struct gmr__go *go)
{
    struct file file = {.fd = -1};
    int found = open_file(&file, gmr__green_snapshot(go->green)) ? find_in(go, &file) : 0;
    close_file(&file);
    return found;
}
