/*
 * green/lua_found.c - the source of Lua's coroutines in programs that know nothing of gmr.
 *
 * Inspector only. `ahead` looks on the heap for main states, once: Lua allocates a main lua_State and its global_State as one, so that the
 * first has a pointer to right behind itself, and the second one back. What a state consists of is lua.c's. States that the program itself
 * told of are the registry's, which comes first and claims them. Memory of a database's size is not searched: states in it are found by the modules' variables
 * that point to them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "green/green.h"
#include "green/lua.h"
#include "green/lua_layout.h"
#include "green/scan.h"

#define MAX_STATES 256
#define LARGE ((uint64_t)512 << 20)
#define LUA_VERSIONS 4

struct lua_found {
    struct gmr__green *green;
    struct gmr__lua *lua;
    const struct gmr__lua_layout *layouts[LUA_VERSIONS];
    size_t layout_count;
    uint64_t states[MAX_STATES];
    size_t count;
    bool searched, cut;
};

static bool has(struct gmr__green *green, const char *symbol)
{
    uint64_t address;
    return gmr__green_symbol(green, NULL, symbol, &address, NULL) == 0;
}

static int find(struct gmr__green *green, void **state)
{
    const struct gmr__lua_layout *layouts[LUA_VERSIONS];
    size_t count = 0;
    bool is_jit = has(green, "luaJIT_setmode"); /* whose names are 5.1's */
    /* Tarantool's Lua runs in fibers, which are read. */
    if (is_jit && !has(green, "tarantool_L"))
        gmr__green_note(green, "LuaJIT: its coroutines are not read");
    for (const struct gmr__lua_layout *layout = gmr__lua_layouts; layout->version && count < LUA_VERSIONS; layout++)
        if (has(green, layout->symbol) && !(is_jit && layout->code == GMR__LUA_CODE_51))
            layouts[count++] = layout;
    if (count == 0)
        return 0;
    struct lua_found *found = calloc(1, sizeof(*found));
    if (!found)
        return -ENOMEM;
    found->green = green;
    memcpy(found->layouts, layouts, sizeof(layouts));
    found->layout_count = count;
    *state = found;
    return 1;
}

/* Not one that was closed and whose memory nobody has used since: it has no strings left. */
static bool is_open(struct gmr__green *green, const struct gmr__lua_layout *layout, uint64_t address)
{
    uint64_t global = address + layout->state_bytes, main_state;
    int32_t strings;
    return gmr__green_read(green, global + layout->global_main, &main_state, sizeof(main_state)) == 0 &&
           main_state == address &&
           gmr__green_read(green, global + layout->global_strings, &strings, sizeof(strings)) == 0 && strings > 0;
}

static void add_state(struct lua_found *found, uint64_t address)
{
    for (size_t i = 0; i < found->count; i++)
        if (found->states[i] == address)
            return;
    if (found->count < MAX_STATES)
        found->states[found->count++] = address;
    else
        found->cut = true;
}

static void see_words(void *userdata, uint64_t address, const uint64_t *words, size_t count)
{
    struct lua_found *found = userdata;
    for (size_t k = 0; k < found->layout_count; k++) {
        const struct gmr__lua_layout *layout = found->layouts[k];
        for (size_t i = 0; i < count; i++) {
            uint64_t state = address + i * 8 - layout->state_global;
            if (words[i] == state + layout->state_bytes && is_open(found->green, layout, state))
                add_state(found, state);
        }
    }
}

static bool is_large(const struct gmr__map *map)
{
    return map->end - map->start >= LARGE;
}

static bool is_small_heap(void *userdata, const struct gmr__map *map)
{
    return gmr__scan_is_heap(userdata, map) && !is_large(map);
}

/* A module's variables: of its file, or what is behind those. */
static bool is_data(void *userdata, const struct gmr__map *map)
{
    const struct lua_found *found = userdata;
    const struct gmr__map *first = gmr__green_snapshot(found->green)->maps;
    return !is_large(map) && (map->path[0] == '/' || (map->path[0] == 0 && map > first && map[-1].end == map->start &&
                                                      map[-1].path[0] == '/'));
}

static void see_pointers(void *userdata, uint64_t address, const uint64_t *words, size_t count)
{
    struct lua_found *found = userdata;
    for (size_t i = 0; i < count; i++) {
        const struct gmr__map *map =
            words[i] % 8 == 0 ? gmr__snapshot_map(gmr__green_snapshot(found->green), words[i]) : NULL;
        for (size_t k = 0; map && map->write && is_large(map) && k < found->layout_count; k++) {
            const struct gmr__lua_layout *layout = found->layouts[k];
            uint64_t global;
            if (gmr__green_read(found->green, words[i] + layout->state_global, &global, sizeof(global)) == 0 &&
                global == words[i] + layout->state_bytes && is_open(found->green, layout, words[i]))
                add_state(found, words[i]);
        }
    }
}

static bool search(struct lua_found *found)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(found->green);
    bool large = false;
    for (size_t i = 0; i < snapshot->map_count; i++)
        large |= snapshot->maps[i].write && is_large(&snapshot->maps[i]);
    return gmr__scan_memory(found->green, is_small_heap, see_words, found) &&
           (!large || gmr__scan_memory(found->green, is_data, see_pointers, found));
}

static int ahead(struct gmr__green *green, void *state)
{
    struct lua_found *found = state;
    if (!found->searched && !search(found))
        gmr__green_note(green, "memory could not be searched to its end in time: Lua states may be missing");
    if (found->cut && !found->searched)
        gmr__green_note(green, "of the Lua states only the first %d are read", MAX_STATES);
    for (size_t i = 0; !found->searched && i < found->count; i++)
        if (!gmr__green_known(green, found->states[i]))
            gmr__lua_add(green, &found->lua, found->states[i], 0);
    found->searched = true;
    if (found->lua)
        gmr__lua_ahead(green, found->lua);
    return 0;
}

/* Without states nothing need stand still; with them it is not known which OS thread runs which. */
static bool apart(struct gmr__green *green, void *state)
{
    return !((struct lua_found *)state)->lua;
}

static bool carries(void *state, pid_t tid)
{
    return ((struct lua_found *)state)->lua;
}

static int collect(struct gmr__green *green, void *state)
{
    struct lua_found *found = state;
    if (found->lua)
        gmr__lua_collect(green, found->lua);
    return 0;
}

static int finish(struct gmr__green *green, void *state)
{
    struct lua_found *found = state;
    return found->lua ? gmr__lua_finish(green, found->lua) : 0;
}

static void release(void *state)
{
    struct lua_found *found = state;
    if (!found)
        return;
    gmr__lua_free(found->lua);
    free(found);
}

const struct gmr__green_source gmr__green_source_lua = {
    .name = "lua",
    .find = find,
    .ahead = ahead,
    .collect = collect,
    .finish = finish,
    .release = release,
    .together = true,
    .apart = apart,
    .carries = carries,
};
