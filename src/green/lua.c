/*
 * green/lua.c - finds the coroutines of a Lua 5.4 state and copies their chains of calls.
 *
 * Inspector only. The heap's list of all objects is walked ahead of the stop, with the target running and the collector at work: what comes of
 * it is a list of candidates, each checked again at the stop. Naming is lua_names.c's.
 */
#include "green/lua.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "green/lua_layout.h"
#include "green/lua_names.h"
#include "green/peek.h"
#include "sys/grow.h"

#define MAX_MAINS 256
#define MAX_COROUTINES 1000000u
#define MAX_OBJECTS 20000000u /* of the heap that are walked */
#define MAX_FRAMES 200u

struct coroutine {
    uint64_t address, main;
    pid_t tid;
    struct gmr__lua_call *calls;
    uint32_t call_count;
    enum gmr__green_state state;
    const char *end;
    bool gone;
};

struct gmr__lua {
    uint64_t mains[MAX_MAINS];
    pid_t tids[MAX_MAINS];
    size_t main_count;
    struct coroutine *list;
    size_t count, cap;
    bool cut;
};

static uint64_t word(const unsigned char *bytes, unsigned offset)
{
    uint64_t value;
    memcpy(&value, bytes + offset, sizeof(value));
    return value;
}

static bool add_coroutine(struct gmr__lua *lua, uint64_t address, uint64_t main_state, pid_t tid)
{
    if (!GMR__GROW_UP_TO(lua->list, lua->cap, lua->count + 1, MAX_COROUTINES))
        return false;
    lua->list[lua->count++] = (struct coroutine){.address = address, .main = main_state, .tid = tid};
    return true;
}

bool gmr__lua_add(struct gmr__green *green, struct gmr__lua **lua, uint64_t main_state, pid_t tid)
{
    unsigned char state[LUA_STATE_BYTES];
    if (gmr__green_read(green, main_state, state, sizeof(state)) < 0 || state[LUA_OBJECT_TAG] != LUA_TAG_THREAD)
        return false;
    /* Lua's own allocation of the main thread: the global state stands right behind it. Another version has another size. */
    if (word(state, LUA_STATE_GLOBAL) != main_state + LUA_STATE_BYTES)
        return false;
    if (!*lua && !(*lua = calloc(1, sizeof(**lua))))
        return false;
    for (size_t i = 0; i < (*lua)->main_count; i++)
        if ((*lua)->mains[i] == main_state)
            return true;
    if ((*lua)->main_count == MAX_MAINS)
        return false;
    gmr__green_claim(green, main_state, main_state + LUA_STATE_BYTES);
    (*lua)->mains[(*lua)->main_count] = main_state;
    (*lua)->tids[(*lua)->main_count++] = tid;
    return true;
}

static void walk_heap(struct gmr__green *green, struct gmr__lua *lua, size_t number)
{
    struct gmr__peek peek;
    uint64_t main_state = lua->mains[number], global = main_state + LUA_STATE_BYTES;
    gmr__peek_init(&peek, green);
    uint64_t at = gmr__peek_word(&peek, global + LUA_GLOBAL_ALLGC), mark = 0;
    add_coroutine(lua, main_state, main_state, lua->tids[number]);
    for (uint32_t steps = 0, power = 1, total = 0; at; total++) {
        unsigned char object[32];
        if (at == mark || gmr__peek(&peek, at, object, sizeof(object)) < 0)
            break;
        if (++steps == power) {
            mark = at;
            power *= 2;
            steps = 0;
        }
        if (at != main_state && object[LUA_OBJECT_TAG] == LUA_TAG_THREAD && word(object, LUA_STATE_GLOBAL) == global &&
            !add_coroutine(lua, at, main_state, lua->tids[number]))
            break;
        if (total == MAX_OBJECTS || (total % 4096 == 0 && gmr__green_out_of_time(green))) {
            lua->cut = true;
            break;
        }
        at = word(object, LUA_OBJECT_NEXT);
    }
    gmr__peek_forget(&peek);
}

void gmr__lua_ahead(struct gmr__green *green, struct gmr__lua *lua)
{
    lua->count = 0;
    for (size_t i = 0; i < lua->main_count; i++)
        walk_heap(green, lua, i);
}

static enum gmr__green_state state_of(const unsigned char *state, uint64_t address)
{
    uint64_t ci = word(state, LUA_STATE_CI), func = word(state, LUA_STATE_BASE_CI + LUA_CI_FUNC);
    if (state[LUA_STATE_STATUS] == LUA_STATUS_YIELD)
        return GMR__GREEN_SUSPENDED;
    if (state[LUA_STATE_STATUS] != 0)
        return GMR__GREEN_DONE; /* it ended with an error */
    if (ci != address + LUA_STATE_BASE_CI)
        return GMR__GREEN_RUNNING;
    return word(state, LUA_STATE_TOP) > func + 16 ? GMR__GREEN_NEW : GMR__GREEN_DONE;
}

/* What a call's function is: the value its `func` points to. */
static void read_function(struct gmr__green *green, uint64_t func, struct gmr__lua_call *call)
{
    unsigned char value[16];
    uint64_t pointer;
    if (gmr__green_read(green, func, value, sizeof(value)) < 0)
        return;
    pointer = word(value, 0);
    switch (value[LUA_VALUE_TAG]) {
    case LUA_TAG_LUA_CLOSURE:
        gmr__green_read(green, pointer + LUA_CLOSURE_PROTO, &call->proto, sizeof(call->proto));
        break;
    case LUA_TAG_LIGHT_C:
        call->c_function = pointer;
        break;
    case LUA_TAG_C_CLOSURE:
        gmr__green_read(green, pointer + LUA_CLOSURE_C_FUNCTION, &call->c_function, sizeof(call->c_function));
        break;
    default:
        break;
    }
}

static void copy_calls(struct gmr__green *green, struct coroutine *c)
{
    unsigned char state[LUA_STATE_BYTES], ci[LUA_CI_BYTES];
    struct gmr__lua_call calls[MAX_FRAMES];
    uint64_t global = c->main + LUA_STATE_BYTES;
    c->gone = gmr__green_read(green, c->address, state, sizeof(state)) < 0 || state[LUA_OBJECT_TAG] != LUA_TAG_THREAD ||
              word(state, LUA_STATE_GLOBAL) != global;
    c->call_count = 0;
    if (c->gone)
        return;
    c->state = state_of(state, c->address);
    uint64_t at = word(state, LUA_STATE_CI), base = c->address + LUA_STATE_BASE_CI;
    if (c->state == GMR__GREEN_NEW) { /* its function is what lies on its stack first */
        calls[0] = (struct gmr__lua_call){.pc = 0};
        read_function(green, word(state, LUA_STATE_BASE_CI + LUA_CI_FUNC) + 16, &calls[0]);
        c->call_count = 1;
    }
    while (at && at != base && c->call_count < MAX_FRAMES) {
        if (gmr__green_read(green, at, ci, sizeof(ci)) < 0) {
            c->end = "its chain of calls can't be read further";
            break;
        }
        uint16_t status;
        memcpy(&status, ci + LUA_CI_STATUS, sizeof(status));
        struct gmr__lua_call *call = &calls[c->call_count++];
        *call = (struct gmr__lua_call){.pc = word(ci, LUA_CI_SAVEDPC), .entry = status & LUA_CI_IS_FRESH};
        read_function(green, word(ci, LUA_CI_FUNC), call);
        at = word(ci, LUA_CI_PREVIOUS);
    }
    if (c->call_count == MAX_FRAMES)
        c->end = "it has more than 200 calls";
    c->calls = c->call_count ? gmr__green_alloc(green, c->call_count * sizeof(*c->calls)) : NULL;
    if (c->calls)
        memcpy(c->calls, calls, c->call_count * sizeof(*c->calls));
    else
        c->call_count = 0;
}

void gmr__lua_collect(struct gmr__green *green, struct gmr__lua *lua)
{
    for (size_t i = 0; i < lua->count; i++) {
        if (i % 64 == 63 && gmr__green_out_of_time(green)) {
            gmr__green_note(green, "the stop's budget was used up after %zu of %zu Lua coroutines", i, lua->count);
            lua->count = i;
            return;
        }
        copy_calls(green, &lua->list[i]);
    }
}

int gmr__lua_finish(struct gmr__green *green, struct gmr__lua *lua)
{
    struct gmr__lua_names names;
    int error = 0;
    gmr__lua_names_init(&names, green);
    for (size_t i = 0; i < lua->count; i++) {
        struct coroutine *c = &lua->list[i];
        bool is_main = c->address == c->main;
        if (c->gone || (is_main && !c->call_count))
            continue;
        struct gmr__green_thread t = {.address = c->address,
                                      .kind = "lua",
                                      .name = is_main ? "main" : NULL,
                                      .state = c->state,
                                      .carrier = c->tid,
                                      .parent = is_main ? 0 : c->main};
        t.language.language = "lua";
        t.language.end = c->end;
        gmr__lua_name_calls(&names, c->calls, c->call_count, &t.language);
        int one = gmr__green_emit(green, &t);
        error = error ? error : one;
    }
    gmr__lua_names_free(&names);
    if (lua->cut)
        gmr__green_note(green, "Lua's heap was too large to be searched whole: coroutines may be missing");
    return error == -ENOSPC ? 0 : error;
}

void gmr__lua_free(struct gmr__lua *lua)
{
    if (!lua)
        return;
    free(lua->list);
    free(lua);
}
