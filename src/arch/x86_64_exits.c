/*
 * arch/x86_64_exits.c - follows x86-64 code to where it returns, keeping count of what becomes of the stack pointer.
 *
 * Inspector only; plain data handling on code that comes from the target. What a prologue did need not be known, since whatever it did is
 * undone before the return. follow.c bounds and remembers. Called by unwind/rules.c for code without call-frame information.
 */
#include "arch/follow.h"
#include "arch/x86_64_insn.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, REGS = 16 };
static const uint8_t dwarf_number[REGS] = {0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};

/* ---------------------------------------------------------------------------------------- values */

static bool callee_saved(unsigned reg)
{
    return reg == RBX || reg == RBP || reg >= 12;
}

static struct gmr__term at_first(unsigned reg)
{
    return (struct gmr__term){.base = dwarf_number[reg], .known = true};
}

static void forget_scratch(struct gmr__way *s)
{
    for (unsigned reg = 0; reg < REGS; reg++)
        if (!callee_saved(reg) && reg != RSP)
            gmr__way_forget(s, reg);
}

static void move_sp(struct gmr__way *s, int64_t by)
{
    s->reg[RSP] = gmr__term_plus(s->reg[RSP], by);
}

static struct gmr__term operand_place(const struct gmr__way *s, const struct gmr__insn *insn)
{
    return insn->base < REGS ? gmr__term_plus(s->reg[insn->base], insn->displacement) : (struct gmr__term){0};
}

/* ---------------------------------------------------------------------------------------- ways */

static void leave(struct gmr__follow *f, const struct gmr__way *s, bool by_jump)
{
    struct gmr__exit exit = {.by_jump = by_jump, .address = s->reg[RSP], .sp = gmr__term_plus(s->reg[RSP], 8)};
    for (unsigned reg = 0; reg < REGS; reg++) {
        if (!callee_saved(reg) || gmr__term_unchanged(&s->reg[reg], dwarf_number[reg]))
            continue;
        exit.reg[exit.count] = dwarf_number[reg];
        exit.value[exit.count++] = s->reg[reg];
    }
    gmr__follow_exit(f, &exit);
}

/* ---------------------------------------------------------------------------------------- instructions */

static void arithmetic(struct gmr__way *s, unsigned rm, unsigned operation, int64_t number)
{
    if (operation == 0 || operation == 5) /* add, sub */
        s->reg[rm] = gmr__term_plus(s->reg[rm], operation ? -number : number);
    else if (operation != 7) /* all but cmp */
        gmr__way_forget(s, rm);
}

/* Instructions of the first map with a ModRM byte. */
static void with_operand(struct gmr__way *s, const struct gmr__insn *insn)
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
        s->reg[reg] = !wide       ? (struct gmr__term){0}
                      : mode == 3 ? s->reg[rm]
                                  : gmr__term_word(operand_place(s, insn), dwarf_number[reg]);
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
            gmr__way_forget(s, rm);
        return;
    case 0xc7: /* mov of a number, test, not, ...: no second register */
    case 0xf7:
    case 0xc1:
    case 0xd1:
    case 0xd3:
        if (mode == 3 && (insn->opcode != 0xf7 || field >= 2))
            gmr__way_forget(s, rm);
        return;
    case 0x01: /* add, or, adc, sbb, and, sub, xor to r/m */
    case 0x09:
    case 0x11:
    case 0x19:
    case 0x21:
    case 0x29:
    case 0x31:
        if (mode == 3)
            gmr__way_forget(s, rm);
        return;
    default:
        if (insn->opcode >= 0xd8 && insn->opcode <= 0xdf) /* floating point */
            return;
        gmr__way_forget(s, reg);
        if (mode == 3 && (insn->opcode == 0x86 || insn->opcode == 0x87))
            gmr__way_forget(s, rm);
    }
}

static bool other_map(struct gmr__follow *f, struct gmr__way *s, const struct gmr__insn *insn)
{
    uint8_t op = insn->opcode;
    if (insn->vector || insn->map != GMR__MAP_0F)
        return true;
    if (op >= 0x80 && op <= 0x8f) {
        gmr__follow_branch(f, s, s->pc + (uint64_t)insn->immediate);
        return true;
    }
    bool writes = (op >= 0x40 && op <= 0x4f) || op == 0xaf || op == 0xb6 || op == 0xb7 || (op >= 0xbc && op <= 0xbf);
    if (writes)
        gmr__way_forget(s, (insn->modrm >> 3 & 7) | (insn->rex & 4u) << 1);
    return op != 0x0b && op != 0x07 && op != 0xb9 && op != 0xff; /* ud2, sysret, ud1, ud0 */
}

static bool without_operand(struct gmr__follow *f, struct gmr__way *s, const struct gmr__insn *insn)
{
    uint8_t op = insn->opcode;
    unsigned low = (op & 7) | (insn->rex & 1u) << 3;
    if (op >= 0x50 && op <= 0x57) {
        move_sp(s, -8);
        return true;
    }
    if (op >= 0x58 && op <= 0x5f) {
        struct gmr__term value = gmr__term_word(s->reg[RSP], dwarf_number[low]);
        move_sp(s, 8);
        s->reg[low] = value;
        return true;
    }
    if ((op >= 0x70 && op <= 0x7f) || (op >= 0xe0 && op <= 0xe3)) {
        gmr__follow_branch(f, s, s->pc + (uint64_t)insn->immediate);
        return true;
    }
    if ((op >= 0x91 && op <= 0x97) || (op >= 0xb8 && op <= 0xbf))
        gmr__way_forget(s, low);
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
        s->reg[RBP] = gmr__term_word(s->reg[RSP], dwarf_number[RBP]);
        move_sp(s, 8);
        return true;
    case 0xc2:
    case 0xc3:
        leave(f, s, false);
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

static bool execute(struct gmr__follow *f, struct gmr__way *s, const struct gmr__insn *insn)
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
        leave(f, s, true);
        return false;
    }
    s->lazy = insn->opcode == 0xff && insn->modrm == 0x35; /* push memory(%rip) */
    with_operand(s, insn);
    return true;
}

static bool step(struct gmr__follow *f, struct gmr__way *s)
{
    const unsigned char *code;
    struct gmr__insn insn;
    size_t bytes = gmr__follow_code(f, s->pc, GMR__MAX_INSN_BYTES, &code);
    return gmr__x86_64_decode(code, bytes, &insn) && execute(f, s, &insn);
}

unsigned gmr__arch_exits(gmr__read_code read, void *userdata, uint64_t pc, struct gmr__exit exits[GMR__MAX_EXITS])
{
    struct gmr__way start = {.pc = pc};
    for (unsigned reg = 0; reg < REGS; reg++)
        start.reg[reg] = at_first(reg);
    unsigned char before[6];
    start.lazy = read(userdata, pc - sizeof(before), before, sizeof(before)) == sizeof(before) && before[0] == 0xff &&
                 before[1] == 0x35;
    return gmr__follow(read, userdata, &start, step, exits);
}
