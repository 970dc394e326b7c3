/*
 * symbol/dwarf_units.h - which compilation unit and which function covers an address. Inspector only.
 */
#ifndef GMR_SYMBOL_DWARF_UNITS_H
#define GMR_SYMBOL_DWARF_UNITS_H

#include "symbol/internal.h"

struct gmr__range {
    uint64_t low, high, value;
};

struct gmr__ranges {
    struct gmr__range *list;
    size_t count, cap;
};

bool gmr__ranges_add(struct gmr__ranges *ranges, uint64_t low, uint64_t high, uint64_t value);
void gmr__ranges_sort(struct gmr__ranges *ranges);
/* The narrowest range that begins last and holds address; NULL: none. Sorted ranges only. */
const struct gmr__range *gmr__ranges_find(const struct gmr__ranges *ranges, uint64_t address);

struct gmr__call_sites;

struct gmr__unit {
    Dwarf_Off offset;
    Dwarf_Die die;   /* root of its tree; with -gsplit-dwarf in the .dwo file */
    Dwarf_Die lines; /* the unit that has the line table: the same or its skeleton */
    int language;
    struct gmr__ranges functions;   /* value: offset of the DIE */
    bool nested;                    /* functions within functions are in the index */
    bool incomplete;                /* its .dwo file is not there */
    struct gmr__call_sites **calls; /* of the functions asked for so far */
    size_t calls_count, calls_cap;
};

struct gmr__units {
    Dwarf *dwarf;
    const char *directory;     /* of its file, where libdw looks for .dwo files first; NULL: it doesn't */
    struct gmr__ranges ranges; /* value: offset of the unit's DIE */
    bool indexed;
    struct gmr__unit **list; /* those used so far */
    size_t count, cap;
};

struct gmr__unit *gmr__units_find(struct gmr__units *units, uint64_t address);
/* The function's DIE at address. */
bool gmr__unit_function(struct gmr__unit *unit, uint64_t address, Dwarf_Die *die);
void gmr__units_free(struct gmr__units *units);

#endif
