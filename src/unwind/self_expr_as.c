/*
 * unwind/self_expr_as.c - see unwind/self_expr.h. DWARF 5, 2.5; of its operations those that compilers, assemblers and glibc use in call-frame
 * information: PLT stubs, signal trampolines, realigned stacks.
 *
 * The target's half; async-signal-safe, bounded.
 */
#include "unwind/self_expr.h"

#include <dwarf.h>

#define DEPTH 32
#define MOST_OPERATIONS 256

uint64_t gmr__cursor_uint(struct gmr__self_cursor *c, unsigned bytes)
{
    uint64_t value = 0;
    if (c->failed || c->at + bytes > c->end || !gmr__peek(c->peek, c->at, &value, bytes)) {
        c->failed = true;
        return 0;
    }
    c->at += bytes;
    return value; /* little-endian, as both architectures are */
}

uint64_t gmr__cursor_uleb(struct gmr__self_cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && !c->failed; shift += 7) {
        uint64_t byte = gmr__cursor_uint(c, 1);
        if (shift < 64)
            value |= (byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return value;
}

int64_t gmr__cursor_sleb(struct gmr__self_cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && !c->failed; shift += 7) {
        uint64_t byte = gmr__cursor_uint(c, 1);
        if (shift < 64)
            value |= (byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            if (byte & 0x40 && shift + 7 < 64)
                value |= ~(uint64_t)0 << (shift + 7);
            break;
        }
    }
    return (int64_t)value;
}

struct evaluation {
    uint64_t stack[DEPTH];
    unsigned depth;
    bool failed;
};

static void push(struct evaluation *e, uint64_t value)
{
    if (e->depth == DEPTH)
        e->failed = true;
    else
        e->stack[e->depth++] = value;
}

static uint64_t pop(struct evaluation *e)
{
    if (e->depth == 0) {
        e->failed = true;
        return 0;
    }
    return e->stack[--e->depth];
}

static bool constant(struct evaluation *e, struct gmr__self_cursor *c, unsigned op)
{
    switch (op) {
    case DW_OP_addr:
    case DW_OP_const8u:
    case DW_OP_const8s:
        push(e, gmr__cursor_uint(c, 8));
        return true;
    case DW_OP_const1u:
        push(e, gmr__cursor_uint(c, 1));
        return true;
    case DW_OP_const1s:
        push(e, (uint64_t)(int64_t)(int8_t)gmr__cursor_uint(c, 1));
        return true;
    case DW_OP_const2u:
        push(e, gmr__cursor_uint(c, 2));
        return true;
    case DW_OP_const2s:
        push(e, (uint64_t)(int64_t)(int16_t)gmr__cursor_uint(c, 2));
        return true;
    case DW_OP_const4u:
        push(e, gmr__cursor_uint(c, 4));
        return true;
    case DW_OP_const4s:
        push(e, (uint64_t)(int64_t)(int32_t)gmr__cursor_uint(c, 4));
        return true;
    case DW_OP_constu:
        push(e, gmr__cursor_uleb(c));
        return true;
    case DW_OP_consts:
        push(e, (uint64_t)gmr__cursor_sleb(c));
        return true;
    default:
        return false;
    }
}

static bool binary(struct evaluation *e, unsigned op)
{
    uint64_t b = pop(e), a = pop(e);
    int64_t sa = (int64_t)a, sb = (int64_t)b;
    switch (op) {
    case DW_OP_and:
        push(e, a & b);
        return true;
    case DW_OP_minus:
        push(e, a - b);
        return true;
    case DW_OP_mul:
        push(e, a * b);
        return true;
    case DW_OP_or:
        push(e, a | b);
        return true;
    case DW_OP_plus:
        push(e, a + b);
        return true;
    case DW_OP_shl:
        push(e, b < 64 ? a << b : 0);
        return true;
    case DW_OP_shr:
        push(e, b < 64 ? a >> b : 0);
        return true;
    case DW_OP_xor:
        push(e, a ^ b);
        return true;
    case DW_OP_eq:
        push(e, a == b);
        return true;
    case DW_OP_ne:
        push(e, a != b);
        return true;
    case DW_OP_ge:
        push(e, sa >= sb);
        return true;
    case DW_OP_gt:
        push(e, sa > sb);
        return true;
    case DW_OP_le:
        push(e, sa <= sb);
        return true;
    case DW_OP_lt:
        push(e, sa < sb);
        return true;
    default:
        return false;
    }
}

static void operate(struct evaluation *e, struct gmr__self_cursor *c, unsigned op, const struct gmr__self_cfi *cfi,
                    const struct gmr__regs *regs)
{
    uint64_t value;
    if (op >= DW_OP_lit0 && op <= DW_OP_lit31) {
        push(e, op - DW_OP_lit0);
    } else if (op >= DW_OP_breg0 && op <= DW_OP_breg31) {
        push(e, regs->value[op - DW_OP_breg0] + (uint64_t)gmr__cursor_sleb(c));
    } else if (op == DW_OP_deref) {
        if (!cfi->read(cfi->userdata, pop(e), &value, 8))
            e->failed = true;
        push(e, value);
    } else if (op == DW_OP_plus_uconst) {
        value = pop(e);
        push(e, value + gmr__cursor_uleb(c));
    } else if (op == DW_OP_dup) {
        value = pop(e);
        push(e, value);
        push(e, value);
    } else if (op == DW_OP_drop) {
        pop(e);
    } else if (op != DW_OP_nop && !constant(e, c, op) && !binary(e, op)) {
        e->failed = true;
    }
}

bool gmr__self_expression(const struct gmr__self_cfi *cfi, const struct gmr__regs *regs, uint64_t block,
                          bool with_first, uint64_t first, uint64_t *value)
{
    struct evaluation e = {.depth = 0};
    struct gmr__self_cursor c = {.peek = cfi->peek, .at = block, .end = block + 10};
    uint64_t bytes = gmr__cursor_uleb(&c);
    if (c.failed || bytes > 4096)
        return false;
    c.end = c.at + bytes;
    if (with_first)
        push(&e, first);
    for (unsigned n = 0; c.at < c.end && n < MOST_OPERATIONS && !e.failed && !c.failed; n++) {
        unsigned op = (unsigned)gmr__cursor_uint(&c, 1);
        operate(&e, &c, op, cfi, regs);
    }
    *value = pop(&e);
    return !e.failed && !c.failed;
}
