/*
 * symbol/plt.h - names for the stubs of the procedure linkage table. Inspector only.
 */
#ifndef GMR_SYMBOL_PLT_H
#define GMR_SYMBOL_PLT_H

#include "symbol/internal.h"

/* Calls `add` for each stub: "function@plt". Returns the memory that the names lie in (to be freed), NULL if there are none. */
char *gmr__plt_names(struct gmr__elf_file *file,
                     void (*add)(void *userdata, uint64_t address, size_t bytes, const char *name), void *userdata);

#endif
