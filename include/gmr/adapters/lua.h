/*
 * gmr/adapters/lua.h - coroutines of Lua 5.1 to 5.4, with their Lua functions, files and lines.
 *
 * Once for each state that luaL_newstate() or lua_newstate() made: green = gmr_lua_add(L); before lua_close(L): gmr_green_del(green). Its
 * coroutines are found from outside, as is what each of them does: nothing is done per coroutine.
 */
#ifndef GMR_ADAPTERS_LUA_H
#define GMR_ADAPTERS_LUA_H

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lua_State;

static inline struct gmr_green *gmr_lua_add(struct lua_State *state)
{
    struct gmr_green *green = gmr_green_add(gmr_green_layout(GMR_LAYOUT_NONE), NULL, 0, NULL, NULL, state);
    gmr_green_language(green, "lua5.4", state);
    return green;
}

#ifdef __cplusplus
}
#endif

#endif
