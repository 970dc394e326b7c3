/*
 * green/lua.c - finds the coroutines of a Lua state and copies their chains of calls.
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
#include "sys/word.h"

#define MAX_MAINS 256
#define MAX_COROUTINES 1000000u
#define MAX_OBJECTS 20000000u /* of the heap that are walked */
#define MAX_FRAMES 200u

struct main_state {
    uint64_t address;
    pid_t tid;
    const struct gmr__lua_layout *layout;
};

struct coroutine {
    uint64_t address;
    const struct main_state *main;
    struct gmr__lua_call *calls;
    uint32_t call_count;
    enum gmr__green_state state;
    const char *end;
    bool gone;
};

struct gmr__lua {
    struct main_state mains[MAX_MAINS];
    size_t main_count;
    struct coroutine *list;
    size_t count, cap;
    bool cut;
};

static bool add_coroutine(struct gmr__lua *lua, uint64_t address, const struct main_state *of)
{
    if (!GMR__GROW_UP_TO(lua->list, lua->cap, lua->count + 1, MAX_COROUTINES))
        return false;
    lua->list[lua->count++] = (struct coroutine){.address = address, .main = of};
    return true;
}

/* Lua's own allocation of a main thread: the global state stands right behind it, and points back. Another version has other sizes. */
static bool is_main(struct gmr__green *green, const struct gmr__lua_layout *layout, uint64_t address)
{
    unsigned char state[LUA_MAX_STATE_BYTES];
    uint64_t global = address + layout->state_bytes, back;
    return gmr__green_read(green, address, state, layout->state_bytes) == 0 &&
           state[LUA_OBJECT_TAG] == LUA_TAG_THREAD && gmr__word(state, layout->state_global) == global &&
           gmr__green_read(green, global + layout->global_main, &back, sizeof(back)) == 0 && back == address;
}

bool gmr__lua_add(struct gmr__green *green, struct gmr__lua **lua, uint64_t main_state, pid_t tid)
{
    const struct gmr__lua_layout *layout = gmr__lua_layouts;
    while (layout->version && !is_main(green, layout, main_state))
        layout++;
    if (!layout->version || (!*lua && !(*lua = calloc(1, sizeof(**lua)))))
        return false;
    for (size_t i = 0; i < (*lua)->main_count; i++)
        if ((*lua)->mains[i].address == main_state)
            return true;
    if ((*lua)->main_count == MAX_MAINS)
        return false;
    gmr__green_claim(green, main_state, main_state + layout->state_bytes);
    (*lua)->mains[(*lua)->main_count++] = (struct main_state){main_state, tid, layout};
    return true;
}

static void walk_heap(struct gmr__green *green, struct gmr__lua *lua, const struct main_state *of)
{
    struct gmr__peek peek;
    uint64_t global = of->address + of->layout->state_bytes;
    gmr__peek_init(&peek, green);
    uint64_t at = gmr__peek_word(&peek, global + of->layout->global_allgc), mark = 0;
    add_coroutine(lua, of->address, of);
    for (uint32_t steps = 0, power = 1, total = 0; at; total++) {
        unsigned char object[16];
        uint64_t its_global = 0;
        if (at == mark || gmr__peek(&peek, at, object, sizeof(object)) < 0)
            break;
        if (++steps == power) {
            mark = at;
            power *= 2;
            steps = 0;
        }
        if (object[LUA_OBJECT_TAG] == LUA_TAG_THREAD)
            its_global = gmr__peek_word(&peek, at + of->layout->state_global);
        if (at != of->address && its_global == global && !add_coroutine(lua, at, of))
            break;
        if (total == MAX_OBJECTS || (total % 4096 == 0 && gmr__green_out_of_time(green))) {
            lua->cut = true;
            break;
        }
        at = gmr__word(object, LUA_OBJECT_NEXT);
    }
    gmr__peek_forget(&peek);
}

void gmr__lua_ahead(struct gmr__green *green, struct gmr__lua *lua)
{
    lua->count = 0;
    for (size_t i = 0; i < lua->main_count; i++)
        walk_heap(green, lua, &lua->mains[i]);
}

/* Where its chain of calls ends: a CallInfo that is nobody's call. */
static uint64_t base_of(const struct gmr__lua_layout *layout, const unsigned char *state, uint64_t address)
{
    return layout->ci_previous ? address + layout->state_base_ci : gmr__word(state, layout->state_base_ci);
}

/* What lies on its stack first is its function; func: the slot below. */
static enum gmr__green_state state_of(const struct gmr__lua_layout *layout, const unsigned char *state, uint64_t base,
                                      uint64_t func)
{
    if (state[layout->state_status] == LUA_STATUS_YIELD)
        return GMR__GREEN_SUSPENDED;
    if (state[layout->state_status] != 0)
        return GMR__GREEN_DONE; /* it ended with an error */
    if (gmr__word(state, layout->state_ci) != base)
        return GMR__GREEN_RUNNING;
    return gmr__word(state, LUA_STATE_TOP) > func + LUA_VALUE_BYTES ? GMR__GREEN_NEW : GMR__GREEN_DONE;
}

/* What a call's function is: the value its `func` points to. */
static void read_function(struct gmr__green *green, const struct gmr__lua_layout *layout, uint64_t func,
                          struct gmr__lua_call *call)
{
    enum { LUA_CLOSURE = 0x46, LIGHT_C = 0x16, C_CLOSURE = 0x66, CLOSURE_51 = 6 };
    unsigned char value[LUA_VALUE_BYTES], is_c = 0;
    if (gmr__green_read(green, func, value, sizeof(value)) < 0)
        return;
    uint64_t pointer = gmr__word(value, 0), *to = &call->proto;
    unsigned char tag = value[LUA_VALUE_TAG];
    if (layout->closure_is_c) {
        if (tag != CLOSURE_51 || gmr__green_read(green, pointer + layout->closure_is_c, &is_c, 1) < 0)
            return;
        to = is_c ? &call->c_function : &call->proto;
    } else if (tag == LIGHT_C) {
        call->c_function = pointer;
        return;
    } else if (tag == C_CLOSURE) {
        to = &call->c_function;
    } else if (tag != LUA_CLOSURE) {
        return;
    }
    gmr__green_read(green, pointer + layout->closure_function, to, sizeof(*to));
}

/* Its calls into `calls`, innermost first. How many. */
static uint32_t read_calls(struct gmr__green *green, struct coroutine *c, const unsigned char *state, uint64_t base,
                           struct gmr__lua_call *calls)
{
    const struct gmr__lua_layout *layout = c->main->layout;
    unsigned char ci[LUA_MAX_CI_BYTES];
    uint64_t at = gmr__word(state, layout->state_ci);
    uint32_t count = 0;
    for (; at && at != base && count < MAX_FRAMES; count++) {
        if (gmr__green_read(green, at, ci, layout->ci_bytes) < 0) {
            c->end = "its chain of calls can't be read further";
            break;
        }
        bool here = count == 0 && layout->state_savedpc;
        calls[count] = (struct gmr__lua_call){.pc = here ? gmr__word(state, layout->state_savedpc)
                                                         : gmr__word(ci, layout->ci_savedpc)};
        read_function(green, layout, gmr__word(ci, layout->ci_func), &calls[count]);
        at = layout->ci_previous ? gmr__word(ci, layout->ci_previous) : at - layout->ci_bytes;
    }
    if (count == MAX_FRAMES)
        c->end = "it has more than 200 calls";
    return count;
}

static void copy_calls(struct gmr__green *green, struct coroutine *c)
{
    const struct gmr__lua_layout *layout = c->main->layout;
    unsigned char state[LUA_MAX_STATE_BYTES];
    struct gmr__lua_call calls[MAX_FRAMES];
    uint64_t func;
    c->call_count = 0;
    c->gone = gmr__green_read(green, c->address, state, layout->state_bytes) < 0 ||
              state[LUA_OBJECT_TAG] != LUA_TAG_THREAD ||
              gmr__word(state, layout->state_global) != c->main->address + layout->state_bytes;
    if (c->gone)
        return;
    uint64_t base = base_of(layout, state, c->address);
    if (gmr__green_read(green, base + layout->ci_func, &func, sizeof(func)) < 0)
        func = 0;
    c->state = state_of(layout, state, base, func);
    if (c->state == GMR__GREEN_NEW && c->address == c->main->address)
        return; /* values that the program left there */
    if (c->state == GMR__GREEN_NEW) {
        calls[0] = (struct gmr__lua_call){.pc = 0};
        read_function(green, layout, func + LUA_VALUE_BYTES, &calls[0]);
        c->call_count = 1;
    } else {
        c->call_count = read_calls(green, c, state, base, calls);
    }
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
        bool is_main_state = c->address == c->main->address;
        if (c->gone || (is_main_state && !c->call_count))
            continue;
        struct gmr__green_thread t = {.address = c->address,
                                      .kind = "lua",
                                      .name = is_main_state ? "main" : NULL,
                                      .state = c->state,
                                      .idle = c->state == GMR__GREEN_DONE && !c->call_count, /* not yet collected */
                                      .carrier = c->main->tid,
                                      .parent = is_main_state ? 0 : c->main->address};
        t.language.language = "lua";
        t.language.end = c->end;
        gmr__lua_name_calls(&names, c->main->layout, c->calls, c->call_count, &t.language);
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
