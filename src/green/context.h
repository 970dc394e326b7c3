/*
 * green/context.h - from the bytes that a switch routine left behind to registers, as a layout tells.
 *
 * Inspector only; plain data, no access to the target. Callers: reader.c, lists.c.
 */
#ifndef GMR_GREEN_CONTEXT_H
#define GMR_GREEN_CONTEXT_H

#include "arch/green.h"
#include "gmr/green.h"

/* A layout taken from the target, checked, and the range of bytes around the slot (or S) that its offsets span. */
struct gmr__shape {
    struct gmr_layout layout; /* its pointers are the target's */
    const char *name;         /* the set's */
    int32_t low, high;        /* bytes needed: [base + low, base + high) */
    bool usable;
};

/* Checks the offsets, sets low, high and usable. */
void gmr__shape_check(struct gmr__shape *shape);

/* block: the bytes at base + low. Registers still unadjusted for PC_ON_STACK (gmr__context_pop). guard: for MANGLED. */
bool gmr__context_decode(const struct gmr__shape *shape, uint64_t base, const unsigned char *block, uint64_t guard,
                         struct gmr__regs *regs);

#endif
