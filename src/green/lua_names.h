/*
 * green/lua_names.h - function names and lines of calls in Lua. Inspector only; see lua_names.c.
 */
#ifndef GMR_GREEN_LUA_NAMES_H
#define GMR_GREEN_LUA_NAMES_H

#include "green/addrmap.h"
#include "green/green.h"
#include "green/lua_layout.h"

/* One call as copied: a Lua function (proto) or a C function. */
struct gmr__lua_call {
    uint64_t proto, c_function;
    uint64_t pc; /* saved: the instruction behind the one that runs; 0: not begun */
};

struct gmr__lua_names {
    struct gmr__green *green;
    struct gmr__addrmap protos; /* proto -> struct lua_proto * */
};

void gmr__lua_names_init(struct gmr__lua_names *names, struct gmr__green *green);
void gmr__lua_names_free(struct gmr__lua_names *names);
/* Fills language->frames from the calls, innermost first. */
void gmr__lua_name_calls(struct gmr__lua_names *names, const struct gmr__lua_layout *layout,
                         const struct gmr__lua_call *calls, uint32_t count, struct gmr__language_stack *language);

#endif
