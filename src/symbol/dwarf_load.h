/*
 * symbol/dwarf_load.h - opens the DWARF of a module for libdw. Inspector only.
 */
#ifndef GMR_SYMBOL_DWARF_LOAD_H
#define GMR_SYMBOL_DWARF_LOAD_H

#include "symbol/internal.h"

struct gmr__dwarf {
    Dwarf *dwarf, *alt;
    struct gmr__elf_file *wrapped, *wrapped_alt; /* inflated images, NULL where there was no need */
    uint64_t delta;                              /* address in the module's file - address in the DWARF */
};

/* NULL: no DWARF there. Where memory ends later, libdw calls abort(), as its own assertions do. */
Dwarf *gmr__dwarf_begin(Elf *elf);

bool gmr__dwarf_load(struct gmr__dwarf *dwarf, struct gmr__module_data *module); /* false: none */
void gmr__dwarf_unload(struct gmr__dwarf *dwarf);

#endif
