/*
 * symbol/dwarf_info.h - address -> functions, inlined ones included, and lines, by a module's DWARF. Inspector only.
 */
#ifndef GMR_SYMBOL_DWARF_INFO_H
#define GMR_SYMBOL_DWARF_INFO_H

#include "symbol/dwarf_calls.h"
#include "symbol/internal.h"

#define GMR__MAX_INLINES 128

struct gmr__dwarf_info;

/* One function at an address. */
struct gmr__dwarf_frame {
    char function[1024];   /* demangled; "" if unknown */
    const char *file;      /* lives as long as the info; NULL if unknown */
    const char *directory; /* where the compiler ran, which a relative file begins at; the same; NULL if unknown */
    int line, column;
    uint64_t start; /* of the part of the real function that holds the address (of the module's file); 0 if inlined */
    uint64_t entry; /* of the real function */
    bool inlined;
    bool incomplete; /* the .dwo file that tells of functions and inlined calls is not there */
};

struct gmr__dwarf_info *gmr__dwarf_info_new(struct gmr__module_data *module); /* NULL: no debug information */
void gmr__dwarf_info_free(struct gmr__dwarf_info *info);

/* Calls `each` for the functions at `address` (of the module's file), innermost first. The last one is real; its name may be "" where
 * only the line is known. False: nothing known. */
bool gmr__dwarf_info_find(struct gmr__dwarf_info *info, uint64_t address,
                          void (*each)(void *userdata, const struct gmr__dwarf_frame *frame), void *userdata);

/* The call sites of the function at `address` (of the module's file), at addresses of the DWARF: less by delta. NULL: none known. */
const struct gmr__call_sites *gmr__dwarf_info_calls(struct gmr__dwarf_info *info, uint64_t address);
uint64_t gmr__dwarf_info_delta(const struct gmr__dwarf_info *info);

#endif
