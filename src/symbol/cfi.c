/*
 * symbol/cfi.c - the call-frame information of a module, for the unwinder.
 *
 * Inspector only. .eh_frame comes from the module's file; .debug_frame from there or, where the program was split, from its
 * separate debug file. The section .debug_frame is put into a small ELF image of its own, because libdw would inflate
 * every debug section of the file before it looks at this one.
 */
#include <stdlib.h>
#include <string.h>

#include "symbol/internal.h"

#define MAX_FRAME_BYTES ((size_t)256 << 20)

/* An ELF image with this one section; libdw needs no more. */
static struct gmr__elf_file *wrap(struct gmr__elf_file *like, const char *name, const unsigned char *bytes,
                                  size_t count)
{
    size_t name_bytes = strlen(name) + 1;
    static const char strtab[] = ".shstrtab";
    size_t data_at = sizeof(Elf64_Ehdr), names_at = data_at + ((count + 7) & ~(size_t)7);
    size_t names_bytes = 1 + name_bytes + sizeof(strtab);
    size_t headers_at = (names_at + names_bytes + 7) & ~(size_t)7;
    size_t total = headers_at + 3 * sizeof(Elf64_Shdr);
    unsigned char *image = calloc(1, total);
    GElf_Ehdr original;
    if (!image || !gelf_getehdr(like->elf, &original)) {
        free(image);
        return NULL;
    }
    Elf64_Ehdr *ehdr = (Elf64_Ehdr *)image;
    memcpy(ehdr->e_ident, original.e_ident, EI_NIDENT);
    ehdr->e_type = ET_EXEC;
    ehdr->e_machine = original.e_machine;
    ehdr->e_version = EV_CURRENT;
    ehdr->e_ehsize = sizeof(*ehdr);
    ehdr->e_shentsize = sizeof(Elf64_Shdr);
    ehdr->e_shoff = headers_at;
    ehdr->e_shnum = 3;
    ehdr->e_shstrndx = 2;
    memcpy(image + data_at, bytes, count);
    memcpy(image + names_at + 1, name, name_bytes);
    memcpy(image + names_at + 1 + name_bytes, strtab, sizeof(strtab));
    Elf64_Shdr *shdr = (Elf64_Shdr *)(image + headers_at);
    shdr[1] =
        (Elf64_Shdr){.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = data_at, .sh_size = count, .sh_addralign = 1};
    shdr[2] = (Elf64_Shdr){.sh_name = (Elf64_Word)(1 + name_bytes),
                           .sh_type = SHT_STRTAB,
                           .sh_offset = names_at,
                           .sh_size = names_bytes,
                           .sh_addralign = 1};
    return gmr__elf_file_image(image, total);
}

static bool debug_frame_from(struct gmr__module_data *m, struct gmr__elf_file *file, uint64_t bias)
{
    size_t count;
    unsigned char *bytes = gmr__elf_file_section_bytes(file, ".debug_frame", MAX_FRAME_BYTES, &count);
    if (!bytes)
        return false;
    m->frame_file = wrap(file, ".debug_frame", bytes, count);
    free(bytes);
    m->frame_dwarf = m->frame_file ? dwarf_begin_elf(m->frame_file->elf, DWARF_C_READ, NULL) : NULL;
    m->debug_frame = m->frame_dwarf ? dwarf_getcfi(m->frame_dwarf) : NULL;
    m->debug_frame_bias = bias;
    return m->debug_frame != NULL;
}

void gmr__module_cfi(struct gmr__modules *modules, const struct gmr__module *module, Dwarf_CFI **eh_frame,
                     uint64_t *eh_bias, Dwarf_CFI **debug_frame, uint64_t *debug_bias)
{
    struct gmr__module_data *m = (struct gmr__module_data *)module;
    (void)modules;
    if (!m->cfi_tried) {
        m->cfi_tried = true;
        struct gmr__elf_file *file = gmr__module_file(m);
        if (file) {
            m->eh_frame = dwarf_getcfi_elf(file->elf);
            if (!debug_frame_from(m, file, m->module.bias) && gmr__module_debug_file(m))
                debug_frame_from(m, m->debug, m->debug_bias);
        }
    }
    *eh_frame = m->eh_frame;
    *eh_bias = m->module.bias;
    *debug_frame = m->debug_frame;
    *debug_bias = m->debug_frame_bias;
}
