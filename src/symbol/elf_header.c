/*
 * symbol/elf_header.c - program headers and build id of a loaded ELF file. See elf_header.h.
 *
 * Inspector only. Called by modules.c (the target's memory) and elf_file.c (files). Must not trust a single field.
 */
#include "symbol/elf_header.h"

#include <errno.h>
#include <string.h>

#include "arch/arch.h"

#define PAGE UINT64_C(4096)
#define MAX_NOTE_BYTES 8192

static void span(struct gmr__elf_header *h)
{
    h->low = UINT64_MAX;
    h->high = 0;
    for (unsigned i = 0; i < h->phdr_count; i++) {
        const Elf64_Phdr *p = &h->phdrs[i];
        uint64_t end;
        if (p->p_type != PT_LOAD || __builtin_add_overflow(p->p_vaddr, p->p_memsz, &end) || end > UINT64_MAX - PAGE)
            continue;
        if ((p->p_vaddr & ~(PAGE - 1)) < h->low)
            h->low = p->p_vaddr & ~(PAGE - 1);
        end = (end + PAGE - 1) & ~(PAGE - 1);
        if (end > h->high)
            h->high = end;
    }
}

int gmr__elf_header_read(struct gmr__elf_header *h, gmr__read_at read, void *userdata)
{
    memset(h, 0, sizeof(*h));
    int error = read(userdata, 0, &h->ehdr, sizeof(h->ehdr));
    if (error < 0)
        return error;
    const unsigned char native = (union {
                                     uint16_t number;
                                     unsigned char byte;
                                 }){.number = 1}
                                         .byte
                                     ? ELFDATA2LSB
                                     : ELFDATA2MSB;
    if (memcmp(h->ehdr.e_ident, ELFMAG, SELFMAG) != 0 || h->ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
        h->ehdr.e_ident[EI_DATA] != native || h->ehdr.e_machine != gmr__arch_elf_machine ||
        h->ehdr.e_phentsize != sizeof(Elf64_Phdr) || h->ehdr.e_phoff > (UINT64_C(1) << 40))
        return -ENOEXEC;
    unsigned count = h->ehdr.e_phnum < GMR__MAX_PHDRS ? h->ehdr.e_phnum : GMR__MAX_PHDRS;
    error = read(userdata, h->ehdr.e_phoff, h->phdrs, count * sizeof(Elf64_Phdr));
    if (error < 0)
        return error;
    h->phdr_count = count;
    span(h);
    return h->low < h->high ? 0 : -ENOEXEC;
}

bool gmr__elf_header_vaddr(const struct gmr__elf_header *h, uint64_t offset, bool exec, uint64_t *vaddr)
{
    const Elf64_Phdr *found = NULL;
    for (unsigned i = 0; i < h->phdr_count; i++) {
        const Elf64_Phdr *p = &h->phdrs[i];
        uint64_t first = p->p_offset & ~(PAGE - 1), end;
        if (p->p_type != PT_LOAD || __builtin_add_overflow(p->p_offset, p->p_filesz, &end) || end > UINT64_MAX - PAGE)
            continue;
        end = (end + PAGE - 1) & ~(PAGE - 1);
        if (offset < first || offset >= end)
            continue;
        /* Two segments may share a page of the file: the permissions tell which of them this mapping is. */
        if (!found || (exec == !!(p->p_flags & PF_X) && exec != !!(found->p_flags & PF_X)))
            found = p;
    }
    if (!found)
        return false;
    *vaddr = found->p_vaddr - found->p_offset + offset;
    return true;
}

static unsigned find_build_id(const unsigned char *notes, size_t bytes, size_t align, unsigned char *id)
{
    size_t at = 0;
    while (bytes - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof(note));
        at += sizeof(note);
        if (note.n_namesz > bytes - at)
            return 0;
        size_t name = at;
        at = (at + note.n_namesz + align - 1) & ~(align - 1);
        if (at > bytes || note.n_descsz > bytes - at)
            return 0;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + name, "GNU", 4) == 0 &&
            note.n_descsz > 0) {
            unsigned count = note.n_descsz < GMR__MAX_BUILD_ID ? note.n_descsz : GMR__MAX_BUILD_ID;
            memcpy(id, notes + at, count);
            return count;
        }
        at = (at + note.n_descsz + align - 1) & ~(align - 1);
        if (at > bytes)
            return 0;
    }
    return 0;
}

unsigned gmr__elf_header_build_id(const struct gmr__elf_header *h, gmr__read_at read, void *userdata, bool as_loaded,
                                  uint64_t bias, unsigned char id[GMR__MAX_BUILD_ID])
{
    unsigned char notes[MAX_NOTE_BYTES];
    for (unsigned i = 0; i < h->phdr_count; i++) {
        const Elf64_Phdr *p = &h->phdrs[i];
        if (p->p_type != PT_NOTE || p->p_filesz < sizeof(Elf64_Nhdr))
            continue;
        size_t bytes = p->p_filesz < sizeof(notes) ? p->p_filesz : sizeof(notes);
        if (read(userdata, as_loaded ? p->p_vaddr + bias : p->p_offset, notes, bytes) < 0)
            continue;
        unsigned count = find_build_id(notes, bytes, p->p_align == 8 ? 8 : 4, id);
        if (count)
            return count;
    }
    return 0;
}
