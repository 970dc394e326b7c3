/*
 * green/go_dwarf.c - the layout of a Go runtime that is not in the table, from the program's own debug information.
 *
 * Inspector only (libdw). Called by go_find.c for a release that is newer than gmr, and by the test that compares the table with real
 * programs. What a struct does not have stays 0; without what goroutines can't be read without, there is no layout.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <string.h>

#include "green/go.h"

#define MAX_OFFSET 4096

/* The child of `parent` with this tag and name. */
static bool find_child(Dwarf_Die *parent, int tag, const char *name, Dwarf_Die *found)
{
    if (dwarf_child(parent, found) != 0)
        return false;
    do {
        const char *own = dwarf_diename(found);
        if (dwarf_tag(found) == tag && own && strcmp(own, name) == 0)
            return true;
    } while (dwarf_siblingof(found, found) == 0);
    return false;
}

/* Offset of a member, 0 if there is none. *type: its own, for a member of a member. */
static uint16_t offset_of(Dwarf_Die *structure, const char *name, Dwarf_Die *type)
{
    Dwarf_Die member;
    Dwarf_Attribute attribute;
    Dwarf_Word offset;
    if (!find_child(structure, DW_TAG_member, name, &member) ||
        !dwarf_attr(&member, DW_AT_data_member_location, &attribute) || dwarf_formudata(&attribute, &offset) != 0 ||
        offset > MAX_OFFSET)
        return 0;
    if (type && !(dwarf_attr(&member, DW_AT_type, &attribute) && dwarf_formref_die(&attribute, type) &&
                  dwarf_peel_type(type, type) == 0))
        return 0;
    return (uint16_t)offset;
}

static void read_g(Dwarf_Die *g, struct gmr__go_layout *layout)
{
    Dwarf_Die gobuf;
    layout->m = offset_of(g, "m", NULL);
    uint16_t sched = offset_of(g, "sched", &gobuf);
    if (sched != 0) {
        layout->sched_sp = (uint16_t)(sched + offset_of(&gobuf, "sp", NULL));
        layout->sched_pc = (uint16_t)(sched + offset_of(&gobuf, "pc", NULL));
    }
    layout->syscall_sp = offset_of(g, "syscallsp", NULL);
    layout->syscall_pc = offset_of(g, "syscallpc", NULL);
    layout->status = offset_of(g, "atomicstatus", NULL);
    layout->id = offset_of(g, "goid", NULL);
    layout->wait_since = offset_of(g, "waitsince", NULL);
    layout->wait_reason = offset_of(g, "waitreason", NULL);
    layout->ran = offset_of(g, "trackingSeq", NULL);
    layout->created_at = offset_of(g, "gopc", NULL);
    layout->start = offset_of(g, "startpc", NULL);
}

static bool fits(const struct gmr__go_layout *layout)
{
    const uint16_t all[] = {layout->m,          layout->sched_sp,   layout->sched_pc,    layout->syscall_sp,
                            layout->syscall_pc, layout->status,     layout->id,          layout->wait_since,
                            layout->ran,        layout->created_at, layout->wait_reason, layout->start};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] > GMR__GO_G_BYTES - 8)
            return false;
    return layout->sched_pc != layout->sched_sp && layout->m && layout->status && layout->id && layout->syscall_sp &&
           layout->m_procid;
}

static bool read_unit(Dwarf_Die *unit, struct gmr__go_layout *layout)
{
    Dwarf_Die g, m, module;
    *layout = (struct gmr__go_layout){0};
    if (!find_child(unit, DW_TAG_structure_type, "runtime.g", &g) ||
        !find_child(unit, DW_TAG_structure_type, "runtime.m", &m))
        return false;
    read_g(&g, layout);
    layout->m_procid = offset_of(&m, "procid", NULL);
    layout->m_signal_g = offset_of(&m, "gsignal", NULL);
    layout->m_vdso_sp = offset_of(&m, "vdsoSP", NULL);
    layout->m_vdso_pc = offset_of(&m, "vdsoPC", NULL);
    if (find_child(unit, DW_TAG_structure_type, "runtime.moduledata", &module)) {
        layout->module_text = offset_of(&module, "text", NULL);
        layout->module_functions = offset_of(&module, "gofunc", NULL);
    }
    return fits(layout);
}

bool gmr__go_layout_from_dwarf(void *elf, struct gmr__go_layout *layout)
{
    Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
    Dwarf_CU *cu = NULL;
    Dwarf_Die unit;
    bool found = false;
    while (dwarf && !found && dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
        const char *name = dwarf_diename(&unit);
        found = name && strcmp(name, "runtime") == 0 && read_unit(&unit, layout);
    }
    dwarf_end(dwarf);
    return found;
}
