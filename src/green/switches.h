/*
 * green/switches.h - the switch routines of a program, and what an OS thread that was stopped inside one of them means.
 *
 * Inspector only; reads code, which does not change. Up to the instruction that loads the stack pointer the old green thread runs, all its registers in
 * place; from there on the new one does, whose registers may still be in memory.
 */
#ifndef GMR_GREEN_SWITCHES_H
#define GMR_GREEN_SWITCHES_H

#include "green/context.h"
#include "green/green.h"

#define GMR__SWITCHES 64

struct gmr__switch {
    uint64_t low, high;
    uint64_t loaded; /* address behind the instruction that loads the stack pointer */
};

struct gmr__switches {
    struct gmr__switch routines[GMR__SWITCHES];
    size_t count;
    uint64_t sites[GMR__SWITCHES]; /* return addresses looked at last */
};

/* Those that are known by name, as far as the process has them. */
void gmr__switches_by_name(struct gmr__green *green, struct gmr__switches *switches);
/* The one in [low, high); high 0: up to its first return or jump. Nothing happens where the code loads no stack pointer. */
void gmr__switches_add(struct gmr__green *green, struct gmr__switches *switches, uint64_t low, uint64_t high);
/* What the call in front of this return address goes to, if that is a switch routine. */
void gmr__switches_learn(struct gmr__green *green, struct gmr__switches *switches, uint64_t site);
const struct gmr__switch *gmr__switch_at(const struct gmr__switches *switches, uint64_t pc);

/*
 * regs, stack: of an OS thread whose pc is in `routine`. Makes *regs those of the routine's caller, at the return from it: the old green
 * thread's, or the new one's, taken from memory as its layout says. False if the return address isn't found.
 */
bool gmr__switch_leave(struct gmr__green *green, const struct gmr__switch *routine, const struct gmr__shape *shape,
                       const struct gmr__segment *stack, struct gmr__regs *regs);

#endif
