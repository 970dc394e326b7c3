/*
 * capture/self_modules_as.c - the ELF files in the process's own memory, and the names in their dynamic symbol tables.
 *
 * Reporter thread, a crash; async-signal-safe. Never asks the loader, whose lock may be held for ever: headers are read from memory. All that is
 * read is bounded and may be nonsense.
 */
#include <elf.h>
#include <errno.h>
#include <link.h>

#include "capture/self.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define MOST_HEADERS 64
#define MOST_DYNAMIC 128
#define MOST_SYMBOLS 200000u

static void read_note(struct gmr__peek *peek, struct gmr__self_module *m, uint64_t at, uint64_t bytes)
{
    uint64_t end = at + (bytes < 4096 ? bytes : 4096);
    while (at + sizeof(ElfW(Nhdr)) <= end) {
        ElfW(Nhdr) note;
        char name[4];
        if (!gmr__peek(peek, at, &note, sizeof(note)) || note.n_namesz > 256 || note.n_descsz > 4096)
            return;
        uint64_t name_at = at + sizeof(note), desc_at = name_at + ((note.n_namesz + 3u) & ~3u);
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && gmr__peek(peek, name_at, name, 4) &&
            gmr__memcmp(name, "GNU", 4) == 0 && note.n_descsz <= sizeof(m->build_id)) {
            if (gmr__peek(peek, desc_at, m->build_id, note.n_descsz))
                m->build_id_bytes = (uint8_t)note.n_descsz;
            return;
        }
        at = desc_at + ((note.n_descsz + 3u) & ~3u);
    }
}

static void read_headers(struct gmr__peek *peek, struct gmr__self_module *m, const ElfW(Phdr) * header, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t address = m->bias + header[i].p_vaddr;
        if (header[i].p_type == PT_GNU_EH_FRAME)
            m->eh_frame_hdr = address;
        else if (header[i].p_type == PT_DYNAMIC)
            m->dynamic = address;
        else if (header[i].p_type == PT_NOTE && !m->build_id_bytes)
            read_note(peek, m, address, header[i].p_memsz);
    }
}

/* A module whose ELF header lies at m->start. */
static bool read_elf(struct gmr__peek *peek, struct gmr__self_module *m)
{
    ElfW(Ehdr) elf;
    ElfW(Phdr) header[MOST_HEADERS];
    if (!gmr__peek(peek, m->start, &elf, sizeof(elf)) || gmr__memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 ||
        elf.e_phentsize != sizeof(header[0]))
        return false;
    unsigned count = elf.e_phnum < MOST_HEADERS ? elf.e_phnum : MOST_HEADERS;
    if (!gmr__peek(peek, m->start + elf.e_phoff, header, count * sizeof(header[0])))
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (header[i].p_type == PT_LOAD) {
            m->bias = m->start - (header[i].p_vaddr & ~(uint64_t)4095);
            break;
        }
    }
    read_headers(peek, m, header, count);
    return true;
}

/* ---- what setup remembered ---- */

#define MOST_REMEMBERED 96
static GMR__APART struct gmr__self_module remembered[MOST_REMEMBERED];
static unsigned remembered_count;

static int remember(struct dl_phdr_info *info, size_t size, void *userdata)
{
    if (remembered_count == MOST_REMEMBERED)
        return 1;
    struct gmr__self_module *m = &remembered[remembered_count++];
    struct gmr__buf buf;
    gmr__memset(m, 0, sizeof(*m));
    m->bias = info->dlpi_addr;
    m->start = UINT64_MAX;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD)
            continue;
        uint64_t start = m->bias + (p->p_vaddr & ~(uint64_t)4095), end = m->bias + p->p_vaddr + p->p_memsz;
        m->start = start < m->start ? start : m->start;
        m->end = end > m->end ? end : m->end;
    }
    read_headers(userdata, m, info->dlpi_phdr, info->dlpi_phnum);
    gmr__buf_init(&buf, m->path, sizeof(m->path));
    gmr__buf_str(&buf, info->dlpi_name && info->dlpi_name[0] ? info->dlpi_name : "the program");
    return 0;
}

void gmr__self_modules_remember(void)
{
    struct gmr__peek *peek = gmr__map_memory(sizeof(*peek));
    remembered_count = 0;
    if (!peek)
        return;
    dl_iterate_phdr(remember, peek);
    gmr__unmap_memory(peek, sizeof(*peek));
}

/* ---- what /proc tells ---- */

static void add_map(struct gmr__self_modules *modules, const struct gmr__proc_map *map)
{
    struct gmr__self_module *last = modules->count ? &modules->module[modules->count - 1] : NULL;
    if (!map->path[0] || (map->path[0] == '[' && !gmr__streq(map->path, "[vdso]")))
        return;
    /* The mappings of one file follow each other, the one with its header first. */
    if (last && map->offset != 0 && gmr__streq(last->path, map->path)) {
        last->end = map->end;
        return;
    }
    if (map->offset != 0 || !map->read)
        return;
    if (modules->count == modules->cap) {
        modules->cut = true;
        return;
    }
    struct gmr__self_module *m = &modules->module[modules->count];
    struct gmr__buf buf;
    gmr__memset(m, 0, sizeof(*m));
    m->start = map->start;
    m->end = map->end;
    gmr__buf_init(&buf, m->path, sizeof(m->path));
    gmr__buf_str(&buf, map->path);
    if (read_elf(modules->peek, m))
        modules->count++;
}

void gmr__self_modules_read(struct gmr__self_modules *modules)
{
    struct gmr__lines lines;
    struct gmr__proc_map map;
    modules->count = 0;
    modules->cut = false;
    if (gmr__proc_lines_open(&lines, "/proc", gmr__getpid(), gmr__gettid(), "maps") == 0) {
        while (gmr__proc_maps_next(&lines, &map))
            add_map(modules, &map);
        gmr__lines_close(&lines);
    }
    for (unsigned i = 0; modules->count == 0 && i < remembered_count && i < modules->cap; i++)
        modules->module[i] = remembered[i];
    if (modules->count == 0)
        modules->count = remembered_count < modules->cap ? remembered_count : modules->cap;
}

const struct gmr__self_module *gmr__self_module_at(const struct gmr__self_modules *modules, uint64_t pc)
{
    for (unsigned i = 0; i < modules->count; i++)
        if (pc >= modules->module[i].start && pc < modules->module[i].end)
            return &modules->module[i];
    return NULL;
}

/* ---- symbols ---- */

struct tables {
    uint64_t symbols, strings, strings_bytes, hash, gnu_hash;
};

static bool read_dynamic(struct gmr__peek *peek, const struct gmr__self_module *m, struct tables *t)
{
    *t = (struct tables){0};
    for (unsigned i = 0; m->dynamic && i < MOST_DYNAMIC; i++) {
        ElfW(Dyn) entry;
        if (!gmr__peek(peek, m->dynamic + i * sizeof(entry), &entry, sizeof(entry)) || entry.d_tag == DT_NULL)
            break;
        /* The loader has added the bias in place, but not in the vdso. */
        uint64_t address = entry.d_un.d_ptr < m->bias ? m->bias + entry.d_un.d_ptr : entry.d_un.d_ptr;
        switch (entry.d_tag) {
        case DT_SYMTAB:
            t->symbols = address;
            break;
        case DT_STRTAB:
            t->strings = address;
            break;
        case DT_STRSZ:
            t->strings_bytes = entry.d_un.d_val;
            break;
        case DT_HASH:
            t->hash = address;
            break;
        case DT_GNU_HASH:
            t->gnu_hash = address;
            break;
        default:
            break;
        }
    }
    return t->symbols && t->strings;
}

/* The table's length stands nowhere: DT_HASH has it as nchain, DT_GNU_HASH's last chain leads to it. */
static uint32_t count_symbols(struct gmr__peek *peek, const struct tables *t)
{
    uint32_t head[4], last = 0;
    if (t->hash && gmr__peek(peek, t->hash, head, 8))
        return head[1] < MOST_SYMBOLS ? head[1] : MOST_SYMBOLS;
    if (!t->gnu_hash || !gmr__peek(peek, t->gnu_hash, head, sizeof(head)))
        return 0;
    uint64_t buckets = t->gnu_hash + 16 + (uint64_t)head[2] * 8, chains = buckets + (uint64_t)head[0] * 4;
    for (uint32_t i = 0; i < head[0] && i < MOST_SYMBOLS; i++) {
        uint32_t first;
        if (!gmr__peek(peek, buckets + (uint64_t)i * 4, &first, 4))
            return 0;
        last = first > last ? first : last;
    }
    if (last < head[1])
        return 0;
    for (uint32_t hash = 0; last < MOST_SYMBOLS; last++) {
        if (!gmr__peek(peek, chains + (uint64_t)(last - head[1]) * 4, &hash, 4) || hash & 1)
            break;
    }
    return last + 1;
}

bool gmr__self_symbol(struct gmr__peek *peek, const struct gmr__self_module *m, uint64_t pc, char *name, size_t cap,
                      uint64_t *offset)
{
    struct tables t;
    if (!read_dynamic(peek, m, &t))
        return false;
    uint32_t count = count_symbols(peek, &t);
    for (uint32_t i = 1; i < count; i++) {
        ElfW(Sym) symbol;
        if (!gmr__peek(peek, t.symbols + (uint64_t)i * sizeof(symbol), &symbol, sizeof(symbol)))
            return false;
        unsigned type = ELF64_ST_TYPE(symbol.st_info);
        uint64_t start = m->bias + symbol.st_value;
        if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol.st_shndx == SHN_UNDEF || pc < start ||
            pc >= start + symbol.st_size)
            continue;
        size_t n = 0;
        while (n + 1 < cap && gmr__peek(peek, t.strings + symbol.st_name + n, &name[n], 1) && name[n])
            n++;
        name[n] = '\0';
        *offset = pc - start;
        return n > 0;
    }
    return false;
}
