/*
 * unwind/expression.c - DWARF expressions over a snapshot.
 *
 * Inspector only. Only what call-frame information may hold (DWARF 5, 6.4.2 and 2.5.1). The operations come from the target's
 * ELF file: steps, stack and memory are bounded, nothing is trusted. Called by unwind.c.
 */
#include <dwarf.h>
#include <string.h>

#include "unwind/rules.h"

#define STACK 64
#define STEPS 10000

struct machine {
    const struct gmr__memory *memory;
    const struct gmr__regs *regs;
    uint64_t cfa, *fault;
    uint64_t stack[STACK];
    unsigned used;
};

static bool push(struct machine *m, uint64_t value)
{
    if (m->used == STACK)
        return false;
    m->stack[m->used++] = value;
    return true;
}

static bool pop(struct machine *m, uint64_t *value)
{
    if (!m->used)
        return false;
    *value = m->stack[--m->used];
    return true;
}

static bool push_register(struct machine *m, uint64_t number, uint64_t offset)
{
    if (number >= GMR__MAX_REGS || !(m->regs->valid >> number & 1))
        return false;
    return push(m, m->regs->value[number] + offset);
}

static bool dereference(struct machine *m, size_t bytes)
{
    uint64_t address, value = 0;
    if (bytes > sizeof(value) || !pop(m, &address))
        return false;
    if (gmr__snapshot_read(m->memory->snapshot, m->memory->stack, address, &value, bytes) != 0) {
        *m->fault = address;
        return false;
    }
    return push(m, value);
}

static bool compute(uint8_t atom, uint64_t a, uint64_t b, uint64_t *result)
{
    int64_t x = (int64_t)a, y = (int64_t)b;
    switch (atom) {
    case DW_OP_and:
        *result = a & b;
        return true;
    case DW_OP_or:
        *result = a | b;
        return true;
    case DW_OP_xor:
        *result = a ^ b;
        return true;
    case DW_OP_plus:
        *result = a + b;
        return true;
    case DW_OP_minus:
        *result = a - b;
        return true;
    case DW_OP_mul:
        *result = a * b;
        return true;
    case DW_OP_div:
        if (!b || (x == INT64_MIN && y == -1))
            return false;
        *result = (uint64_t)(x / y);
        return true;
    case DW_OP_mod:
        if (!b)
            return false;
        *result = a % b;
        return true;
    case DW_OP_shl:
        *result = b < 64 ? a << b : 0;
        return true;
    case DW_OP_shr:
        *result = b < 64 ? a >> b : 0;
        return true;
    case DW_OP_shra:
        *result = (uint64_t)(x >> (b < 64 ? b : 63));
        return true;
    case DW_OP_eq:
        *result = x == y;
        return true;
    case DW_OP_ne:
        *result = x != y;
        return true;
    case DW_OP_lt:
        *result = x < y;
        return true;
    case DW_OP_le:
        *result = x <= y;
        return true;
    case DW_OP_gt:
        *result = x > y;
        return true;
    case DW_OP_ge:
        *result = x >= y;
        return true;
    default:
        return false;
    }
}

static bool shuffle(struct machine *m, uint8_t atom, uint64_t number)
{
    uint64_t *top = m->stack + m->used;
    uint64_t depth = atom == DW_OP_dup ? 0 : atom == DW_OP_over ? 1 : number;
    switch (atom) {
    case DW_OP_dup:
    case DW_OP_over:
    case DW_OP_pick:
        return depth < m->used && push(m, m->stack[m->used - 1 - depth]);
    case DW_OP_drop:
        return pop(m, &depth);
    case DW_OP_swap:
        if (m->used < 2)
            return false;
        depth = top[-1];
        top[-1] = top[-2];
        top[-2] = depth;
        return true;
    default: /* DW_OP_rot */
        if (m->used < 3)
            return false;
        depth = top[-1];
        top[-1] = top[-2];
        top[-2] = top[-3];
        top[-3] = depth;
        return true;
    }
}

static bool unary(struct machine *m, const struct gmr__op *op)
{
    uint64_t value;
    if (!pop(m, &value))
        return false;
    switch (op->atom) {
    case DW_OP_abs:
        return push(m, (int64_t)value < 0 ? 0 - value : value);
    case DW_OP_neg:
        return push(m, 0 - value);
    case DW_OP_not:
        return push(m, ~value);
    default: /* DW_OP_plus_uconst */
        return push(m, value + op->number);
    }
}

static bool step(struct machine *m, const struct gmr__op *op)
{
    uint64_t a, b;
    if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
        return push(m, op->atom - DW_OP_lit0);
    if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
        return push_register(m, op->atom - DW_OP_breg0, op->number);
    if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31)
        return push_register(m, op->atom - DW_OP_reg0, 0);
    switch (op->atom) {
    case DW_OP_nop:
    case DW_OP_stack_value:
        return true;
    case DW_OP_addr:
    case DW_OP_const1u:
    case DW_OP_const1s:
    case DW_OP_const2u:
    case DW_OP_const2s:
    case DW_OP_const4u:
    case DW_OP_const4s:
    case DW_OP_const8u:
    case DW_OP_const8s:
    case DW_OP_constu:
    case DW_OP_consts:
        return push(m, op->number);
    case DW_OP_bregx:
        return push_register(m, op->number, op->number2);
    case DW_OP_regx:
        return push_register(m, op->number, 0);
    case DW_OP_call_frame_cfa:
        return push(m, m->cfa);
    case DW_OP_deref:
        return dereference(m, 8);
    case DW_OP_deref_size:
        return dereference(m, op->number);
    case DW_OP_dup:
    case DW_OP_over:
    case DW_OP_pick:
    case DW_OP_drop:
    case DW_OP_swap:
    case DW_OP_rot:
        return shuffle(m, op->atom, op->number);
    case DW_OP_abs:
    case DW_OP_neg:
    case DW_OP_not:
    case DW_OP_plus_uconst:
        return unary(m, op);
    default:
        return pop(m, &b) && pop(m, &a) && compute(op->atom, a, b, &a) && push(m, a);
    }
}

/* The operation that a branch goes to; count for the end, above it if there is none. */
static uint32_t branch(const struct gmr__expression *expression, uint32_t at)
{
    const struct gmr__op *op = &expression->ops[at];
    uint64_t target = op->offset + 3 + (uint64_t)(int64_t)(int16_t)op->number;
    for (uint32_t i = 0; i < expression->count; i++)
        if (expression->ops[i].offset == target)
            return i;
    return target > expression->ops[expression->count - 1].offset ? expression->count : UINT32_MAX;
}

bool gmr__evaluate(const struct gmr__expression *expression, const struct gmr__memory *memory,
                   const struct gmr__regs *regs, uint64_t cfa, uint64_t *result, uint64_t *fault)
{
    struct machine m = {.memory = memory, .regs = regs, .cfa = cfa, .fault = fault};
    unsigned steps = 0;
    *fault = 0;
    for (uint32_t i = 0; i < expression->count && steps++ < STEPS;) {
        const struct gmr__op *op = &expression->ops[i];
        if (op->atom == DW_OP_skip || op->atom == DW_OP_bra) {
            uint64_t condition = 1;
            if (op->atom == DW_OP_bra && !pop(&m, &condition))
                return false;
            i = condition ? branch(expression, i) : i + 1;
            if (i > expression->count)
                return false;
            continue;
        }
        if (!step(&m, op))
            return false;
        i++;
    }
    return steps < STEPS && pop(&m, result);
}
