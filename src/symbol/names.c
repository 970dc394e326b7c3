/*
 * symbol/names.c - address -> function by the ELF symbol tables: .symtab of the debug file or the module, else .dynsym and the mini
 * debug information.
 *
 * Inspector only. The rules for overlapping, nested and sizeless symbols are those that gdb documents in its minimal-symbol
 * lookup, so that a stripped program's names agree with it.
 */
#include "symbol/names.h"

#include <stdlib.h>
#include <string.h>

#include "symbol/plt.h"
#include "sys/grow.h"

#define MAX_SYMBOLS ((size_t)16 << 20)
#define MAX_WALK 1000

struct entry {
    uint64_t start, size;
    uint64_t end; /* of its section: a label without a size reaches no further */
    const char *name;
    unsigned rank; /* among symbols of the same address, the highest is shown */
};

struct gmr__names {
    struct entry *entries; /* by start, then rank */
    size_t count, cap;
    char *plt; /* text of the stubs' names */
};

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (!x->size != !y->size)
        return !x->size < !y->size ? 1 : -1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return strcmp(x->name, y->name);
}

static unsigned rank_of(const char *name, unsigned info)
{
    unsigned bind = GELF_ST_BIND(info);
    /* The plain name before the reserved one, whatever its binding: `poll` (weak) before `__poll` (global). */
    unsigned rank = name[0] != '_' ? 20 : name[1] != '_' ? 10 : 0;
    if (bind == STB_GLOBAL)
        return rank + 2;
    return bind == STB_WEAK || bind == STB_GNU_UNIQUE ? rank + 1 : rank;
}

static bool wanted(const GElf_Sym *sym, const char *name)
{
    unsigned type = GELF_ST_TYPE(sym->st_info);
    if (sym->st_shndx == SHN_UNDEF || !name || !name[0])
        return false;
    if (type == STT_FUNC || type == STT_GNU_IFUNC)
        return true;
    /* Labels of assembly files have no type; compilers' and assemblers' own ones are none of the user's. */
    return type == STT_NOTYPE && name[0] != '$' && name[0] != '.' && sym->st_shndx != SHN_ABS;
}

/* False if the symbol's section holds no machine code. *end: of the section. */
static bool executable_section(Elf *elf, const GElf_Sym *sym, uint64_t *end)
{
    GElf_Shdr shdr;
    *end = UINT64_MAX;
    if (sym->st_shndx >= SHN_LORESERVE)
        return true;
    Elf_Scn *scn = elf_getscn(elf, sym->st_shndx);
    if (!scn || !gelf_getshdr(scn, &shdr))
        return true;
    *end = shdr.sh_addr + shdr.sh_size;
    return shdr.sh_flags & SHF_EXECINSTR;
}

static bool append(struct gmr__names *names, const GElf_Sym *sym, const char *name, uint64_t delta, uint64_t end)
{
    if (!GMR__GROW_UP_TO(names->entries, names->cap, names->count + 1, MAX_SYMBOLS))
        return false;
    names->entries[names->count++] = (struct entry){.start = sym->st_value + delta,
                                                    .size = sym->st_size,
                                                    .end = end == UINT64_MAX ? end : end + delta,
                                                    .name = name,
                                                    .rank = rank_of(name, sym->st_info)};
    return true;
}

static bool read_table(struct gmr__names *names, struct gmr__elf_file *file, unsigned type, uint64_t delta)
{
    if (!file)
        return false;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(file->elf, scn)) != NULL;) {
        GElf_Shdr shdr;
        if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != type)
            continue;
        Elf_Data *data = elf_getdata(scn, NULL);
        if (!data || !data->d_buf || !shdr.sh_entsize)
            continue;
        size_t count = data->d_size / shdr.sh_entsize;
        for (size_t i = 1; i < count && i < MAX_SYMBOLS; i++) {
            GElf_Sym sym;
            if (!gelf_getsym(data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF)
                continue;
            unsigned kind = GELF_ST_TYPE(sym.st_info);
            if (kind != STT_FUNC && kind != STT_GNU_IFUNC && kind != STT_NOTYPE)
                continue;
            const char *name = elf_strptr(file->elf, shdr.sh_link, sym.st_name);
            uint64_t end = UINT64_MAX;
            if (!wanted(&sym, name) || ((kind == STT_NOTYPE || sym.st_size == 0) &&
                                        !executable_section(file->elf, &sym, &end) && kind == STT_NOTYPE))
                continue;
            if (!append(names, &sym, name, delta, end))
                return true;
        }
        return true;
    }
    return false;
}

/* Where a file's section headers are missing (an image from memory): the dynamic symbols by way of PT_DYNAMIC. */
static void read_dynamic(struct gmr__names *names, struct gmr__module_data *m)
{
    struct gmr__elf_file *file = m->file;
    const unsigned char *image = file->image;
    uint64_t symbols = 0, strings = 0, string_bytes = 0;
    for (unsigned i = 0; image && i < m->header.phdr_count; i++) {
        const Elf64_Phdr *p = &m->header.phdrs[i];
        Elf64_Dyn dyn;
        uint64_t at = m->module.bias + p->p_vaddr;
        for (uint64_t n = 0; p->p_type == PT_DYNAMIC && n < p->p_memsz / sizeof(dyn) && n < 512;
             n++, at += sizeof(dyn)) {
            if (gmr__snapshot_read(m->owner->snapshot, NULL, at, &dyn, sizeof(dyn)) < 0)
                return;
            /* glibc relocates these in place, musl and the vdso don't. */
            uint64_t value =
                dyn.d_un.d_ptr >= m->module.start && m->module.bias ? dyn.d_un.d_ptr - m->module.bias : dyn.d_un.d_ptr;
            if (dyn.d_tag == DT_SYMTAB)
                symbols = value;
            else if (dyn.d_tag == DT_STRTAB)
                strings = value;
            else if (dyn.d_tag == DT_STRSZ)
                string_bytes = dyn.d_un.d_val;
        }
    }
    /* The string table follows the symbols in every linker's layout: that bounds their number. */
    if (!symbols || strings <= symbols || strings >= file->size || string_bytes > file->size - strings ||
        string_bytes == 0 || image[strings + string_bytes - 1] != 0)
        return;
    for (uint64_t at = symbols + sizeof(Elf64_Sym); at + sizeof(Elf64_Sym) <= strings; at += sizeof(Elf64_Sym)) {
        GElf_Sym sym;
        memcpy(&sym, image + at, sizeof(sym));
        if (sym.st_name >= string_bytes)
            return;
        const char *name = (const char *)image + strings + sym.st_name;
        if (wanted(&sym, name) && !append(names, &sym, name, 0, UINT64_MAX))
            return;
    }
}

static void add_stub(void *userdata, uint64_t address, size_t bytes, const char *name)
{
    GElf_Sym sym = {.st_value = address, .st_size = bytes};
    append(userdata, &sym, name, 0, UINT64_MAX);
}

struct gmr__names *gmr__names_new(struct gmr__module_data *m)
{
    struct gmr__names *names = calloc(1, sizeof(*names));
    if (!names)
        return NULL;
    struct gmr__elf_file *file = gmr__module_file(m), *debug = gmr__module_debug_file(m);
    if (!read_table(names, file, SHT_SYMTAB, 0) &&
        !(debug && read_table(names, debug, SHT_SYMTAB, m->debug_bias - m->module.bias))) {
        read_table(names, gmr__module_mini_file(m), SHT_SYMTAB, 0);
        if (!read_table(names, file, SHT_DYNSYM, 0) && file)
            read_dynamic(names, m);
    }
    if (file)
        names->plt = gmr__plt_names(file, add_stub, names);
    if (names->count)
        qsort(names->entries, names->count, sizeof(*names->entries), compare);
    return names;
}

void gmr__names_free(struct gmr__names *names)
{
    if (!names)
        return;
    free(names->plt);
    free(names->entries);
    free(names);
}

bool gmr__names_find(const struct gmr__names *names, uint64_t address, const char **name, uint64_t *start)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (names->entries[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct entry *sizeless = NULL, *found = NULL;
    for (size_t i = low, steps = 0; i > 0 && steps < MAX_WALK; i--, steps++) {
        const struct entry *e = &names->entries[i - 1];
        if (e->size == 0) { /* a label, perhaps inside a function: keep looking for that */
            if (!sizeless && address < e->end)
                sizeless = e;
            continue;
        }
        if (address - e->start < e->size) {
            found = e;
            break;
        }
        /* Past its end: an earlier one may still enclose it. */
        if (i < 2 || names->entries[i - 2].size == 0 ||
            address - names->entries[i - 2].start >= names->entries[i - 2].size)
            break;
    }
    found = found ? found : sizeless;
    if (!found)
        return false;
    *name = found->name;
    *start = found->start;
    return true;
}

/* "name" or "name@@VERSION", which is what a linker takes for it today; "name@VERSION" is an old one. */
static bool is_named(const struct entry *entry, const char *name, size_t length)
{
    return strncmp(entry->name, name, length) == 0 &&
           (entry->name[length] == 0 || (entry->name[length] == '@' && entry->name[length + 1] == '@'));
}

bool gmr__names_address(const struct gmr__names *names, const char *name, uint64_t *start)
{
    bool found = false;
    size_t length = strlen(name);
    for (size_t i = 0; names && i < names->count; i++) {
        if (!is_named(&names->entries[i], name, length))
            continue;
        if (found && names->entries[i].start != *start)
            return false;
        *start = names->entries[i].start;
        found = true;
    }
    return found;
}

bool gmr__names_has(const struct gmr__names *names, uint64_t address, const char *name)
{
    size_t low = 0, high = names ? names->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (names->entries[middle].start < address)
            low = middle + 1;
        else
            high = middle;
    }
    size_t length = strlen(name);
    for (; names && low < names->count && names->entries[low].start == address; low++) {
        if (is_named(&names->entries[low], name, length))
            return true;
    }
    return false;
}
