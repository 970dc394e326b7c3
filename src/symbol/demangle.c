/*
 * symbol/demangle.c - readable names from mangled ones, through libiberty (C++ and Rust, both of its schemes).
 *
 * Inspector only, one thread. A name of a few hundred bytes can be made to demangle to gigabytes, so output is bounded: the callback
 * interface of libiberty allocates nothing, hence it may be left with longjmp.
 */
#include "symbol/demangle.h"

#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

#include <libiberty/demangle.h>

#define MAX_MANGLED 16384

struct output {
    char *text;
    size_t used, cap;
    jmp_buf full;
};

static void take(const char *part, size_t bytes, void *userdata)
{
    struct output *out = userdata;
    if (bytes >= out->cap - out->used)
        longjmp(out->full, 1);
    memcpy(out->text + out->used, part, bytes);
    out->used += bytes;
}

static bool demangle_with(int (*demangler)(const char *, int, demangle_callbackref, void *), const char *name,
                          char *text, size_t cap)
{
    struct output out = {.text = text, .used = 0, .cap = cap};
    if (setjmp(out.full) != 0 || !demangler(name, DMGL_NO_OPTS, take, &out) || out.used == 0)
        return false;
    text[out.used] = 0;
    return true;
}

static void demangle(const char *name, char *text, size_t cap)
{
    size_t length = strnlen(name, MAX_MANGLED);
    if (name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || name[1] == '_') && length < MAX_MANGLED) {
        if (demangle_with(rust_demangle_callback, name, text, cap) ||
            (name[1] == 'Z' && demangle_with(cplus_demangle_v3_callback, name, text, cap)))
            return;
    }
    const char *version = memchr(name, '@', length);
    if (version && version != name)
        length = (size_t)(version - name);
    if (length >= cap)
        length = cap - 1;
    memcpy(text, name, length);
    text[length] = 0;
}

void gmr__demangle(const char *name, char *text, size_t cap)
{
    static const char plt[] = "@plt";
    size_t length = strnlen(name, MAX_MANGLED), mark = sizeof(plt) - 1;
    char function[MAX_MANGLED];
    demangle(name, text, cap);
    if (length <= mark || length == MAX_MANGLED || strcmp(name + length - mark, plt) != 0)
        return;
    memcpy(function, name, length - mark); /* a stub of the procedure linkage table: "function@plt" is its name */
    function[length - mark] = 0;
    demangle(function, text, cap - mark);
    memcpy(text + strlen(text), plt, sizeof(plt));
}
