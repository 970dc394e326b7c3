/*
 * symbol/cfi.c - the call-frame information of a module, for the unwinder.
 *
 * Inspector only. .eh_frame comes from the module's file; .debug_frame from there or, where the program was split, from its
 * separate debug file. The section .debug_frame is put into a small ELF image of its own, because libdw would inflate
 * every debug section of the file before it looks at this one.
 */
#include "symbol/dwarf_load.h"
#include "symbol/elf_wrap.h"

#define MAX_FRAME_BYTES ((size_t)256 << 20)

static bool debug_frame_from(struct gmr__module_data *m, struct gmr__elf_file *file, uint64_t bias)
{
    static const char *const names[] = {".debug_frame"};
    m->frame_file = gmr__elf_wrap(file, names, 1, MAX_FRAME_BYTES);
    m->frame_dwarf = m->frame_file ? gmr__dwarf_begin(m->frame_file->elf) : NULL;
    m->debug_frame = m->frame_dwarf ? dwarf_getcfi(m->frame_dwarf) : NULL;
    m->debug_frame_bias = bias;
    return m->debug_frame != NULL;
}

void gmr__module_cfi(struct gmr__modules *modules, const struct gmr__module *module, Dwarf_CFI **eh_frame,
                     uint64_t *eh_bias, Dwarf_CFI **debug_frame, uint64_t *debug_bias)
{
    struct gmr__module_data *m = (struct gmr__module_data *)module;
    (void)modules;
    if (!m->cfi_tried) {
        m->cfi_tried = true;
        struct gmr__elf_file *file = gmr__module_file(m);
        if (file) {
            m->eh_frame = dwarf_getcfi_elf(file->elf);
            if (!debug_frame_from(m, file, m->module.bias) && gmr__module_debug_file(m))
                debug_frame_from(m, m->debug, m->debug_bias);
        }
    }
    *eh_frame = m->eh_frame;
    *eh_bias = m->module.bias;
    *debug_frame = m->debug_frame;
    *debug_bias = m->debug_frame_bias;
}
