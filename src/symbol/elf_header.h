/*
 * symbol/elf_header.h - program headers and build id of a loaded ELF file, read through a callback.
 *
 * Inspector only. The same code reads the header from the target's memory and from a file, so that the two can be
 * compared. Everything it reads may lie: all counts are bounded, nothing is trusted to lie inside anything else.
 */
#ifndef GMR_SYMBOL_ELF_HEADER_H
#define GMR_SYMBOL_ELF_HEADER_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GMR__MAX_PHDRS 64
#define GMR__MAX_BUILD_ID 32

struct gmr__elf_header {
    Elf64_Ehdr ehdr;
    Elf64_Phdr phdrs[GMR__MAX_PHDRS]; /* the first ones, in order */
    unsigned phdr_count;
    uint64_t low, high; /* of all PT_LOAD segments, page-aligned */
};

/* Reads exactly `bytes` at `offset`, or fails with a negative errno. */
typedef int (*gmr__read_at)(void *userdata, uint64_t offset, void *to, size_t bytes);

/* The header at offset 0 of `read`. -ENOEXEC if there is none, or it is not for this machine. */
int gmr__elf_header_read(struct gmr__elf_header *header, gmr__read_at read, void *userdata);

/* The virtual address in the file of byte `offset`, preferring the segment with these permissions. False: not loaded. */
bool gmr__elf_header_vaddr(const struct gmr__elf_header *header, uint64_t offset, bool exec, uint64_t *vaddr);

/* The build id from PT_NOTE. as_loaded: `read` takes addresses (p_vaddr + bias), else file offsets. Bytes, 0 if none. */
unsigned gmr__elf_header_build_id(const struct gmr__elf_header *header, gmr__read_at read, void *userdata,
                                  bool as_loaded, uint64_t bias, unsigned char id[GMR__MAX_BUILD_ID]);

#endif
