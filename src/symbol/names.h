/*
 * symbol/names.h - address -> function by the ELF symbol tables of a module. Inspector only.
 */
#ifndef GMR_SYMBOL_NAMES_H
#define GMR_SYMBOL_NAMES_H

#include "symbol/internal.h"

struct gmr__names;

struct gmr__names *gmr__names_new(struct gmr__module_data *module); /* NULL: no symbols */
void gmr__names_free(struct gmr__names *names);

/* The function that holds `address` (of the module's file): its mangled name and start. False: unknown. */
bool gmr__names_find(const struct gmr__names *names, uint64_t address, const char **name, uint64_t *start);
/* The start of the function of this mangled name. False: none, or it is ambiguous. names may be NULL. */
bool gmr__names_address(const struct gmr__names *names, const char *name, uint64_t *start);
/* Is `name` one of the names of what begins at `address`? names may be NULL. */
bool gmr__names_has(const struct gmr__names *names, uint64_t address, const char *name);

#endif
