/*
 * symbol/demangle.h - readable names from mangled ones. Inspector only.
 */
#ifndef GMR_SYMBOL_DEMANGLE_H
#define GMR_SYMBOL_DEMANGLE_H

#include <stddef.h>

/* The function's name without parameters, return type, symbol version or a compiler's clone suffix, into text[cap]. A name that is not
 * mangled (or mangled beyond reason) is copied, without a version. */
void gmr__demangle(const char *name, char *text, size_t cap);

#endif
