/*
 * green/context.c - decodes saved contexts.
 *
 * Inspector only. Pure functions over bytes from outside: any value may stand there, so offsets are checked before they are used.
 */
#include "green/context.h"

#include <string.h>

#define MAX_SPAN 4096

static void widen(struct gmr__shape *shape, int16_t offset)
{
    if (offset == GMR_NO_OFFSET)
        return;
    if (shape->low == shape->high) {
        shape->low = offset;
        shape->high = offset + 8;
    }
    if (offset < shape->low)
        shape->low = offset;
    if (offset + 8 > shape->high)
        shape->high = offset + 8;
}

void gmr__shape_check(struct gmr__shape *shape)
{
    const struct gmr_layout *l = &shape->layout;
    shape->low = shape->high = 0;
    shape->usable = false;
    if (l->version != GMR_LAYOUT_VERSION || l->kind > GMR_CONTEXT_SP_SLOT)
        return;
    widen(shape, l->off_pc);
    widen(shape, l->off_sp);
    widen(shape, l->off_fp);
    for (unsigned i = 0; i < GMR_LAYOUT_CALLEE && gmr__arch_callee[i] != GMR__ARCH_NO_REG; i++)
        widen(shape, l->off_callee[i]);
    if (l->flags & GMR_LAYOUT_PC_IN_FIRST)
        widen(shape, l->off_alternate_pc);
    if (shape->high - shape->low > MAX_SPAN)
        return;
    bool has_sp = l->kind == GMR_CONTEXT_SP_SLOT || l->off_sp != GMR_NO_OFFSET;
    bool has_pc = l->off_pc != GMR_NO_OFFSET || l->flags & GMR_LAYOUT_PC_ON_STACK;
    shape->usable = l->kind != 0 && has_sp && has_pc;
}

static void take(const struct gmr__shape *shape, const unsigned char *block, int16_t offset, unsigned number,
                 struct gmr__regs *regs)
{
    if (offset == GMR_NO_OFFSET || number >= GMR__MAX_REGS)
        return;
    memcpy(&regs->value[number], block + (offset - shape->low), 8);
    regs->valid |= (uint64_t)1 << number;
}

bool gmr__context_decode(const struct gmr__shape *shape, uint64_t base, const unsigned char *block, uint64_t guard,
                         struct gmr__regs *regs)
{
    const struct gmr_layout *l = &shape->layout;
    *regs = (struct gmr__regs){0};
    if (!shape->usable)
        return false;
    for (unsigned i = 0; i < GMR_LAYOUT_CALLEE && gmr__arch_callee[i] != GMR__ARCH_NO_REG; i++)
        take(shape, block, l->off_callee[i], gmr__arch_callee[i], regs);
    take(shape, block, l->off_fp, gmr__arch_fp, regs);
    take(shape, block, l->off_pc, gmr__arch_pc, regs);
    if (l->off_sp == GMR_NO_OFFSET) {
        regs->value[gmr__arch_sp] = base;
        regs->valid |= (uint64_t)1 << gmr__arch_sp;
    } else {
        take(shape, block, l->off_sp, gmr__arch_sp, regs);
    }
    if (l->flags & GMR_LAYOUT_MANGLED) {
        regs->value[gmr__arch_sp] = gmr__arch_demangle(regs->value[gmr__arch_sp], guard);
        regs->value[gmr__arch_pc] = gmr__arch_demangle(regs->value[gmr__arch_pc], guard);
        if (gmr__arch_fp_mangled)
            regs->value[gmr__arch_fp] = gmr__arch_demangle(regs->value[gmr__arch_fp], guard);
    }
    regs->value[gmr__arch_sp] = gmr__arch_strip(regs->value[gmr__arch_sp] + (uint64_t)(int64_t)l->sp_adjust);
    if (regs->valid >> gmr__arch_pc & 1)
        regs->value[gmr__arch_pc] = gmr__arch_strip(regs->value[gmr__arch_pc]);
    return true;
}
