/*
 * arch/x86_64_exits.c - follows x86-64 code to where it returns, keeping count of what becomes of the stack pointer.
 *
 * Inspector only; plain data handling on code that comes from the target: bounded in instructions and branches. What a prologue did need
 * not be known, since whatever it did is undone before the return. Called by unwind/rules.c for code without call-frame information.
 */
#include "arch/exits.h"

#include <stdlib.h>

#include "arch/x86_64_insn.h"

#define MAX_INSNS 3000
#define MORE_INSNS 300 /* looked at once a way out has been found */
#define MAX_BRANCHES 256
#define VISITED_SLOTS 8192
#define WINDOW_BYTES 512
#define MAX_OFFSET (1 << 24)

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, REGS = 16 };
static const uint8_t dwarf_number[REGS] = {0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};

/* What each register holds, told by what they held at the beginning. */
struct state {
    uint64_t pc;
    bool lazy;
    struct gmr__term reg[REGS];
};

struct follow {
    gmr__read_code read;
    void *userdata;
    unsigned char window[WINDOW_BYTES];
    uint64_t window_at;
    size_t window_bytes;
    struct state branches[MAX_BRANCHES];
    unsigned branch_count, insns, exit_count;
    uint64_t visited[VISITED_SLOTS];
    struct gmr__exit *exits;
    struct gmr__exit jump;
    bool has_jump;
};

static size_t code_at(struct follow *f, uint64_t pc, const unsigned char **code)
{
    if (pc < f->window_at || pc - f->window_at + GMR__MAX_INSN_BYTES > f->window_bytes) {
        f->window_at = pc;
        f->window_bytes = f->read(f->userdata, pc, f->window, WINDOW_BYTES);
    }
    *code = f->window + (pc - f->window_at);
    return f->window_bytes - (size_t)(pc - f->window_at);
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

static bool callee_saved(unsigned reg)
{
    return reg == RBX || reg == RBP || reg >= 12;
}

static struct gmr__term at_first(unsigned reg)
{
    return (struct gmr__term){.base = dwarf_number[reg], .known = true};
}

static void forget(struct state *s, unsigned reg)
{
    s->reg[reg] = (struct gmr__term){0};
}

static void forget_scratch(struct state *s)
{
    for (unsigned reg = 0; reg < REGS; reg++)
        if (!callee_saved(reg) && reg != RSP)
            forget(s, reg);
}

static struct gmr__term plus(struct gmr__term term, int64_t by)
{
    int32_t *part = term.memory ? &term.add : &term.offset;
    int64_t sum = *part + by;
    term.known = term.known && sum < MAX_OFFSET && sum > -MAX_OFFSET;
    *part = term.known ? (int32_t)sum : 0;
    return term;
}

static void move_sp(struct state *s, int64_t by)
{
    s->reg[RSP] = plus(s->reg[RSP], by);
}

/* The word at `place`. What lies below the first stack pointer was pushed on the way: to take it back leaves the register as it was. */
static struct gmr__term word_at(struct gmr__term place, unsigned reg)
{
    if (place.known && !place.memory && place.base == dwarf_number[RSP] && place.offset < 0)
        return at_first(reg);
    if (!place.known || place.memory)
        return (struct gmr__term){0};
    place.memory = true;
    return place;
}

static struct gmr__term operand_place(const struct state *s, const struct gmr__insn *insn)
{
    return insn->base < REGS ? plus(s->reg[insn->base], insn->displacement) : (struct gmr__term){0};
}

/* ---------------------------------------------------------------------------------------- ways */

static struct gmr__exit here(const struct state *s)
{
    struct gmr__exit exit = {.address = s->reg[RSP], .sp = plus(s->reg[RSP], 8)};
    for (unsigned reg = 0; reg < REGS; reg++) {
        struct gmr__term value = s->reg[reg];
        bool unchanged = !value.memory && value.base == dwarf_number[reg] && value.offset == 0;
        if (!callee_saved(reg) || !value.known || unchanged)
            continue;
        exit.reg[exit.count] = dwarf_number[reg];
        exit.value[exit.count++] = value;
    }
    return exit;
}

static bool same(const struct gmr__term *a, const struct gmr__term *b)
{
    return a->base == b->base && a->memory == b->memory && a->offset == b->offset && a->add == b->add;
}

static void add(struct follow *f, struct gmr__exit exit)
{
    if (f->exit_count == GMR__MAX_EXITS || !exit.address.known)
        return;
    for (unsigned i = 0; i < f->exit_count; i++)
        if (same(&f->exits[i].address, &exit.address))
            return;
    f->exits[f->exit_count++] = exit;
    if (f->insns < MAX_INSNS - MORE_INSNS)
        f->insns = MAX_INSNS - MORE_INSNS;
}

static void branch(struct follow *f, const struct state *s, uint64_t to)
{
    if (f->branch_count == MAX_BRANCHES)
        return;
    f->branches[f->branch_count] = *s;
    f->branches[f->branch_count++].pc = to;
}

/* ---------------------------------------------------------------------------------------- instructions */

static void arithmetic(struct state *s, unsigned rm, unsigned operation, int64_t number)
{
    if (operation == 0 || operation == 5) /* add, sub */
        s->reg[rm] = plus(s->reg[rm], operation ? -number : number);
    else if (operation != 7) /* all but cmp */
        forget(s, rm);
}

/* Instructions of the first map with a ModRM byte. */
static void with_operand(struct state *s, const struct gmr__insn *insn)
{
    unsigned mode = insn->modrm >> 6, field = insn->modrm >> 3 & 7;
    unsigned reg = field | (insn->rex & 4) << 1, rm = (insn->modrm & 7) | (insn->rex & 1) << 3;
    bool wide = insn->rex & 8;
    switch (insn->opcode) {
    case 0x38: /* cmp, test; bytes */
    case 0x39:
    case 0x3a:
    case 0x3b:
    case 0x80:
    case 0x84:
    case 0x85:
    case 0x88:
    case 0xf6:
        return;
    case 0x81:
    case 0x83:
        if (mode == 3)
            arithmetic(s, rm, wide ? field : 1, insn->immediate);
        return;
    case 0x8d: /* lea */
        s->reg[reg] = wide ? operand_place(s, insn) : (struct gmr__term){0};
        return;
    case 0x89: /* mov to r/m */
        if (mode == 3)
            s->reg[rm] = wide ? s->reg[reg] : (struct gmr__term){0};
        return;
    case 0x8b: /* mov from r/m */
        s->reg[reg] = !wide ? (struct gmr__term){0} : mode == 3 ? s->reg[rm] : word_at(operand_place(s, insn), reg);
        return;
    case 0x8f: /* pop to memory */
        move_sp(s, 8);
        return;
    case 0xff:
        if (field == 2 || field == 3) /* calls */
            forget_scratch(s);
        else if (field == 6) /* push */
            move_sp(s, -8);
        else if (mode == 3)
            forget(s, rm);
        return;
    case 0xc7: /* mov of a number, test, not, ...: no second register */
    case 0xf7:
    case 0xc1:
    case 0xd1:
    case 0xd3:
        if (mode == 3 && (insn->opcode != 0xf7 || field >= 2))
            forget(s, rm);
        return;
    case 0x01: /* add, or, adc, sbb, and, sub, xor to r/m */
    case 0x09:
    case 0x11:
    case 0x19:
    case 0x21:
    case 0x29:
    case 0x31:
        if (mode == 3)
            forget(s, rm);
        return;
    default:
        if (insn->opcode >= 0xd8 && insn->opcode <= 0xdf) /* floating point */
            return;
        forget(s, reg);
        if (mode == 3 && (insn->opcode == 0x86 || insn->opcode == 0x87))
            forget(s, rm);
    }
}

static bool other_map(struct follow *f, struct state *s, const struct gmr__insn *insn)
{
    uint8_t op = insn->opcode;
    if (insn->vector || insn->map != GMR__MAP_0F)
        return true;
    if (op >= 0x80 && op <= 0x8f) {
        branch(f, s, s->pc + (uint64_t)insn->immediate);
        return true;
    }
    bool writes = (op >= 0x40 && op <= 0x4f) || op == 0xaf || op == 0xb6 || op == 0xb7 || (op >= 0xbc && op <= 0xbf);
    if (writes)
        forget(s, (insn->modrm >> 3 & 7) | (insn->rex & 4u) << 1);
    return op != 0x0b && op != 0x07 && op != 0xb9 && op != 0xff; /* ud2, sysret, ud1, ud0 */
}

static bool without_operand(struct follow *f, struct state *s, const struct gmr__insn *insn)
{
    uint8_t op = insn->opcode;
    unsigned low = (op & 7) | (insn->rex & 1u) << 3;
    if (op >= 0x50 && op <= 0x57) {
        move_sp(s, -8);
        return true;
    }
    if (op >= 0x58 && op <= 0x5f) {
        struct gmr__term value = word_at(s->reg[RSP], low);
        move_sp(s, 8);
        s->reg[low] = value;
        return true;
    }
    if ((op >= 0x70 && op <= 0x7f) || (op >= 0xe0 && op <= 0xe3)) {
        branch(f, s, s->pc + (uint64_t)insn->immediate);
        return true;
    }
    if ((op >= 0x91 && op <= 0x97) || (op >= 0xb8 && op <= 0xbf))
        forget(s, low);
    switch (op) {
    case 0x68: /* push, pushf */
    case 0x6a:
    case 0x9c:
        move_sp(s, -8);
        return true;
    case 0x9d:
        move_sp(s, 8);
        return true;
    case 0xc9: /* leave */
        s->reg[RSP] = s->reg[RBP];
        s->reg[RBP] = word_at(s->reg[RSP], RBP);
        move_sp(s, 8);
        return true;
    case 0xc2:
    case 0xc3:
        add(f, here(s));
        return false;
    case 0xe8:
        forget_scratch(s);
        return true;
    case 0xe9:
    case 0xeb:
        s->pc += (uint64_t)insn->immediate;
        return true;
    default: /* enter, far returns, int3, hlt */
        return op != 0xc8 && op != 0xca && op != 0xcb && op != 0xcc && op != 0xcf && op != 0xf4;
    }
}

/* False: this way ends here. */
static bool execute(struct follow *f, struct state *s, const struct gmr__insn *insn)
{
    bool lazy = s->lazy;
    s->pc += insn->length;
    s->lazy = false;
    if (insn->vector || insn->map != GMR__MAP_ONE)
        return other_map(f, s, insn);
    if (!insn->has_modrm)
        return without_operand(f, s, insn);
    if (insn->opcode == 0xff && (insn->modrm >> 3 & 7) == 4) {
        /* The beginning of a procedure linkage table: the resolver takes back both words that have been pushed. */
        if (lazy)
            move_sp(s, 16);
        f->jump = here(s);
        f->jump.by_jump = f->has_jump = true;
        return false;
    }
    s->lazy = insn->opcode == 0xff && insn->modrm == 0x35; /* push memory(%rip) */
    with_operand(s, insn);
    return true;
}

unsigned gmr__arch_exits(gmr__read_code read, void *userdata, uint64_t pc, struct gmr__exit exits[GMR__MAX_EXITS])
{
    struct follow *f = calloc(1, sizeof(*f));
    if (!f)
        return 0;
    f->read = read;
    f->userdata = userdata;
    f->exits = exits;
    struct state start = {.pc = pc};
    for (unsigned reg = 0; reg < REGS; reg++)
        start.reg[reg] = at_first(reg);
    unsigned char before[6];
    start.lazy = read(userdata, pc - sizeof(before), before, sizeof(before)) == sizeof(before) && before[0] == 0xff &&
                 before[1] == 0x35;
    branch(f, &start, pc);
    /* Branches not taken wait their turn, the oldest first: so the nearest way out comes first. */
    for (unsigned at = 0; at < f->branch_count && f->exit_count < GMR__MAX_EXITS; at++) {
        struct state s = f->branches[at];
        const unsigned char *code;
        struct gmr__insn insn;
        while (f->insns++ < MAX_INSNS && first_visit(f, s.pc)) {
            size_t bytes = code_at(f, s.pc, &code);
            if (!gmr__x86_64_decode(code, bytes, &insn) || !execute(f, &s, &insn))
                break;
        }
    }
    if (f->has_jump)
        add(f, f->jump);
    unsigned count = f->exit_count;
    free(f);
    return count;
}
