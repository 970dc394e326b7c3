/*
 * green/scan_sites.c - the return addresses behind calls of known switch routines.
 *
 * Inspector only, target running. A routine is found by its symbol; its callers by decoding: calls with a 32-bit distance to it or to a stub
 * that jumps through a slot holding its address, and calls through such a slot. A function that ends with a jump to one is one,
 * too. Only modules that name the routine are looked at. x86-64: on other machines nothing is found.
 */
#include <stdlib.h>
#include <string.h>

#include "green/peek.h"
#include "green/scan.h"

#define MAX_TEXT ((uint64_t)256 << 20)
#define MAX_NAMES ((uint64_t)16 << 20)
#define MAX_SITES 65536
#define MAX_FUNCTION 4096u
#define MAX_TAIL_JUMPS 64
#define MAX_DEPTH 4 /* functions that jump to functions that jump */

static const struct gmr__scan_routine table[GMR__SCAN_ROUTINES] = {
    {.name = "jump_fcontext", .kind = "Boost.Context fiber", .form = GMR__SCAN_FCONTEXT},
    {.name = "ontop_fcontext", .kind = "Boost.Context fiber", .form = GMR__SCAN_FCONTEXT},
    {.name = "coro_transfer", .kind = "libcoro coroutine", .form = GMR__SCAN_CORO},
    {.name = "coroutine_transfer", .kind = "Ruby fiber", .form = GMR__SCAN_CORO},
    {.name = "swapcontext", .kind = "ucontext", .form = GMR__SCAN_UCONTEXT},
};

struct text {
    struct gmr__scan *scan;
    struct gmr__peek peek;
    struct gmr__addrmap targets; /* routine or stub -> routine + 1 */
    uint64_t address;
    const unsigned char *code;
    size_t bytes;
};

/* How deep does it push? Told by how it begins; a routine that begins otherwise is one we don't understand. */
static uint32_t pc_offset(struct gmr__scan *scan, const struct gmr__scan_routine *routine)
{
    static const unsigned char pushes[] = {0x55, 0x53, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
    unsigned char code[16];
    if (routine->form == GMR__SCAN_UCONTEXT)
        return 168; /* uc_mcontext.gregs[REG_RIP] */
    if (gmr__green_read(scan->green, routine->address, code, sizeof(code)) != 0)
        return 0;
    const unsigned char *at = memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0 ? code + 4 : code;
    if (routine->form == GMR__SCAN_CORO)
        return memcmp(at, pushes, sizeof(pushes)) == 0 ? 48 : 0;
    if (memcmp(at, "\x49\x89\xd0", 3) == 0) /* ontop_fcontext: mov %rdx,%r8 first */
        at += 3;
    /* lea -0x38(%rsp),%rsp until Boost 1.80, lea -0x40(%rsp),%rsp from 1.81 on */
    if (memcmp(at, "\x48\x8d\x64\x24", 4) == 0 && (at[4] == 0xc8 || at[4] == 0xc0))
        return 256u - at[4];
    return 0;
}

static uint64_t target_of(const struct text *text, size_t at, size_t length)
{
    int32_t distance;
    memcpy(&distance, text->code + at + length - 4, 4);
    return text->address + at + length + (uint64_t)(int64_t)distance;
}

static uint64_t routine_through(struct text *text, uint64_t slot)
{
    uint64_t routine = 0;
    if (slot % 8 == 0)
        gmr__addrmap_get(&text->targets, gmr__peek_word(&text->peek, slot), &routine);
    return routine;
}

/* Stubs: an indirect jump through a slot, perhaps behind endbr64 and a bnd prefix. */
static void find_stubs(struct text *text)
{
    for (size_t i = 0; i + 6 <= text->bytes; i++) {
        if (text->code[i] != 0xff || text->code[i + 1] != 0x25)
            continue;
        uint64_t routine = routine_through(text, target_of(text, i, 6));
        if (routine == 0)
            continue;
        size_t start = i;
        if (start >= 1 && text->code[start - 1] == 0xf2)
            start--;
        gmr__addrmap_put(&text->targets, text->address + start, routine);
        if (start >= 4 && memcmp(text->code + start - 4, "\xf3\x0f\x1e\xfa", 4) == 0)
            gmr__addrmap_put(&text->targets, text->address + start - 4, routine);
    }
}

static void add_site(struct gmr__scan *scan, uint64_t site, uint64_t routine)
{
    if (!gmr__addrmap_put(&scan->sites, site, routine))
        return;
    if (scan->site_low == 0 || site < scan->site_low)
        scan->site_low = site;
    if (site > scan->site_high)
        scan->site_high = site;
}

static void find_calls(struct text *text)
{
    uint64_t routine;
    for (size_t i = 0; i + 6 <= text->bytes; i++) {
        if (text->code[i] == 0xe8 && gmr__addrmap_get(&text->targets, target_of(text, i, 5), &routine))
            add_site(text->scan, text->address + i + 5, routine);
        else if (text->code[i] == 0xff && text->code[i + 1] == 0x15 &&
                 (routine = routine_through(text, target_of(text, i, 6))) != 0)
            add_site(text->scan, text->address + i + 6, routine);
    }
}

/* Where the function begins that has its jump at `at`: what is called by its address, as near in front of it as may be. */
static size_t function_around(const struct text *text, size_t at)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i + 5 <= text->bytes; i++) {
        if (text->code[i] != 0xe8)
            continue;
        uint64_t target = target_of(text, i, 5) - text->address;
        if (target <= at && at - target < MAX_FUNCTION && (best == SIZE_MAX || target > best))
            best = (size_t)target;
    }
    return best;
}

/* Jumps out of a function to a routine: its stack is then as it was called, so its callers' return addresses are sites. */
static bool find_tail_jumps(struct text *text)
{
    bool found = false;
    uint64_t routine;
    for (size_t i = 0, count = 0; i + 5 <= text->bytes && count < MAX_TAIL_JUMPS; i++) {
        if (text->code[i] != 0xe9 || !gmr__addrmap_get(&text->targets, target_of(text, i, 5), &routine))
            continue;
        count++;
        size_t function = function_around(text, i);
        if (function != SIZE_MAX && !gmr__addrmap_get(&text->targets, text->address + function, NULL))
            found |= gmr__addrmap_put(&text->targets, text->address + function, routine);
    }
    return found;
}

static void see_text(struct text *text, const struct gmr__map *map)
{
    uint64_t bytes = map->end - map->start;
    unsigned char *code = bytes <= MAX_TEXT ? malloc(bytes) : NULL;
    struct gmr__green_piece piece = {.address = map->start, .to = code, .bytes = (uint32_t)bytes};
    if (!code)
        return;
    gmr__green_read_many(text->scan->green, &piece, 1);
    text->address = map->start;
    text->code = code;
    text->bytes = piece.got;
    find_stubs(text);
    for (int depth = 0; depth < MAX_DEPTH && find_tail_jumps(text); depth++)
        continue;
    find_calls(text);
    free(code);
}

/* glibc names swapcontext and calls none of the routines: two megabytes of text that every program has. */
static bool is_glibc(const char *path)
{
    const char *name = strrchr(path, '/');
    return name && (strncmp(name, "/libc.so.6", 10) == 0 || strncmp(name, "/libc-2.", 8) == 0);
}

/* Does the module's first mapping, where its dynamic strings are, hold one of the names, or is one of the routines in it? */
static bool is_concerned(const struct gmr__scan *scan, const struct gmr__map *first, uint64_t end)
{
    bool concerned = false;
    uint64_t bytes = first->end - first->start < MAX_NAMES ? first->end - first->start : MAX_NAMES;
    char *names = malloc(bytes);
    struct gmr__green_piece piece = {.address = first->start, .to = names, .bytes = (uint32_t)bytes};
    if (names)
        gmr__green_read_many(scan->green, &piece, 1);
    for (size_t i = 0; i < GMR__SCAN_ROUTINES; i++) {
        const struct gmr__scan_routine *routine = &scan->routines[i];
        if (routine->pc_offset == 0)
            continue;
        concerned |= routine->address >= first->start && routine->address < end;
        concerned |= names && memmem(names, piece.got, routine->name, strlen(routine->name) + 1) != NULL;
    }
    free(names);
    return concerned;
}

bool gmr__scan_find_sites(struct gmr__scan *scan)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(scan->green);
    struct text text = {.scan = scan};
    memcpy(scan->routines, table, sizeof(table));
    gmr__addrmap_init(&scan->sites, MAX_SITES);
    gmr__addrmap_init(&text.targets, MAX_SITES);
    gmr__peek_init(&text.peek, scan->green);
    bool any = false;
    for (size_t i = 0; i < GMR__SCAN_ROUTINES; i++) {
        struct gmr__scan_routine *routine = &scan->routines[i];
        if (gmr__green_symbol(scan->green, NULL, routine->name, &routine->address, NULL) != 0)
            continue;
        routine->pc_offset = pc_offset(scan, routine);
        if (routine->pc_offset != 0)
            any |= gmr__addrmap_put(&text.targets, routine->address, i + 1);
        else
            gmr__green_note(scan->green, "%s begins in a way that gmr does not know: its green threads are not found",
                            routine->name);
    }
    for (size_t i = 0; any && i < snapshot->map_count && !gmr__green_out_of_time(scan->green); i++) {
        const struct gmr__map *first = &snapshot->maps[i];
        if (first->offset != 0 || first->path[0] != '/')
            continue;
        size_t last = i;
        while (last + 1 < snapshot->map_count && strcmp(snapshot->maps[last + 1].path, first->path) == 0)
            last++;
        if (!is_glibc(first->path) && is_concerned(scan, first, snapshot->maps[last].end))
            for (size_t k = i; k <= last; k++)
                if (snapshot->maps[k].exec && snapshot->maps[k].read)
                    see_text(&text, &snapshot->maps[k]);
        i = last;
    }
    gmr__addrmap_free(&text.targets);
    gmr__peek_forget(&text.peek);
    return scan->sites.used > 0;
}
