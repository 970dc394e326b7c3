/*
 * green/scan_sites.c - the return addresses behind calls of known switch routines.
 *
 * Inspector only, target running. A routine is found by its symbol; its callers by decoding: calls with a 32-bit distance to it or to a stub
 * that jumps through a slot holding its address, and calls through such a slot. A function that ends with a jump to one is one,
 * too. Only modules that name the routine are looked at. x86-64: on other machines nothing is found.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/peek.h"
#include "green/scan.h"
#include "sys/sys.h"

#define MAX_TEXT ((uint64_t)256 << 20)
#define MAX_NAMES ((uint64_t)16 << 20)
#define MAX_SITES 65536
#define MAX_JUMPS 1000000u
#define MAX_FUNCTION 4096u
#define MAX_TAIL_JUMPS 64
#define MAX_MAKECONTEXT 1024
#define SMALL_PAGES 16384u /* 64 MiB */
#define MAX_DEPTH 4        /* functions that jump to functions that jump */

static const struct gmr__scan_routine table[GMR__SCAN_ROUTINES] = {
    {.name = "jump_fcontext", .kind = "Boost.Context fiber", .form = GMR__SCAN_FCONTEXT},
    {.name = "ontop_fcontext", .kind = "Boost.Context fiber", .form = GMR__SCAN_FCONTEXT},
    {.name = "coro_transfer", .kind = "libcoro coroutine", .form = GMR__SCAN_CORO},
    {.name = "coroutine_transfer", .kind = "Ruby fiber", .form = GMR__SCAN_CORO},
    {.name = "swapcontext", .kind = "ucontext", .form = GMR__SCAN_UCONTEXT},
    {.name = "_setjmp", .form = GMR__SCAN_SETJMP},
    {.name = "setjmp", .form = GMR__SCAN_SETJMP},
    {.name = "__sigsetjmp", .form = GMR__SCAN_SETJMP},
    {.name = "_longjmp", .form = GMR__SCAN_LONGJMP},
    {.name = "longjmp", .form = GMR__SCAN_LONGJMP},
    {.name = "siglongjmp", .form = GMR__SCAN_LONGJMP},
    {.name = "__longjmp_chk", .form = GMR__SCAN_LONGJMP},
};

struct text {
    struct gmr__scan *scan;
    struct gmr__peek peek;
    struct gmr__addrmap targets; /* routine or stub -> routine + 1 */
    uint64_t address;
    const unsigned char *code;
    size_t bytes;
    bool jumps_known, jumps;
};

static bool is_jump(const struct gmr__scan_routine *routine)
{
    return routine->form == GMR__SCAN_SETJMP || routine->form == GMR__SCAN_LONGJMP;
}

/* How deep does it push? Told by how it begins; a routine that begins otherwise is one we don't understand. */
static uint32_t pc_offset(struct gmr__scan *scan, const struct gmr__scan_routine *routine)
{
    static const unsigned char pushes[] = {0x55, 0x53, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
    unsigned char code[16];
    if (routine->form == GMR__SCAN_UCONTEXT)
        return 168; /* uc_mcontext.gregs[REG_RIP] */
    if (is_jump(routine))
        return 56; /* JB_PC * 8 */
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
    if (is_jump(&scan->routines[routine - 1])) {
        if (scan->jumps.wanted)
            gmr__scan_add_jump(scan, site, scan->routines[routine - 1].form);
        return;
    }
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

/* A jump through a slot is a stub of its own, unless there is a function in front of it without another such jump in between. */
static bool is_behind_stub(const struct text *text, size_t function, size_t at)
{
    for (size_t i = function; i < at; i++)
        if (text->code[i] == 0xff && text->code[i + 1] == 0x25)
            return true;
    return false;
}

/* Jumps out of a function to a routine: its stack is then as it was called, so its callers' return addresses are sites. */
static bool find_tail_jumps(struct text *text)
{
    bool found = false;
    uint64_t routine;
    for (size_t i = 0, count = 0; i + 6 <= text->bytes && count < MAX_TAIL_JUMPS; i++) {
        bool direct = text->code[i] == 0xe9 && gmr__addrmap_get(&text->targets, target_of(text, i, 5), &routine);
        if (!direct && (text->code[i] != 0xff || text->code[i + 1] != 0x25 ||
                        (routine = routine_through(text, target_of(text, i, 6))) == 0))
            continue;
        count++;
        size_t function = function_around(text, i);
        if (function != SIZE_MAX && !gmr__addrmap_get(&text->targets, text->address + function, NULL) &&
            (direct || !is_behind_stub(text, function, i)))
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

static bool is_called(const char *path, const char *start)
{
    const char *name = strrchr(path, '/');
    return name && strncmp(name + 1, start, strlen(start)) == 0;
}

/* glibc names swapcontext and calls none of the routines: two megabytes of text that every program has. */
static bool is_glibc(const char *path)
{
    return is_called(path, "libc.so.6") || is_called(path, "libc-2.");
}

static bool has_name(const char *names, size_t bytes, const char *name)
{
    return memmem(names, bytes, name, strlen(name) + 1) != NULL;
}

/* A search for jmp_bufs costs a pass over all memory; where only sigaltstack hints at stacks of the program's own it has to be a short one. */
static bool is_small(struct gmr__green *green)
{
    char path[64], text[128];
    unsigned long total, resident, shared;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)gmr__green_snapshot(green)->pid);
    return gmr__read_file(path, text, sizeof(text)) > 0 &&
           sscanf(text, "%lu %lu %lu", &total, &resident, &shared) == 3 && resident - shared <= SMALL_PAGES;
}

/*
 * setjmp alone is everywhere. With glibc's a stack of one's own is only entered after makecontext or in a handler on an alternate one (or by
 * assembly, which then mostly switches, too).
 */
static bool jumps_between_stacks(struct gmr__green *green, const char *names, size_t bytes)
{
    if (!has_name(names, bytes, "_setjmp") && !has_name(names, bytes, "__sigsetjmp") &&
        !has_name(names, bytes, "setjmp"))
        return false;
    return has_name(names, bytes, "makecontext") || (has_name(names, bytes, "sigaltstack") && is_small(green));
}

struct concern {
    bool switches, jumps;
};

/* Does the module's first mapping, where its dynamic strings are, hold one of the names, or is one of the routines in it? */
static struct concern concern_of(const struct gmr__scan *scan, const struct gmr__map *first, uint64_t end)
{
    struct concern concern = {0};
    uint64_t bytes = first->end - first->start < MAX_NAMES ? first->end - first->start : MAX_NAMES;
    char *names = malloc(bytes);
    struct gmr__green_piece piece = {.address = first->start, .to = names, .bytes = (uint32_t)bytes};
    if (names)
        gmr__green_read_many(scan->green, &piece, 1);
    for (size_t i = 0; i < GMR__SCAN_ROUTINES; i++) {
        const struct gmr__scan_routine *routine = &scan->routines[i];
        if (routine->pc_offset == 0 || is_jump(routine))
            continue;
        concern.switches |= routine->address >= first->start && routine->address < end;
        concern.switches |= names && has_name(names, piece.got, routine->name);
    }
    /* OpenSSL has coroutines for engines that hardly anybody uses, and every server has OpenSSL. */
    concern.jumps =
        names && !is_called(first->path, "libcrypto.so") && jumps_between_stacks(scan->green, names, piece.got);
    free(names);
    return concern;
}

static bool find_routines(struct text *text, bool jumps)
{
    struct gmr__scan *scan = text->scan;
    bool any = false;
    for (size_t i = 0; i < GMR__SCAN_ROUTINES; i++) {
        struct gmr__scan_routine *routine = &scan->routines[i];
        if (is_jump(routine) != jumps ||
            gmr__green_symbol(scan->green, NULL, routine->name, &routine->address, NULL) != 0)
            continue;
        uint64_t php; /* which brings Boost's routines along */
        if (routine->form == GMR__SCAN_FCONTEXT &&
            gmr__green_symbol(scan->green, NULL, "zend_fiber_switch_context", &php, NULL) == 0)
            routine->kind = "PHP fiber";
        routine->pc_offset = pc_offset(scan, routine);
        if (routine->pc_offset != 0)
            any |= gmr__addrmap_put(&text->targets, routine->address, i + 1);
        else
            gmr__green_note(scan->green, "%s begins in a way that gmr does not know: its green threads are not found",
                            routine->name);
    }
    return any;
}

/* makecontext loads its address; it begins with mov %rbx,%rsp, since makecontext has %rbx point to what is left of the stack. */
static void find_start_context(struct gmr__scan *scan)
{
    unsigned char code[MAX_MAKECONTEXT], start[8];
    uint64_t address;
    if (gmr__green_symbol(scan->green, NULL, "makecontext", &address, NULL) != 0)
        return;
    struct gmr__green_piece piece = {.address = address, .to = code, .bytes = sizeof(code)};
    gmr__green_read_many(scan->green, &piece, 1);
    struct text text = {.address = address, .code = code, .bytes = piece.got};
    for (size_t i = 0; i + 7 <= piece.got && scan->start_context == 0; i++) {
        if ((code[i] & 0xfb) != 0x48 || code[i + 1] != 0x8d || (code[i + 2] & 0xc7) != 0x05)
            continue;
        uint64_t target = target_of(&text, i, 7);
        if (gmr__green_is_code(scan->green, target) &&
            gmr__green_read(scan->green, target, start, sizeof(start)) == 0 &&
            memcmp(memcmp(start, "\xf3\x0f\x1e\xfa", 4) == 0 ? start + 4 : start, "\x48\x89\xdc", 3) == 0)
            scan->start_context = target;
    }
}

/* Code of one module: its mappings are snapshot->maps[first .. last]. */
static void see_module(struct text *text, size_t first, size_t last)
{
    struct gmr__scan *scan = text->scan;
    const struct gmr__map *maps = gmr__green_snapshot(scan->green)->maps;
    struct concern concern = concern_of(scan, &maps[first], maps[last].end);
    if (concern.jumps && !text->jumps_known) {
        text->jumps_known = true;
        text->jumps = gmr__green_pointer_guard(scan->green, &scan->jumps.guard) == 0 && find_routines(text, true);
    }
    scan->jumps.wanted = concern.jumps && text->jumps;
    for (size_t k = first; k <= last && (concern.switches || scan->jumps.wanted); k++)
        if (maps[k].exec && maps[k].read)
            see_text(text, &maps[k]);
}

bool gmr__scan_find_sites(struct gmr__scan *scan)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(scan->green);
    struct text text = {.scan = scan};
    if (gmr__arch_pc != 16)
        return false;
    memcpy(scan->routines, table, sizeof(table));
    gmr__addrmap_init(&scan->sites, MAX_SITES);
    gmr__addrmap_init(&scan->jumps.sites, MAX_SITES);
    gmr__addrmap_init(&scan->jumps.leaves, MAX_SITES);
    gmr__addrmap_init(&scan->jumps.found, MAX_JUMPS);
    gmr__addrmap_init(&scan->jumps.stacks, MAX_JUMPS);
    gmr__addrmap_init(&text.targets, MAX_SITES);
    gmr__peek_init(&text.peek, scan->green);
    find_routines(&text, false);
    for (size_t i = 0; i < snapshot->map_count && !gmr__green_out_of_time(scan->green); i++) {
        const struct gmr__map *first = &snapshot->maps[i];
        if (first->offset != 0 || first->path[0] != '/')
            continue;
        size_t last = i;
        while (last + 1 < snapshot->map_count && strcmp(snapshot->maps[last + 1].path, first->path) == 0)
            last++;
        if (!is_glibc(first->path))
            see_module(&text, i, last);
        i = last;
    }
    gmr__addrmap_free(&text.targets);
    gmr__peek_forget(&text.peek);
    if (scan->sites.used > 0 || scan->jumps.sites.used > 0)
        find_start_context(scan);
    return scan->sites.used > 0 || scan->jumps.sites.used > 0;
}
