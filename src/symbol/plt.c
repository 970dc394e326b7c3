/*
 * symbol/plt.c - names for the stubs of the procedure linkage table, which have no symbols of their own.
 *
 * Inspector only. A stub jumps through a slot; the relocation of that slot has the function's name. Threads are seldom caught in a stub, but
 * then any other name would be a lie.
 */
#include "symbol/plt.h"

#include <stdlib.h>
#include <string.h>

#include "arch/code.h"

#define MAX_SLOTS 65536
#define MAX_NAMES_BYTES ((size_t)16 << 20)

struct slot {
    uint64_t address;
    const char *name;
};

struct slots {
    struct slot *list; /* by address */
    size_t count;
};

static int compare(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* The relocations with a symbol of .rela.plt and .rela.dyn. */
static void read_slots(struct gmr__elf_file *file, struct slots *slots)
{
    static const char *const names[] = {".rela.plt", ".rela.dyn"};
    for (size_t n = 0; n < 2; n++) {
        GElf_Shdr shdr, table;
        Elf_Scn *scn = gmr__elf_file_section(file, names[n], &shdr);
        Elf_Data *data = scn && shdr.sh_type == SHT_RELA ? elf_getdata(scn, NULL) : NULL;
        Elf_Scn *symbols = data ? elf_getscn(file->elf, shdr.sh_link) : NULL;
        Elf_Data *symbol_data = symbols && gelf_getshdr(symbols, &table) ? elf_getdata(symbols, NULL) : NULL;
        size_t count = symbol_data && shdr.sh_entsize ? data->d_size / shdr.sh_entsize : 0;
        for (size_t i = 0; i < count && slots->count < MAX_SLOTS; i++) {
            GElf_Rela rela;
            GElf_Sym sym;
            if (!gelf_getrela(data, (int)i, &rela) || GELF_R_SYM(rela.r_info) == 0 || rela.r_addend != 0 ||
                !gelf_getsym(symbol_data, (int)GELF_R_SYM(rela.r_info), &sym))
                continue;
            const char *name = elf_strptr(file->elf, table.sh_link, sym.st_name);
            if (name && name[0])
                slots->list[slots->count++] = (struct slot){rela.r_offset, name};
        }
    }
    qsort(slots->list, slots->count, sizeof(*slots->list), compare);
}

struct names {
    char *text;
    size_t used, cap;
    void (*add)(void *userdata, uint64_t address, size_t bytes, const char *name);
    void *userdata;
};

static void name_stub(struct names *names, const struct slots *slots, uint64_t slot, uint64_t address, size_t bytes)
{
    const struct slot key = {.address = slot};
    const struct slot *found = bsearch(&key, slots->list, slots->count, sizeof(key), compare);
    size_t length = found ? strcspn(found->name, "@") : 0;
    if (!length || names->cap - names->used < length + 5)
        return;
    char *name = names->text + names->used;
    memcpy(name, found->name, length);
    memcpy(name + length, "@plt", 5);
    names->used += length + 5;
    names->add(names->userdata, address, bytes, name);
}

static void read_stubs(struct gmr__elf_file *file, struct names *names, const struct slots *slots)
{
    static const char *const sections[] = {".plt.sec", ".plt", ".plt.got"};
    for (size_t n = 0; n < 3; n++) {
        GElf_Shdr shdr;
        Elf_Scn *scn = gmr__elf_file_section(file, sections[n], &shdr);
        Elf_Data *data = scn && shdr.sh_type == SHT_PROGBITS ? elf_rawdata(scn, NULL) : NULL;
        size_t step = shdr.sh_entsize == 8 ? 8 : 16;
        for (size_t at = 0; data && data->d_buf && at + step <= data->d_size; at += step) {
            uint64_t slot;
            if (gmr__arch_plt_stub((const unsigned char *)data->d_buf + at, step, shdr.sh_addr + at, &slot))
                name_stub(names, slots, slot, shdr.sh_addr + at, step);
        }
    }
}

char *gmr__plt_names(struct gmr__elf_file *file,
                     void (*add)(void *userdata, uint64_t address, size_t bytes, const char *name), void *userdata)
{
    struct slots slots = {.list = malloc(MAX_SLOTS * sizeof(struct slot))};
    struct names names = {.add = add, .userdata = userdata};
    if (slots.list)
        read_slots(file, &slots);
    for (size_t i = 0; i < slots.count && names.cap < MAX_NAMES_BYTES; i++)
        names.cap += strcspn(slots.list[i].name, "@") + 5;
    names.cap *= 2; /* a function may have a stub in two sections */
    names.text = names.cap ? malloc(names.cap) : NULL;
    if (names.text)
        read_stubs(file, &names, &slots);
    free(slots.list);
    return names.text;
}
