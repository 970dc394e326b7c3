/*
 * arch/aarch64_exits.c - follows 64-bit ARM code to where it returns, keeping count of what becomes of sp, x29 and x30.
 *
 * Inspector only; plain data handling on code that comes from the target: bounded in instructions and branches. Encodings: Arm ARM, chapter
 * C4. Called by unwind/rules.c for code without call-frame information.
 */
#include "arch/exits.h"

#include <stdlib.h>
#include <string.h>

#define MAX_INSNS 3000
#define MORE_INSNS 300 /* looked at once a way out has been found */
#define MAX_BRANCHES 128
#define VISITED_SLOTS 8192
#define WINDOW_WORDS 128
#define MAX_OFFSET (1 << 24)

enum { FP = 29, LINK = 30, SP = 31, REGS = 32 };

/* What each register holds, told by what they held at the beginning. */
struct state {
    uint64_t pc;
    struct gmr__term reg[REGS];
};

struct follow {
    gmr__read_code read;
    void *userdata;
    uint32_t window[WINDOW_WORDS];
    uint64_t window_at;
    size_t window_bytes;
    struct state branches[MAX_BRANCHES];
    unsigned branch_count, insns, exit_count;
    uint64_t visited[VISITED_SLOTS];
    struct gmr__exit *exits;
    struct gmr__exit jump;
    bool has_jump;
};

static bool code_at(struct follow *f, uint64_t pc, uint32_t *word)
{
    if (pc < f->window_at || pc - f->window_at + sizeof(*word) > f->window_bytes) {
        f->window_at = pc;
        f->window_bytes = f->read(f->userdata, pc, f->window, sizeof(f->window));
    }
    if (f->window_bytes - (size_t)(pc - f->window_at) < sizeof(*word))
        return false;
    *word = f->window[(pc - f->window_at) / sizeof(*word)];
    return true;
}

static bool first_visit(struct follow *f, uint64_t pc)
{
    size_t at = (size_t)(pc * UINT64_C(0x9e3779b97f4a7c15) >> 40) % VISITED_SLOTS;
    while (f->visited[at] && f->visited[at] != pc)
        at = (at + 1) % VISITED_SLOTS;
    if (f->visited[at])
        return false;
    f->visited[at] = pc;
    return true;
}

/* ---------------------------------------------------------------------------------------- values */

static struct gmr__term at_first(unsigned reg)
{
    return (struct gmr__term){.base = (uint8_t)reg, .known = true};
}

static void forget(struct state *s, unsigned reg)
{
    s->reg[reg] = (struct gmr__term){0};
}

static struct gmr__term plus(struct gmr__term term, int64_t by)
{
    int32_t *part = term.memory ? &term.add : &term.offset;
    int64_t sum = *part + by;
    term.known = term.known && sum < MAX_OFFSET && sum > -MAX_OFFSET;
    *part = term.known ? (int32_t)sum : 0;
    return term;
}

/* The word at `place`. What lies below the first stack pointer was stored on the way: to load it leaves the register as it was. */
static struct gmr__term word_at(struct gmr__term place, unsigned reg)
{
    if (place.known && !place.memory && place.base == SP && place.offset < 0)
        return at_first(reg);
    if (!place.known || place.memory)
        return (struct gmr__term){0};
    place.memory = true;
    return place;
}

/* ---------------------------------------------------------------------------------------- ways */

static struct gmr__exit here(const struct state *s)
{
    struct gmr__exit exit = {.address = s->reg[LINK], .sp = s->reg[SP]};
    for (unsigned reg = 19; reg <= FP; reg++) {
        struct gmr__term value = s->reg[reg];
        bool unchanged = !value.memory && value.base == reg && value.offset == 0;
        if (!value.known || unchanged)
            continue;
        exit.reg[exit.count] = (uint8_t)reg;
        exit.value[exit.count++] = value;
    }
    return exit;
}

static void add(struct follow *f, struct gmr__exit exit)
{
    if (f->exit_count == GMR__MAX_EXITS || !exit.address.known || !exit.sp.known)
        return;
    for (unsigned i = 0; i < f->exit_count; i++) {
        const struct gmr__term *a = &f->exits[i].address, *b = &exit.address;
        if (a->base == b->base && a->memory == b->memory && a->offset == b->offset && a->add == b->add)
            return;
    }
    f->exits[f->exit_count++] = exit;
    if (f->insns < MAX_INSNS - MORE_INSNS)
        f->insns = MAX_INSNS - MORE_INSNS;
}

static void branch(struct follow *f, const struct state *s, int64_t distance)
{
    if (f->branch_count == MAX_BRANCHES)
        return;
    f->branches[f->branch_count] = *s;
    f->branches[f->branch_count++].pc = s->pc + (uint64_t)distance;
}

/* ---------------------------------------------------------------------------------------- instructions */

/* A field of a word as a signed number of `unit` bytes. */
static int64_t field(uint32_t word, unsigned low, unsigned bits, int64_t unit)
{
    return ((int64_t)((uint64_t)word << (64 - low - bits)) >> (64 - bits)) * unit;
}

/* Loads and stores of one or two general registers, 64 bits wide, that reckon from a register; other forms change no base. */
static bool transfer(struct state *s, uint32_t word)
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
        s->reg[base] = plus(s->reg[base], offset);
        offset = 0;
    }
    struct gmr__term place = plus(s->reg[base], offset);
    if (load && first != SP)
        s->reg[first] = word_at(place, first);
    if (load && pair && second != SP)
        s->reg[second] = word_at(plus(place, 8), second);
    if (mode == 1)
        s->reg[base] = plus(s->reg[base], after);
    return true;
}

/* add, sub of a number; mov of a register */
static bool reckon(struct state *s, uint32_t word)
{
    unsigned to = word & 31, from = word >> 5 & 31;
    if ((word & 0xbf800000) == 0x91000000) {
        int64_t number = (int64_t)(word >> 10 & 0xfff) << (word >> 22 & 1 ? 12 : 0);
        s->reg[to] = plus(s->reg[from], word >> 30 & 1 ? -number : number);
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
static bool jump(struct follow *f, struct state *s, uint32_t word, bool *done)
{
    *done = true;
    if (word >> 26 == 0x05) { /* b */
        s->pc += (uint64_t)field(word, 0, 26, 4);
        return true;
    }
    if ((word & 0xfe000000) == 0x54000000 || (word & 0x7e000000) == 0x34000000) { /* b.cond; cbz, cbnz */
        branch(f, s, field(word, 5, 19, 4));
    } else if ((word & 0x7e000000) == 0x36000000) { /* tbz, tbnz */
        branch(f, s, field(word, 5, 14, 4));
    } else if (word >> 26 == 0x25 || (word & 0xfe9ff000) == 0xd61f0000) {
        unsigned operation = word >> 21 & 3;
        bool by_register = word >> 26 != 0x25;
        if (by_register && operation == 2) { /* ret, retaa, retab */
            add(f, here(s));
            return false;
        }
        if (by_register && operation == 0) { /* br */
            f->jump = here(s);
            f->jump.by_jump = f->has_jump = true;
            return false;
        }
        for (unsigned reg = 0; reg < 19; reg++)
            forget(s, reg);
        forget(s, LINK);
    } else {
        *done = false;
        return word >> 16 != 0 && (word & 0xffe0001f) != 0xd4200000; /* udf, brk */
    }
    s->pc += sizeof(word);
    return true;
}

static bool execute(struct follow *f, struct state *s, uint32_t word)
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
            forget(s, to);
    }
    return true;
}

unsigned gmr__arch_exits(gmr__read_code read, void *userdata, uint64_t pc, struct gmr__exit exits[GMR__MAX_EXITS])
{
    struct follow *f = calloc(1, sizeof(*f));
    if (!f || pc & 3) {
        free(f);
        return 0;
    }
    f->read = read;
    f->userdata = userdata;
    f->exits = exits;
    struct state start = {.pc = pc};
    for (unsigned reg = 0; reg < REGS; reg++)
        start.reg[reg] = at_first(reg);
    branch(f, &start, 0);
    for (unsigned at = 0; at < f->branch_count && f->exit_count < GMR__MAX_EXITS; at++) {
        struct state s = f->branches[at];
        uint32_t word;
        while (f->insns++ < MAX_INSNS && first_visit(f, s.pc))
            if (!code_at(f, s.pc, &word) || !execute(f, &s, word))
                break;
    }
    if (f->has_jump)
        add(f, f->jump);
    unsigned count = f->exit_count;
    free(f);
    return count;
}
