/*
 * green/lua.h - coroutines of Lua 5.1 to 5.4 from outside: which there are, and their frames.
 *
 * Inspector only. Not a source by itself: whoever knows a main lua_State (the registry, a scan) feeds it in and calls the phases.
 */
#ifndef GMR_GREEN_LUA_H
#define GMR_GREEN_LUA_H

#include "green/green.h"

struct gmr__lua;

/* Makes *lua on first use. main_state: what luaL_newstate returned; tid: the OS thread that runs it, 0 unknown. False: that is no
 * lua_State of a version known here, or no memory. */
bool gmr__lua_add(struct gmr__green *green, struct gmr__lua **lua, uint64_t main_state, pid_t tid);
void gmr__lua_ahead(struct gmr__green *green, struct gmr__lua *lua);   /* walks the heap for coroutines */
void gmr__lua_collect(struct gmr__green *green, struct gmr__lua *lua); /* their chains of calls */
int gmr__lua_finish(struct gmr__green *green, struct gmr__lua *lua);   /* names and lines; emits */
void gmr__lua_free(struct gmr__lua *lua);

#endif
