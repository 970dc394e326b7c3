/* tests/green/target_lua.c - Lua 5.4 with the adapter: coroutines that yielded, one not begun, one that has ended. */
#include <stdio.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "gmr/adapters/lua.h"

static const char script[] = "local function inner(n)\n"            /* 1 */
                             "  coroutine.yield(n)\n"               /* 2 */
                             "  return n\n"                         /* 3 */
                             "end\n"                                /* 4 */
                             "function outer(n)\n"                  /* 5 */
                             "  local r = inner(n)\n"               /* 6 */
                             "  return r\n"                         /* 7 */
                             "end\n"                                /* 8 */
                             "all = {}\n"                           /* 9 */
                             "for i = 1, 3 do\n"                    /* 10 */
                             "  all[i] = coroutine.create(outer)\n" /* 11 */
                             "end\n"                                /* 12 */
                             "coroutine.resume(all[1], 1)\n"        /* 13 */
                             "coroutine.resume(all[2], 2)\n"        /* 14 */
                             "ended = coroutine.create(function() end)\n"
                             "coroutine.resume(ended)\n"
                             "wait_for_ever()\n"; /* 17 */

static int wait_for_ever(lua_State *state)
{
    puts("ready");
    fflush(stdout);
    while (pause() != 0) {
    }
    return lua_gettop(state);
}

int main(void)
{
    lua_State *state = luaL_newstate();
    gmr_lua_add(state);
    luaL_openlibs(state);
    lua_register(state, "wait_for_ever", wait_for_ever);
    if (luaL_loadbuffer(state, script, sizeof(script) - 1, "@script.lua") != LUA_OK ||
        lua_pcall(state, 0, 0, 0) != LUA_OK)
        fputs(lua_tostring(state, -1), stderr);
    return 1;
}
