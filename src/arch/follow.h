/*
 * arch/follow.h - the ways through machine code to where it returns, whatever the processor. Inspector only; private to src/arch.
 *
 * x86_64_exits.c and aarch64_exits.c know what an instruction does to the registers; here are the values they hold, the queue of
 * branches, and what is kept of the ways out.
 */
#ifndef GMR_ARCH_FOLLOW_H
#define GMR_ARCH_FOLLOW_H

#include "arch/exits.h"

#define GMR__FOLLOW_REGS 32

/* A way that is being followed: what each register holds, told by what they held at the beginning. */
struct gmr__way {
    uint64_t pc;
    bool lazy; /* x86-64: a word was pushed for the resolver */
    struct gmr__term reg[GMR__FOLLOW_REGS];
    uint32_t stored; /* aarch64: registers that were stored as they were at the beginning, at sp + stored_at of then */
    int32_t stored_at[GMR__FOLLOW_REGS];
};

struct gmr__follow;
/* Reads the instruction at way->pc, does what it does, and moves on. False: this way ends here. */
typedef bool (*gmr__follow_step)(struct gmr__follow *follow, struct gmr__way *way);

/* From `start` on. As gmr__arch_exits. */
unsigned gmr__follow(gmr__read_code read, void *userdata, const struct gmr__way *start, gmr__follow_step step,
                     struct gmr__exit exits[GMR__MAX_EXITS]);

/* For steps. At least `bytes` of code from pc on: how many there are, fewer where no more can be read. */
size_t gmr__follow_code(struct gmr__follow *follow, uint64_t pc, size_t bytes, const unsigned char **code);
/* Another way, which goes on at pc. */
void gmr__follow_branch(struct gmr__follow *follow, const struct gmr__way *way, uint64_t pc);
/* A way out; by a jump through a pointer it counts only behind all others, and only the last. */
void gmr__follow_exit(struct gmr__follow *follow, const struct gmr__exit *exit);

static inline void gmr__way_forget(struct gmr__way *way, unsigned reg)
{
    way->reg[reg] = (struct gmr__term){0};
}

struct gmr__term gmr__term_plus(struct gmr__term term, int64_t by);
/* The word at `place`, loaded into the register of that DWARF number. What lies below the first stack pointer was stored on the
 * way: to take it back leaves the register as it was. */
struct gmr__term gmr__term_word(struct gmr__term place, uint8_t reg);
/* Is it what register `reg` held at the beginning, or not known? */
bool gmr__term_unchanged(const struct gmr__term *term, uint8_t reg);

#endif
