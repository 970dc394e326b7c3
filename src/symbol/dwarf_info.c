/*
 * symbol/dwarf_info.c - address -> functions, inlined ones included, and lines, by a module's DWARF.
 *
 * Inspector only. The real function comes from the unit's index, then its tree is walked down along the blocks that hold the address. A
 * frame's name is what gdb prints: the linkage name demangled, else the name with its namespaces and classes before it.
 */
#include "symbol/dwarf_info.h"

#include <dwarf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbol/demangle.h"
#include "symbol/dwarf_calls.h"
#include "symbol/dwarf_load.h"
#include "symbol/dwarf_units.h"
#include "sys/grow.h"

#define MAX_CHILDREN 100000
#define MAX_SCOPES 16

struct gmr__dwarf_info {
    struct gmr__dwarf dwarf;
    struct gmr__units units;
    char directory[PATH_MAX];
};

/* As libdw finds it out. It does not for images in memory. */
static void set_directory(struct gmr__dwarf_info *info, const struct gmr__elf_file *file)
{
    char link[64];
    if (info->dwarf.wrapped || file->fd < 0 || file->mapped.bytes)
        return;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
    ssize_t bytes = readlink(link, info->directory, sizeof(info->directory) - 1);
    char *slash = bytes > 0 ? memrchr(info->directory, '/', (size_t)bytes) : NULL;
    if (!slash)
        return;
    *slash = '\0';
    info->units.directory = info->directory;
}

struct gmr__dwarf_info *gmr__dwarf_info_new(struct gmr__module_data *module)
{
    struct gmr__dwarf_info *info = calloc(1, sizeof(*info));
    if (!info)
        return NULL;
    if (!gmr__dwarf_load(&info->dwarf, module)) {
        gmr__dwarf_unload(&info->dwarf);
        free(info);
        return NULL;
    }
    info->units.dwarf = info->dwarf.dwarf;
    set_directory(info, module->debug ? module->debug : module->file);
    return info;
}

void gmr__dwarf_info_free(struct gmr__dwarf_info *info)
{
    if (!info)
        return;
    gmr__units_free(&info->units);
    gmr__dwarf_unload(&info->dwarf);
    free(info);
}

static bool qualifies(int language)
{
    switch (language) {
    case DW_LANG_C_plus_plus:
    case DW_LANG_C_plus_plus_03:
    case DW_LANG_C_plus_plus_11:
    case DW_LANG_C_plus_plus_14:
    case DW_LANG_Rust:
        return true;
    default:
        return false;
    }
}

/* The declaration or abstract instance that has the name and stands in the namespace. */
static void follow(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Die target;
    for (int i = 0; i < 4; i++) {
        Dwarf_Attribute *found = dwarf_attr(die, DW_AT_abstract_origin, &attribute);
        if (!found)
            found = dwarf_attr(die, DW_AT_specification, &attribute);
        if (!found || !dwarf_formref_die(found, &target))
            return;
        *die = target;
    }
}

static size_t put(char *text, size_t used, size_t cap, const char *part)
{
    size_t length = strlen(part);
    if (length >= cap - used)
        length = cap - used - 1;
    memcpy(text + used, part, length);
    text[used + length] = 0;
    return used + length;
}

static void put_name(Dwarf_Die *die, int language, int depth, char *text, size_t cap);

/* "space::Class::" before a name that has no linkage name. */
static size_t put_scopes(Dwarf_Die *function, int language, int depth, char *text, size_t cap)
{
    Dwarf_Die die = *function, *scopes = NULL;
    size_t used = 0;
    follow(&die);
    int count = dwarf_getscopes_die(&die, &scopes);
    for (int i = count < MAX_SCOPES ? count - 1 : MAX_SCOPES; i > 0; i--) {
        int tag = dwarf_tag(&scopes[i]);
        const char *name = dwarf_diename(&scopes[i]);
        if (tag == DW_TAG_namespace) {
            used = put(text, used, cap, name ? name : "(anonymous namespace)");
        } else if (tag == DW_TAG_subprogram && name) { /* a class within a function, most often a lambda's */
            put_name(&scopes[i], language, depth + 1, text, cap);
            used = strlen(text);
        } else if (tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type ||
                   tag == DW_TAG_enumeration_type) {
            used = put(text, used, cap, name ? name : "{lambda}");
        } else {
            continue;
        }
        used = put(text, used, cap, "::");
    }
    if (count > 0)
        free(scopes);
    return used;
}

static void put_name(Dwarf_Die *die, int language, int depth, char *text, size_t cap)
{
    Dwarf_Attribute attribute;
    text[0] = 0;
    const char *linkage = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute));
    if (!linkage)
        linkage = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute));
    if (linkage && linkage[0]) {
        gmr__demangle(linkage, text, cap);
        return;
    }
    const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_name, &attribute));
    if (!name)
        return;
    size_t used = qualifies(language) && depth < 4 ? put_scopes(die, language, depth, text, cap) : 0;
    put(text, used, cap, name);
}

/* The path of inlined calls from the function down to address; scopes[0] is the function. */
static int descend(Dwarf_Die *function, uint64_t address, Dwarf_Die *scopes)
{
    Dwarf_Die die = *function, child;
    int count = 0, depth = 0;
    scopes[count++] = die;
    while (depth++ < 1000 && dwarf_child(&die, &child) == 0) {
        bool found = false;
        for (int n = 0; n < MAX_CHILDREN; n++) {
            int tag = dwarf_tag(&child);
            if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
                 tag == DW_TAG_catch_block || tag == DW_TAG_with_stmt) &&
                dwarf_haspc(&child, address) == 1) {
                found = true;
                break;
            }
            Dwarf_Off at = dwarf_dieoffset(&child);
            if (dwarf_siblingof(&child, &child) != 0 || dwarf_dieoffset(&child) <= at)
                break;
        }
        if (!found)
            break;
        die = child;
        if (dwarf_tag(&child) == DW_TAG_inlined_subroutine) {
            if (count == GMR__MAX_INLINES)
                break;
            scopes[count++] = child;
        }
    }
    return count;
}

static int number(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    if (dwarf_formudata(dwarf_attr(die, name, &attribute), &value) != 0 || value > INT32_MAX)
        return 0;
    return (int)value;
}

/* Where the inlined function `scope` was called from. */
static void call_place(struct gmr__unit *unit, Dwarf_Die *scope, struct gmr__dwarf_frame *frame)
{
    Dwarf_Files *files;
    size_t count;
    int file = number(scope, DW_AT_call_file);
    frame->line = number(scope, DW_AT_call_line);
    frame->column = number(scope, DW_AT_call_column);
    frame->file = NULL;
    if (dwarf_hasattr(scope, DW_AT_call_file) && dwarf_getsrcfiles(&unit->die, &files, &count) == 0 &&
        (size_t)file < count)
        frame->file = dwarf_filesrc(files, (size_t)file, NULL, NULL);
}

static bool line_at(struct gmr__unit *unit, uint64_t address, struct gmr__dwarf_frame *frame)
{
    Dwarf_Line *line = dwarf_getsrc_die(&unit->lines, address);
    frame->file = NULL;
    frame->line = frame->column = 0;
    if (!line || dwarf_lineno(line, &frame->line) != 0 || frame->line <= 0)
        return false;
    dwarf_linecol(line, &frame->column);
    frame->file = dwarf_linesrc(line, NULL, NULL);
    return true;
}

/* Where the function begins: the range with its entry, unless the address lies in another (a cold part split off). */
static uint64_t start_of(Dwarf_Die *function, uint64_t address)
{
    Dwarf_Addr entry, base = 0, low, high, holding = 0;
    ptrdiff_t at = 0;
    for (int n = 0; n < 1000 && (at = dwarf_ranges(function, at, &base, &low, &high)) > 0; n++) {
        if (address >= low && address < high)
            holding = low;
    }
    if (dwarf_entrypc(function, &entry) == 0 && entry <= address && (!holding || entry >= holding))
        return entry;
    return holding;
}

bool gmr__dwarf_info_find(struct gmr__dwarf_info *info, uint64_t address,
                          void (*each)(void *userdata, const struct gmr__dwarf_frame *frame), void *userdata)
{
    Dwarf_Die scopes[GMR__MAX_INLINES], function;
    uint64_t entry;
    struct gmr__dwarf_frame frame = {0};
    address -= info->dwarf.delta;
    struct gmr__unit *unit = gmr__units_find(&info->units, address);
    if (!unit)
        return false;
    Dwarf_Attribute attribute;
    frame.directory = dwarf_formstring(dwarf_attr(&unit->lines, DW_AT_comp_dir, &attribute));
    bool line = line_at(unit, address, &frame);
    frame.incomplete = unit->incomplete;
    if (!gmr__unit_function(unit, address, &function)) {
        if (line)
            each(userdata, &frame);
        return line;
    }
    for (int i = descend(&function, address, scopes) - 1; i >= 0; i--) {
        frame.inlined = i > 0;
        frame.start = i > 0 ? 0 : start_of(&function, address) + info->dwarf.delta;
        if (i == 0 && gmr__die_entry(&function, &entry))
            frame.entry = entry + info->dwarf.delta;
        put_name(&scopes[i], unit->language, 0, frame.function, sizeof(frame.function));
        each(userdata, &frame);
        call_place(unit, &scopes[i], &frame);
    }
    return true;
}

const struct gmr__call_sites *gmr__dwarf_info_calls(struct gmr__dwarf_info *info, uint64_t address)
{
    Dwarf_Die function;
    address -= info->dwarf.delta;
    struct gmr__unit *unit = gmr__units_find(&info->units, address);
    if (!unit || !gmr__unit_function(unit, address, &function))
        return NULL;
    for (size_t i = 0; i < unit->calls_count; i++) {
        if (unit->calls[i]->function == dwarf_dieoffset(&function))
            return unit->calls[i];
    }
    if (!GMR__GROW(unit->calls, unit->calls_cap, unit->calls_count + 1))
        return NULL;
    struct gmr__call_sites *sites = malloc(sizeof(*sites));
    if (!sites || !gmr__dwarf_calls_read(&function, sites)) {
        if (sites)
            free(sites->list);
        free(sites);
        return NULL;
    }
    unit->calls[unit->calls_count++] = sites;
    return sites;
}

uint64_t gmr__dwarf_info_delta(const struct gmr__dwarf_info *info)
{
    return info->dwarf.delta;
}
