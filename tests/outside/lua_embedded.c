/*
 * tests/outside/lua_embedded.c - a program with two Lua states that knows nothing of gmr, and a third that it has closed.
 *
 * Tests only. Prints "ready" when its coroutines stand, then waits for ever.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static const char script[] = "local function inner(n)\n"            /* 1 */
                             "  coroutine.yield(n)\n"               /* 2 */
                             "  return n\n"                         /* 3 */
                             "end\n"                                /* 4 */
                             "function outer(n)\n"                  /* 5 */
                             "  local r = inner(n)\n"               /* 6 */
                             "  return r\n"                         /* 7 */
                             "end\n"                                /* 8 */
                             "all = {}\n"                           /* 9 */
                             "for i = 1, count do\n"                /* 10 */
                             "  all[i] = coroutine.create(outer)\n" /* 11 */
                             "  coroutine.resume(all[i], i)\n"      /* 12 */
                             "end\n"                                /* 13 */
                             "fresh = coroutine.create(outer)\n"    /* 14 */
                             "wait()\n";                            /* 15 */

static int wait_for_ever(lua_State *state)
{
    puts("ready");
    fflush(stdout);
    while (pause() != 0) {
    }
    return lua_gettop(state);
}

static int go_on(lua_State *state)
{
    return lua_gettop(state);
}

/* Never given back, from the middle of more memory than is searched for states. */
static void *allocate(void *next, void *old, size_t old_bytes, size_t bytes)
{
    char **at = next, *mine = *at;
    if (bytes <= old_bytes && old)
        return bytes ? old : NULL;
    if (bytes == 0)
        return NULL;
    *at += (bytes + 15) / 16 * 16;
    return old ? memcpy(mine, old, old_bytes) : mine;
}

static char *large;

static lua_State *run(const char *name, int count, lua_CFunction wait)
{
    lua_State *state = large ? lua_newstate(allocate, &large) : luaL_newstate();
    luaL_openlibs(state);
    lua_register(state, "wait", wait);
    lua_pushinteger(state, count);
    lua_setglobal(state, "count");
    if (luaL_loadbuffer(state, script, sizeof(script) - 1, name) != 0 || lua_pcall(state, 0, 0, 0) != 0)
        fputs(lua_tostring(state, -1), stderr);
    return state;
}

lua_State *first;

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "large") == 0) {
        size_t bytes = (size_t)1 << 30;
        char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
            return 1;
        large = memory + bytes / 2;
        first = run("@first.lua", 3, go_on);
        large = NULL;
        run("@second.lua", 200, wait_for_ever);
    }
    lua_close(run("@closed.lua", 5, go_on));
    run("@first.lua", 3, go_on);
    lua_close(run("@closed.lua", 7, go_on));
    run("@second.lua", 200, wait_for_ever);
    return 1;
}
