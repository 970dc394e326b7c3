/*
 * symbol/dwarf_load.c - opens the DWARF of a module for libdw: from its debug file or itself, with dwz's shared file.
 *
 * Inspector only. Compressed sections are inflated here, only those that names and lines need (elf_wrap.c).
 */
#include "symbol/dwarf_load.h"

#include <stdlib.h>

#include "symbol/elf_wrap.h"

#define MAX_DEBUG_BYTES ((size_t)2 << 30)

static const char *const needed[] = {
    ".debug_info",     ".debug_abbrev", ".debug_str",   ".debug_line",        ".debug_line_str", ".debug_ranges",
    ".debug_rnglists", ".debug_addr",   ".debug_types", ".debug_str_offsets", ".debug_aranges",
};

static bool compressed(struct gmr__elf_file *file)
{
    GElf_Shdr shdr;
    if (gmr__elf_file_section(file, ".debug_info", &shdr))
        return shdr.sh_flags & SHF_COMPRESSED;
    return gmr__elf_file_section(file, ".zdebug_info", &shdr) != NULL;
}

/* By default libdw ends the program with 1, which for gmr means a report that is there; an abort is told by who calls us. */
__attribute__((noreturn)) static void out_of_memory(void)
{
    abort();
}

Dwarf *gmr__dwarf_begin(Elf *elf)
{
    Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
    if (dwarf)
        dwarf_new_oom_handler(dwarf, out_of_memory);
    return dwarf;
}

static Dwarf *begin(struct gmr__elf_file *file, struct gmr__elf_file **wrapped)
{
    if (compressed(file)) {
        *wrapped = gmr__elf_wrap(file, needed, sizeof(needed) / sizeof(needed[0]), MAX_DEBUG_BYTES);
        if (!*wrapped)
            return NULL;
        file = *wrapped;
    }
    return gmr__dwarf_begin(file->elf);
}

bool gmr__dwarf_load(struct gmr__dwarf *dwarf, struct gmr__module_data *m)
{
    struct gmr__elf_file *file = gmr__module_file(m), *debug = gmr__module_debug_file(m);
    *dwarf = (struct gmr__dwarf){.delta = debug ? m->debug_bias - m->module.bias : 0};
    if (debug)
        file = debug;
    dwarf->dwarf = file ? begin(file, &dwarf->wrapped) : NULL;
    if (!dwarf->dwarf)
        return false;
    struct gmr__elf_file *alt = gmr__module_alt_file(m);
    dwarf->alt = alt ? begin(alt, &dwarf->wrapped_alt) : NULL;
    if (dwarf->alt)
        dwarf_setalt(dwarf->dwarf, dwarf->alt);
    return true;
}

void gmr__dwarf_unload(struct gmr__dwarf *dwarf)
{
    dwarf_end(dwarf->dwarf);
    dwarf_end(dwarf->alt);
    gmr__elf_file_close(dwarf->wrapped);
    gmr__elf_file_close(dwarf->wrapped_alt);
}
