/*
 * green/lua_layout.h - where members stand in the structs of each Lua (lstate.h, lobject.h), for 64-bit words; data in lua_layout.c.
 */
#ifndef GMR_GREEN_LUA_LAYOUT_H
#define GMR_GREEN_LUA_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

/* The same in all. */
enum {
    LUA_OBJECT_NEXT = 0,
    LUA_OBJECT_TAG = 8,
    LUA_TAG_THREAD = 8,
    LUA_VALUE_TAG = 8,
    LUA_VALUE_BYTES = 16,
    LUA_STATE_TOP = 16,
    LUA_STRING_TEXT = 24,
    LUA_STATUS_YIELD = 1,

    LUA_MAX_STATE_BYTES = 208,
    LUA_MAX_CI_BYTES = 80,
    LUA_PROTO_BYTES = 120, /* of 5.2, the first ones */
};

/* How an instruction has its operands, and a prototype its lines. */
enum gmr__lua_code {
    GMR__LUA_CODE_51, /* B and C of 9 bits, globals by name; a line for each instruction */
    GMR__LUA_CODE_52, /* the same, _ENV */
    GMR__LUA_CODE_54, /* B and C of 8 bits, opcodes of their own for constants; differences of lines */
};

struct gmr__lua_layout {
    const char *version;
    const char *symbol; /* that no older one has */
    enum gmr__lua_code code;

    uint8_t state_status, state_global, state_ci, state_base_ci;
    uint8_t state_savedpc; /* 5.1: of the call that runs; 0: in its CallInfo */
    uint8_t state_bytes;   /* global_State follows */
    uint16_t global_strings, global_allgc, global_main;

    uint8_t ci_func, ci_savedpc;
    uint8_t ci_previous; /* 0: CallInfos are an array, and base_ci is its address */
    uint8_t ci_bytes;

    /* A function's value: by its tag, else (5.1) by a byte of the closure. */
    uint8_t closure_is_c; /* 0: by the tag */
    uint8_t closure_function;

    uint8_t proto_k_count, proto_code_count, proto_line_count, proto_line_defined;
    uint8_t proto_k, proto_code, proto_upvalues, proto_lines, proto_source;
    uint8_t proto_abs_count, proto_abs; /* 5.4 */
    uint8_t upvalue_bytes;

    uint8_t op_getupval, op_getglobal, op_gettabup, op_gettable, op_getfield, op_self, op_call,
        op_tailcall; /* 0: none */
};

/* Newest first; ends with a version of NULL. */
extern const struct gmr__lua_layout gmr__lua_layouts[];

#endif
