/*
 * symbol/dwarf_calls.c - the call sites of a function: DW_TAG_call_site (DWARF 5) and its GNU forerunner.
 *
 * Inspector only. They stand anywhere in the function's tree, inlined functions included. All walks are bounded.
 */
#include "symbol/dwarf_calls.h"

#include <dwarf.h>
#include <stdlib.h>

#include "sys/grow.h"

#define MAX_SITES 100000
#define MAX_DEPTH 200

static bool flag(Dwarf_Die *die, unsigned name, unsigned gnu_name)
{
    Dwarf_Attribute attribute;
    bool value = false;
    Dwarf_Attribute *found = dwarf_attr(die, name, &attribute);
    if (!found)
        found = dwarf_attr(die, gnu_name, &attribute);
    return found && dwarf_formflag(found, &value) == 0 && value;
}

bool gmr__die_entry(Dwarf_Die *function, uint64_t *entry)
{
    Dwarf_Addr found, base = 0, low, high;
    if (dwarf_entrypc(function, &found) != 0) {
        /* Of a function in several parts gcc names none; the first is where it begins. */
        if (dwarf_ranges(function, 0, &base, &low, &high) <= 0)
            return false;
        found = low;
    }
    *entry = found;
    return true;
}

/* Entry or linkage name of what is called directly; neither where the call goes through a pointer. */
static void find_target(Dwarf_Die *die, struct gmr__call_site *site)
{
    Dwarf_Attribute attribute;
    Dwarf_Die target;
    bool declaration = false;
    Dwarf_Attribute *origin = dwarf_attr(die, DW_AT_call_origin, &attribute);
    if (!origin)
        origin = dwarf_attr(die, DW_AT_abstract_origin, &attribute);
    if (!origin || !dwarf_formref_die(origin, &target))
        return;
    if (gmr__die_entry(&target, &site->target))
        return;
    /* Link-time optimisation puts a DIE between that only refers to the declaration. */
    if (!dwarf_hasattr_integrate(&target, DW_AT_specification) &&
        dwarf_formflag(dwarf_attr_integrate(&target, DW_AT_declaration, &attribute), &declaration) == 0 &&
        declaration) {
        site->name = dwarf_formstring(dwarf_attr_integrate(&target, DW_AT_linkage_name, &attribute));
        if (!site->name)
            site->name = dwarf_formstring(dwarf_attr_integrate(&target, DW_AT_name, &attribute));
    }
}

static bool add(Dwarf_Die *die, struct gmr__call_sites *sites)
{
    Dwarf_Attribute attribute;
    struct gmr__call_site site = {.tail = flag(die, DW_AT_call_tail_call, DW_AT_GNU_tail_call)};
    Dwarf_Attribute *pc = dwarf_attr(die, DW_AT_call_return_pc, &attribute);
    if (!pc)
        pc = dwarf_attr(die, DW_AT_low_pc, &attribute);
    if (!pc || dwarf_formaddr(pc, &site.return_pc) != 0)
        return true;
    find_target(die, &site);
    if (!GMR__GROW_UP_TO(sites->list, sites->cap, sites->count + 1, MAX_SITES))
        return false;
    sites->list[sites->count++] = site;
    return true;
}

static bool walk(Dwarf_Die *die, struct gmr__call_sites *sites, int depth)
{
    Dwarf_Die child;
    if (depth > MAX_DEPTH || dwarf_child(die, &child) != 0)
        return true;
    for (;;) {
        int tag = dwarf_tag(&child);
        if (tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site) {
            if (!add(&child, sites))
                return false;
        } else if (tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_try_block ||
                   tag == DW_TAG_catch_block) {
            if (!walk(&child, sites, depth + 1))
                return false;
        }
        Dwarf_Off at = dwarf_dieoffset(&child);
        if (dwarf_siblingof(&child, &child) != 0 || dwarf_dieoffset(&child) <= at)
            return true;
    }
}

bool gmr__dwarf_calls_read(Dwarf_Die *function, struct gmr__call_sites *sites)
{
    *sites = (struct gmr__call_sites){.function = dwarf_dieoffset(function)};
    sites->complete = flag(function, DW_AT_call_all_calls, DW_AT_GNU_all_call_sites) ||
                      flag(function, DW_AT_call_all_tail_calls, DW_AT_GNU_all_tail_call_sites);
    return walk(function, sites, 0);
}
