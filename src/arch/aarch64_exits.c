/*
 * arch/aarch64_exits.c - follows 64-bit ARM code to where it returns, keeping count of what becomes of sp, x29 and x30.
 *
 * Inspector only; plain data handling on code that comes from the target. Encodings: Arm ARM, chapter C4. follow.c bounds and remembers.
 * Called by unwind/rules.c for code without call-frame information.
 */
#include "arch/follow.h"

#include <string.h>

enum { FP = 29, LINK = 30, SP = 31, REGS = GMR__FOLLOW_REGS };

/* ---------------------------------------------------------------------------------------- ways */

static void leave(struct gmr__follow *f, const struct gmr__way *s, bool by_jump)
{
    struct gmr__exit exit = {.by_jump = by_jump, .address = s->reg[LINK], .sp = s->reg[SP]};
    for (unsigned reg = 19; reg <= FP; reg++) {
        if (gmr__term_unchanged(&s->reg[reg], (uint8_t)reg))
            continue;
        exit.reg[exit.count] = (uint8_t)reg;
        exit.value[exit.count++] = s->reg[reg];
    }
    gmr__follow_exit(f, &exit);
}

/* ---------------------------------------------------------------------------------------- instructions */

/* A field of a word as a signed number of `unit` bytes. */
static int64_t field(uint32_t word, unsigned low, unsigned bits, int64_t unit)
{
    return ((int64_t)((uint64_t)word << (64 - low - bits)) >> (64 - bits)) * unit;
}

static bool on_stack(const struct gmr__term *place)
{
    return place->known && !place->memory && place->base == SP;
}

/* A prologue makes its room first and stores into it afterwards: the place lies above the stack pointer by then. */
static void store(struct gmr__way *s, unsigned reg, struct gmr__term place)
{
    if (reg == SP || !on_stack(&place) || !s->reg[reg].known || !gmr__term_unchanged(&s->reg[reg], (uint8_t)reg))
        return;
    s->stored |= UINT32_C(1) << reg;
    s->stored_at[reg] = place.offset;
}

static void take_back(struct gmr__way *s, unsigned reg, struct gmr__term place)
{
    if (reg == SP)
        return;
    if (s->stored >> reg & 1 && on_stack(&place) && place.offset == s->stored_at[reg])
        s->reg[reg] = (struct gmr__term){.base = (uint8_t)reg, .known = true};
    else
        s->reg[reg] = gmr__term_word(place, (uint8_t)reg);
}

/* Loads and stores of one or two general registers, 64 bits wide, that reckon from a register; other forms change no base. */
static bool transfer(struct gmr__way *s, uint32_t word)
{
    unsigned base = word >> 5 & 31, first = word & 31, second = word >> 10 & 31, mode;
    bool pair = (word & 0xfe000000) == 0xa8000000, load;
    int64_t offset, after = 0;
    if (pair) { /* stp, ldp of x registers */
        mode = word >> 23 & 3;
        load = word >> 22 & 1;
        offset = field(word, 15, 7, 8);
    } else if ((word & 0xffa00000) == 0xf8000000) { /* str, ldr: before, after, or no index */
        mode = word >> 10 & 3;
        mode = mode == 3 ? 3 : mode == 1 ? 1 : 2;
        load = word >> 22 & 1;
        offset = field(word, 12, 9, 1);
    } else if ((word & 0xff800000) == 0xf9000000) { /* str, ldr with an offset */
        mode = 2;
        load = word >> 22 & 1;
        offset = (int64_t)(word >> 10 & 0xfff) * 8;
    } else {
        return false;
    }
    if (mode == 1) { /* the base is moved afterwards */
        after = offset;
        offset = 0;
    } else if (mode == 3) {
        s->reg[base] = gmr__term_plus(s->reg[base], offset);
        offset = 0;
    }
    struct gmr__term place = gmr__term_plus(s->reg[base], offset);
    (load ? take_back : store)(s, first, place);
    if (pair)
        (load ? take_back : store)(s, second, gmr__term_plus(place, 8));
    if (mode == 1)
        s->reg[base] = gmr__term_plus(s->reg[base], after);
    return true;
}

/* add, sub of a number; mov of a register */
static bool reckon(struct gmr__way *s, uint32_t word)
{
    unsigned to = word & 31, from = word >> 5 & 31;
    if ((word & 0xbf800000) == 0x91000000) {
        int64_t number = (int64_t)(word >> 10 & 0xfff) << (word >> 22 & 1 ? 12 : 0);
        s->reg[to] = gmr__term_plus(s->reg[from], word >> 30 & 1 ? -number : number);
        return true;
    }
    if ((word & 0xffe0ffe0) == 0xaa0003e0) { /* mov; 31 is zero here */
        unsigned source = word >> 16 & 31;
        if (to != SP)
            s->reg[to] = source == SP ? (struct gmr__term){0} : s->reg[source];
        return true;
    }
    return false;
}

/* Branches. False: this way ends here. *done: it was one. */
static bool jump(struct gmr__follow *f, struct gmr__way *s, uint32_t word, bool *done)
{
    *done = true;
    if (word >> 26 == 0x05) { /* b */
        s->pc += (uint64_t)field(word, 0, 26, 4);
        return true;
    }
    if ((word & 0xfe000000) == 0x54000000 || (word & 0x7e000000) == 0x34000000) { /* b.cond; cbz, cbnz */
        gmr__follow_branch(f, s, s->pc + (uint64_t)field(word, 5, 19, 4));
    } else if ((word & 0x7e000000) == 0x36000000) { /* tbz, tbnz */
        gmr__follow_branch(f, s, s->pc + (uint64_t)field(word, 5, 14, 4));
    } else if (word >> 26 == 0x25 || (word & 0xfe9ff000) == 0xd61f0000) {
        unsigned operation = word >> 21 & 3;
        bool by_register = word >> 26 != 0x25;
        if (by_register && operation == 2) { /* ret, retaa, retab */
            leave(f, s, false);
            return false;
        }
        if (by_register && operation == 0) { /* br */
            leave(f, s, true);
            return false;
        }
        for (unsigned reg = 0; reg < 19; reg++)
            gmr__way_forget(s, reg);
        gmr__way_forget(s, LINK);
    } else {
        *done = false;
        return word >> 16 != 0 && (word & 0xffe0001f) != 0xd4200000; /* udf, brk */
    }
    s->pc += sizeof(word);
    return true;
}

static bool execute(struct gmr__follow *f, struct gmr__way *s, uint32_t word)
{
    bool done;
    if (!jump(f, s, word, &done))
        return false;
    if (done)
        return true;
    s->pc += sizeof(word);
    /* What else writes sp, x29 or x30 makes them unknown; other registers are not asked for. */
    if (!transfer(s, word) && !reckon(s, word) && (word & 0x1c000000) != 0x0c000000 &&
        (word & 0x0a000000) != 0x08000000) {
        unsigned to = word & 31;
        if (to == FP || to == LINK || ((word & 0xff800000) == 0x92000000 && to == SP))
            gmr__way_forget(s, to);
    }
    return true;
}

static bool step(struct gmr__follow *f, struct gmr__way *s)
{
    const unsigned char *code;
    uint32_t word;
    if (gmr__follow_code(f, s->pc, sizeof(word), &code) < sizeof(word))
        return false;
    memcpy(&word, code, sizeof(word));
    return execute(f, s, word);
}

unsigned gmr__arch_exits(gmr__read_code read, void *userdata, uint64_t pc, struct gmr__exit exits[GMR__MAX_EXITS])
{
    struct gmr__way start = {.pc = pc};
    if (pc & 3)
        return 0;
    for (unsigned reg = 0; reg < REGS; reg++)
        start.reg[reg] = (struct gmr__term){.base = (uint8_t)reg, .known = true};
    return gmr__follow(read, userdata, &start, step, exits);
}
