/*
 * green/lua_names.c - what a Lua function is called, and the line it is at.
 *
 * Inspector only, in finish: function prototypes are constant while they live. A function has no name of its own in Lua; as in its own
 * tracebacks the name is what the caller called it by (a global, a field, a method, an upvalue), told from the caller's instruction. Every size
 * and pointer comes from the target: bounded before use.
 */
#include "green/lua_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/lua_layout.h"
#include "sys/word.h"

#define MAX_CODE 1000000u

struct lua_proto {
    const struct gmr__lua_layout *layout;
    uint64_t k, code, upvalues;
    const char *source;
    int line_defined;
    uint32_t code_count, k_count, abs_count;
    uint32_t *instructions; /* NULL: unreadable */
    int32_t *lines;         /* of each instruction; 5.4 has the next two instead; NULL: stripped of lines */
    signed char *deltas;
    int32_t (*abs)[2]; /* pc, line */
};

void gmr__lua_names_init(struct gmr__lua_names *names, struct gmr__green *green)
{
    names->green = green;
    gmr__addrmap_init(&names->protos, 1000000);
}

void gmr__lua_names_free(struct gmr__lua_names *names)
{
    gmr__addrmap_free(&names->protos);
}

static uint32_t half(const unsigned char *bytes, unsigned offset)
{
    uint32_t value;
    memcpy(&value, bytes + offset, sizeof(value));
    return value;
}

static const char *read_text(struct gmr__green *green, uint64_t string)
{
    char text[256];
    if (!string || gmr__green_read_string(green, string + LUA_STRING_TEXT, text, sizeof(text)) < 0)
        return NULL;
    return gmr__green_intern(green, text);
}

/* "@file.lua" is a file; "=stdin" a name; anything else the code itself. */
static const char *source_of(struct gmr__green *green, uint64_t string)
{
    const char *text = read_text(green, string);
    if (text && (text[0] == '@' || text[0] == '='))
        return text + 1;
    return text ? "(a string)" : NULL;
}

static void *read_array(struct gmr__green *green, uint64_t address, uint32_t count, size_t bytes)
{
    if (!address || !count || count > MAX_CODE)
        return NULL;
    void *array = gmr__green_alloc(green, count * bytes);
    return array && gmr__green_read(green, address, array, count * bytes) == 0 ? array : NULL;
}

static void read_lines(struct gmr__lua_names *names, struct lua_proto *p, const unsigned char *bytes)
{
    const struct gmr__lua_layout *layout = p->layout;
    uint64_t lines = gmr__word(bytes, layout->proto_lines);
    bool has_lines = half(bytes, layout->proto_line_count) == p->code_count;
    if (!layout->proto_abs) {
        p->lines = has_lines ? read_array(names->green, lines, p->code_count, 4) : NULL;
        return;
    }
    p->deltas = has_lines ? read_array(names->green, lines, p->code_count, 1) : NULL;
    p->abs_count = half(bytes, layout->proto_abs_count);
    p->abs = read_array(names->green, gmr__word(bytes, layout->proto_abs), p->abs_count, 8);
    if (!p->abs)
        p->abs_count = 0;
}

static const struct lua_proto *proto_of(struct gmr__lua_names *names, const struct gmr__lua_layout *layout,
                                        uint64_t address)
{
    uint64_t known;
    unsigned char bytes[LUA_PROTO_BYTES];
    if (gmr__addrmap_get(&names->protos, address, &known))
        return (const struct lua_proto *)(uintptr_t)known;
    struct lua_proto *p = NULL;
    if (gmr__green_read(names->green, address, bytes, sizeof(bytes)) == 0 &&
        (p = gmr__green_alloc(names->green, sizeof(*p)))) {
        p->layout = layout;
        p->k = gmr__word(bytes, layout->proto_k);
        p->k_count = half(bytes, layout->proto_k_count);
        p->code = gmr__word(bytes, layout->proto_code);
        p->code_count = half(bytes, layout->proto_code_count);
        p->upvalues = gmr__word(bytes, layout->proto_upvalues);
        p->line_defined = (int)half(bytes, layout->proto_line_defined);
        p->source = source_of(names->green, gmr__word(bytes, layout->proto_source));
        p->instructions = read_array(names->green, p->code, p->code_count, 4);
        read_lines(names, p, bytes);
    }
    gmr__addrmap_put(&names->protos, address, (uint64_t)(uintptr_t)p);
    return p;
}

/* As ldebug.c's luaG_getfuncline: deltas from the last absolute line before pc. */
static int line_at(const struct lua_proto *p, uint32_t pc)
{
    int64_t line = p->line_defined;
    uint32_t at = 0;
    if (p->lines && pc < p->code_count)
        return p->lines[pc] > 0 ? p->lines[pc] : 0;
    if (!p->deltas || pc >= p->code_count)
        return p->line_defined;
    for (uint32_t i = 0; i < p->abs_count && p->abs[i][0] >= 0 && (uint32_t)p->abs[i][0] <= pc; i++) {
        line = p->abs[i][1];
        at = (uint32_t)p->abs[i][0] + 1;
    }
    for (; at <= pc; at++)
        line += p->deltas[at];
    return line > 0 && line < 1 << 30 ? (int)line : 0;
}

static const char *constant(struct gmr__lua_names *names, const struct lua_proto *p, uint32_t index)
{
    uint64_t value;
    if (index >= p->k_count ||
        gmr__green_read(names->green, p->k + (uint64_t)index * LUA_VALUE_BYTES, &value, sizeof(value)) < 0)
        return NULL;
    return read_text(names->green, value);
}

static const char *upvalue(struct gmr__lua_names *names, const struct lua_proto *p, uint32_t index)
{
    uint64_t name;
    if (gmr__green_read(names->green, p->upvalues + (uint64_t)index * p->layout->upvalue_bytes, &name, sizeof(name)) <
        0)
        return NULL;
    return read_text(names->green, name);
}

struct operands {
    uint32_t op, a, b, c;
    bool is_constant; /* c: of the constants, not a register */
};

static struct operands decode(const struct lua_proto *p, uint32_t i)
{
    if (p->layout->code == GMR__LUA_CODE_54)
        return (struct operands){i & 0x7f, i >> 7 & 0xff, i >> 16 & 0xff, i >> 24, i >> 15 & 1};
    return (struct operands){i & 0x3f, i >> 6 & 0xff, i >> 23, i >> 14 & 0xff, i >> 22 & 1};
}

static const char *loaded_name(struct gmr__lua_names *names, const struct lua_proto *p, uint32_t instruction)
{
    const struct gmr__lua_layout *is = p->layout;
    struct operands o = decode(p, instruction);
    if (!o.op) /* OP_MOVE in all */
        return NULL;
    if (o.op == is->op_getfield || (o.op == is->op_gettabup && is->code == GMR__LUA_CODE_54))
        return constant(names, p, o.c);
    if (o.op == is->op_gettabup || o.op == is->op_gettable || o.op == is->op_self)
        return o.is_constant ? constant(names, p, o.c) : NULL;
    if (o.op == is->op_getglobal)
        return constant(names, p, instruction >> 14);
    return o.op == is->op_getupval ? upvalue(names, p, o.b) : NULL;
}

/* What the function called by instruction `pc` of p is called there. */
static const char *called_name(struct gmr__lua_names *names, const struct lua_proto *p, uint32_t pc)
{
    if (!p->instructions || pc >= p->code_count)
        return NULL;
    struct operands call = decode(p, p->instructions[pc]);
    if (call.op != p->layout->op_call && call.op != p->layout->op_tailcall)
        return NULL;
    /* Whatever put the function into its register last; close enough before the call that jumps rarely stand between. */
    for (uint32_t i = pc; i-- > 0;)
        if (decode(p, p->instructions[i]).a == call.a)
            return loaded_name(names, p, p->instructions[i]);
    return NULL;
}

static uint32_t pc_of(const struct lua_proto *p, uint64_t saved)
{
    uint64_t index = saved >= p->code + 4 ? (saved - p->code) / 4 - 1 : 0;
    return index < p->code_count ? (uint32_t)index : 0;
}

void gmr__lua_name_calls(struct gmr__lua_names *names, const struct gmr__lua_layout *layout,
                         const struct gmr__lua_call *calls, uint32_t count, struct gmr__language_stack *language)
{
    struct gmr__language_frame *frames = gmr__green_alloc(names->green, (count + 1) * sizeof(*frames));
    if (!frames)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct gmr__lua_call *call = &calls[i];
        const struct lua_proto *p = call->proto ? proto_of(names, layout, call->proto) : NULL;
        const struct lua_proto *caller =
            i + 1 < count && calls[i + 1].proto ? proto_of(names, layout, calls[i + 1].proto) : NULL;
        const char *name = caller ? called_name(names, caller, pc_of(caller, calls[i + 1].pc)) : NULL;
        char text[320];
        frames[i] = (struct gmr__language_frame){.function = name};
        if (p) {
            frames[i].file = p->source;
            frames[i].line = call->pc ? line_at(p, pc_of(p, call->pc)) : p->line_defined;
            if (!name) {
                if (p->line_defined)
                    snprintf(text, sizeof(text), "function <%s:%d>", p->source ? p->source : "?", p->line_defined);
                else
                    snprintf(text, sizeof(text), "main chunk");
                frames[i].function = gmr__green_intern(names->green, text);
            }
        } else {
            frames[i].pc = call->c_function;
            frames[i].pc_is_entry = true;
        }
    }
    language->frames = frames;
    language->frame_count = count;
    language->lasts = true;
}
