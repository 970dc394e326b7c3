/*
 * symbol/dwarf_calls.h - the call sites of a function, as its debug information lists them. Inspector only.
 */
#ifndef GMR_SYMBOL_DWARF_CALLS_H
#define GMR_SYMBOL_DWARF_CALLS_H

#include "symbol/dwarf_units.h"

struct gmr__call_site {
    uint64_t return_pc; /* behind the call or jump; address of the DWARF */
    uint64_t target;    /* entry of the function called; 0: by name, or unknown */
    const char *name;   /* linkage name of an external one; NULL: by address, or unknown (through a pointer) */
    bool tail;
};

struct gmr__call_sites {
    Dwarf_Off function; /* whose they are */
    bool complete;      /* every tail call of the function is listed */
    struct gmr__call_site *list;
    size_t count, cap;
};

/* Where a function begins; false: it has no code. */
bool gmr__die_entry(Dwarf_Die *function, uint64_t *entry);

/* Reads the call sites of `function` into *sites (list malloc'ed). False: no memory. */
bool gmr__dwarf_calls_read(Dwarf_Die *function, struct gmr__call_sites *sites);

#endif
