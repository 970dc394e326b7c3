/*
 * symbol/dwarf_units.c - which compilation unit and which function covers an address.
 *
 * Inspector only. Units come from .debug_aranges where it has the address, else from a table of all units' ranges, made once (clang writes
 * no .debug_aranges). The functions of a unit are indexed when a first address falls in it, so that a lookup does not walk its
 * whole tree. Every walk is bounded: in a hostile file a sibling may point backwards.
 */
#include "symbol/dwarf_units.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/dwarf_calls.h"
#include "sys/grow.h"

#define MAX_UNITS ((size_t)1 << 20)
#define MAX_DIES ((size_t)1 << 22)
#define MAX_DEPTH 32
#define MAX_RANGES 65536

bool gmr__ranges_add(struct gmr__ranges *ranges, uint64_t low, uint64_t high, uint64_t value)
{
    if (low >= high)
        return true;
    if (!GMR__GROW(ranges->list, ranges->cap, ranges->count + 1))
        return false;
    ranges->list[ranges->count++] = (struct gmr__range){low, high, value};
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct gmr__range *x = a, *y = b;
    if (x->low != y->low)
        return x->low < y->low ? -1 : 1;
    return x->high < y->high ? 1 : x->high > y->high ? -1 : 0; /* the narrower one last: it is found first */
}

void gmr__ranges_sort(struct gmr__ranges *ranges)
{
    if (ranges->count)
        qsort(ranges->list, ranges->count, sizeof(*ranges->list), compare);
}

const struct gmr__range *gmr__ranges_find(const struct gmr__ranges *ranges, uint64_t address)
{
    size_t low = 0, high = ranges->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges->list[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    /* Ranges nest or, in broken files, overlap: look a little further back. */
    for (size_t i = low, steps = 0; i > 0 && steps < 64; i--, steps++) {
        if (address < ranges->list[i - 1].high)
            return &ranges->list[i - 1];
    }
    return NULL;
}

static bool add_die_ranges(struct gmr__ranges *to, Dwarf_Die *die, uint64_t value)
{
    Dwarf_Addr base = 0, low, high;
    ptrdiff_t at = 0;
    for (unsigned n = 0; n < MAX_RANGES && (at = dwarf_ranges(die, at, &base, &low, &high)) > 0; n++) {
        if (!gmr__ranges_add(to, low, high, value))
            return false;
    }
    return true;
}

static void index_units(struct gmr__units *units)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Half version;
    uint8_t type;
    Dwarf_Die die;
    for (size_t n = 0; n < MAX_UNITS && dwarf_get_units(units->dwarf, cu, &cu, &version, &type, &die, NULL) == 0; n++) {
        if (type != DW_UT_compile && type != DW_UT_skeleton)
            continue;
        if (!add_die_ranges(&units->ranges, &die, dwarf_dieoffset(&die)))
            break;
    }
    gmr__ranges_sort(&units->ranges);
}

/* Walks the children of `die`, adds the functions that have code. Functions inside functions stand in the index as well. */
static void index_functions(struct gmr__unit *unit, Dwarf_Die *die, int depth, size_t *budget)
{
    Dwarf_Die child;
    if (depth > MAX_DEPTH || dwarf_child(die, &child) != 0)
        return;
    for (;;) {
        if (*budget == 0)
            return;
        --*budget;
        int tag = dwarf_tag(&child);
        if (tag == DW_TAG_subprogram) {
            size_t before = unit->functions.count;
            add_die_ranges(&unit->functions, &child, dwarf_dieoffset(&child));
            if (unit->functions.count > before && unit->nested)
                index_functions(unit, &child, depth + 1, budget);
        } else if (tag == DW_TAG_namespace || tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
                   tag == DW_TAG_union_type || tag == DW_TAG_module || (unit->nested && tag == DW_TAG_lexical_block)) {
            index_functions(unit, &child, depth + 1, budget);
        }
        Dwarf_Off at = dwarf_dieoffset(&child);
        if (dwarf_siblingof(&child, &child) != 0 || dwarf_dieoffset(&child) <= at)
            return;
    }
}

static void build_functions(struct gmr__unit *unit)
{
    size_t budget = MAX_DIES;
    unit->functions.count = 0;
    index_functions(unit, &unit->die, 0, &budget);
    gmr__ranges_sort(&unit->functions);
}

/* A split unit's tree lies in a .dwo file, which libdw opens by name, beside the program or where that was compiled: only if both, as far as
 * they are there, are regular files, since anything else could block. */
static void find_split(const struct gmr__units *units, struct gmr__unit *unit, Dwarf_Die *skeleton)
{
    Dwarf_Attribute attribute;
    uint8_t type;
    Dwarf_Half version;
    Dwarf_Die split;
    if (dwarf_cu_info(skeleton->cu, &version, &type, NULL, NULL, NULL, NULL, NULL) != 0 || type != DW_UT_skeleton)
        return;
    const char *name = dwarf_formstring(dwarf_attr(skeleton, DW_AT_dwo_name, &attribute));
    if (!name)
        name = dwarf_formstring(dwarf_attr(skeleton, DW_AT_GNU_dwo_name, &attribute));
    const char *directory = dwarf_formstring(dwarf_attr(skeleton, DW_AT_comp_dir, &attribute));
    bool beside = name && units->directory && gmr__is_regular(units->directory, name);
    unit->incomplete = true;
    if (!name ||
        (!beside && ((units->directory && gmr__is_there(units->directory, name)) || !gmr__is_regular(directory, name))))
        return;
    if (beside && gmr__is_there(directory, name) && !gmr__is_regular(directory, name))
        return;
    if (dwarf_cu_info(skeleton->cu, &version, &type, NULL, &split, NULL, NULL, NULL) == 0 && dwarf_tag(&split) > 0) {
        unit->die = split;
        unit->incomplete = false;
    }
}

static struct gmr__unit *unit_at(struct gmr__units *units, Dwarf_Off offset)
{
    for (size_t i = 0; i < units->count; i++) {
        if (units->list[i]->offset == offset)
            return units->list[i];
    }
    Dwarf_Die die;
    if (!GMR__GROW(units->list, units->cap, units->count + 1) || !dwarf_offdie(units->dwarf, offset, &die))
        return NULL;
    struct gmr__unit *unit = calloc(1, sizeof(*unit));
    if (!unit)
        return NULL;
    unit->offset = offset;
    unit->lines = unit->die = die;
    find_split(units, unit, &die);
    unit->language = dwarf_srclang(&unit->die);
    build_functions(unit);
    units->list[units->count++] = unit;
    return unit;
}

struct gmr__unit *gmr__units_find(struct gmr__units *units, uint64_t address)
{
    Dwarf_Aranges *aranges;
    size_t count;
    Dwarf_Off offset;
    Dwarf_Die die;
    if (dwarf_getaranges(units->dwarf, &aranges, &count) == 0 && aranges) {
        Dwarf_Arange *arange = dwarf_getarange_addr(aranges, address);
        if (arange && dwarf_getarangeinfo(arange, NULL, NULL, &offset) == 0 && dwarf_offdie(units->dwarf, offset, &die))
            return unit_at(units, dwarf_dieoffset(&die));
    }
    if (!units->indexed) {
        units->indexed = true;
        index_units(units);
    }
    const struct gmr__range *range = gmr__ranges_find(&units->ranges, address);
    return range ? unit_at(units, range->value) : NULL;
}

bool gmr__unit_function(struct gmr__unit *unit, uint64_t address, Dwarf_Die *die)
{
    const struct gmr__range *range = gmr__ranges_find(&unit->functions, address);
    if (!range && !unit->nested) { /* rare: GNU C's nested functions */
        unit->nested = true;
        build_functions(unit);
        range = gmr__ranges_find(&unit->functions, address);
    }
    if (!range)
        return false;
    Dwarf *dwarf = dwarf_cu_getdwarf(unit->die.cu);
    return dwarf && dwarf_offdie(dwarf, range->value, die) != NULL;
}

void gmr__units_free(struct gmr__units *units)
{
    for (size_t i = 0; i < units->count; i++) {
        for (size_t k = 0; k < units->list[i]->calls_count; k++) {
            free(units->list[i]->calls[k]->list);
            free(units->list[i]->calls[k]);
        }
        free(units->list[i]->calls);
        free(units->list[i]->functions.list);
        free(units->list[i]);
    }
    free(units->list);
    free(units->ranges.list);
}
