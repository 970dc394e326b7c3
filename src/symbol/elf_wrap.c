/*
 * symbol/elf_wrap.c - an ELF image made of chosen sections, inflated. See elf_wrap.h.
 *
 * Inspector only. libdw inflates every debug section of a file as soon as it opens it, location lists and macros included, which is
 * most of the time that a first report takes. Given an image with only the sections that are needed, it does not.
 */
#include "symbol/elf_wrap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

struct part {
    const char *name;
    struct gmr__section_bytes from;
};

static size_t align8(size_t at)
{
    return (at + 7) & ~(size_t)7;
}

static void fill(unsigned char *image, const GElf_Ehdr *original, const struct part *parts, size_t count,
                 size_t names_at, size_t names_bytes, size_t headers_at)
{
    Elf64_Ehdr *ehdr = (Elf64_Ehdr *)image;
    Elf64_Shdr *shdr = (Elf64_Shdr *)(image + headers_at);
    size_t at = sizeof(*ehdr), name_at = 1;
    memset(ehdr, 0, sizeof(*ehdr));
    memset(image + names_at, 0, headers_at - names_at);
    memset(shdr, 0, (count + 2) * sizeof(*shdr));
    memcpy(ehdr->e_ident, original->e_ident, EI_NIDENT);
    ehdr->e_type = ET_EXEC; /* nothing in it is to be relocated */
    ehdr->e_machine = original->e_machine;
    ehdr->e_version = EV_CURRENT;
    ehdr->e_ehsize = sizeof(*ehdr);
    ehdr->e_shentsize = sizeof(Elf64_Shdr);
    ehdr->e_shoff = headers_at;
    ehdr->e_shnum = (Elf64_Half)(count + 2);
    ehdr->e_shstrndx = (Elf64_Half)(count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = parts[i].from.bytes;
        bool whole = gmr__elf_file_get_bytes(&parts[i].from, image + at);
        shdr[i + 1] = (Elf64_Shdr){.sh_name = (Elf64_Word)name_at,
                                   .sh_type = whole ? SHT_PROGBITS : SHT_NOBITS, /* these libdw passes over */
                                   .sh_offset = at,
                                   .sh_size = whole ? bytes : 0,
                                   .sh_addralign = 1};
        memset(image + at + bytes, 0, align8(bytes) - bytes);
        memcpy(image + names_at + name_at, parts[i].name, strlen(parts[i].name) + 1);
        at += align8(bytes);
        name_at += strlen(parts[i].name) + 1;
    }
    shdr[count + 1] = (Elf64_Shdr){
        .sh_name = 0, .sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = names_bytes, .sh_addralign = 1};
}

/* For free. In large pages, where the kernel has them: taking thousands of small ones is a good part of the whole. */
static unsigned char *new_image(size_t bytes)
{
    void *image;
    if (bytes < HUGE_PAGE)
        return malloc(bytes);
    if (posix_memalign(&image, HUGE_PAGE, bytes) != 0)
        return NULL;
    madvise(image, bytes & ~(HUGE_PAGE - 1), MADV_HUGEPAGE);
    return image;
}

struct gmr__elf_file *gmr__elf_wrap(struct gmr__elf_file *file, const char *const *names, size_t name_count,
                                    size_t max_bytes)
{
    struct part parts[GMR__MAX_WRAPPED];
    size_t count = 0, data_bytes = 0, names_bytes = 1;
    GElf_Ehdr original;
    for (size_t i = 0; i < name_count && count < GMR__MAX_WRAPPED; i++) {
        struct part *part = &parts[count];
        part->name = names[i];
        if (!gmr__elf_file_find_bytes(file, names[i], max_bytes, &part->from))
            continue;
        max_bytes -= part->from.bytes;
        data_bytes += align8(part->from.bytes);
        names_bytes += strlen(names[i]) + 1;
        count++;
    }
    size_t names_at = sizeof(Elf64_Ehdr) + data_bytes;
    size_t headers_at = align8(names_at + names_bytes);
    size_t total = headers_at + (count + 2) * sizeof(Elf64_Shdr);
    unsigned char *image = count && gelf_getehdr(file->elf, &original) ? new_image(total) : NULL;
    if (!image)
        return NULL;
    fill(image, &original, parts, count, names_at, names_bytes, headers_at);
    return gmr__elf_file_image(image, total);
}
