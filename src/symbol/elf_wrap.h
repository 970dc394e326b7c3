/*
 * symbol/elf_wrap.h - an ELF image made of chosen sections, inflated. Inspector only.
 */
#ifndef GMR_SYMBOL_ELF_WRAP_H
#define GMR_SYMBOL_ELF_WRAP_H

#include "symbol/internal.h"

#define GMR__MAX_WRAPPED 16

/* An image with those of the named sections that `file` has, uncompressed. NULL: none of them, or no memory. max_bytes: in all. */
struct gmr__elf_file *gmr__elf_wrap(struct gmr__elf_file *file, const char *const *names, size_t name_count,
                                    size_t max_bytes);

#endif
