/*
 * unwind/self_cfi_as.c - see unwind/self_cfi.h: finds the FDE by .eh_frame_hdr, runs its program, applies the row.
 *
 * The target's half; async-signal-safe, bounded.
 */
#include "unwind/self_cfi.h"

#include <dwarf.h>

#include "sys/buf.h"
#include "unwind/self_expr.h"

#define REMEMBERED 6
#define MOST_INSTRUCTIONS 4096

/* <dwarf.h> (elfutils) has the DW_EH_PE names; what else is wanted: */
#define CFA_NEGATE_RA_STATE 0x2d /* also DW_CFA_GNU_window_save: on aarch64 the return address is signed from here on */

enum rule_kind { SAME = 0, UNDEFINED, AT_CFA, IS_CFA, IN_REGISTER, AT_EXPRESSION, IS_EXPRESSION };

struct rule {
    enum rule_kind kind;
    int64_t value; /* offset, register, or address of the expression's block */
};

struct row {
    struct rule reg[GMR__MAX_REGS];
    unsigned cfa_reg;
    int64_t cfa_offset;
    uint64_t cfa_expression; /* 0: cfa_reg + cfa_offset */
};

struct entry { /* a CIE and the FDE that refers to it */
    uint64_t code_align;
    int64_t data_align;
    unsigned return_column;
    uint8_t encoding;
    bool has_augmentation, signal_frame;
    uint64_t initial, initial_end, program, program_end;
    uint64_t start, end;
};

static uint64_t pointer(struct gmr__self_cursor *c, uint8_t encoding, uint64_t data_base)
{
    uint64_t base = 0, here = c->at, value;
    if (encoding == DW_EH_PE_omit)
        return 0;
    switch (encoding & 0x70) {
    case DW_EH_PE_pcrel:
        base = here;
        break;
    case DW_EH_PE_datarel:
        base = data_base;
        break;
    default:
        break;
    }
    switch (encoding & 0x0f) {
    case DW_EH_PE_uleb128:
        value = gmr__cursor_uleb(c);
        break;
    case DW_EH_PE_sleb128:
        value = (uint64_t)gmr__cursor_sleb(c);
        break;
    case DW_EH_PE_udata2:
        value = gmr__cursor_uint(c, 2);
        break;
    case DW_EH_PE_sdata2:
        value = (uint64_t)(int64_t)(int16_t)gmr__cursor_uint(c, 2);
        break;
    case DW_EH_PE_udata4:
        value = gmr__cursor_uint(c, 4);
        break;
    case DW_EH_PE_sdata4:
        value = (uint64_t)(int64_t)(int32_t)gmr__cursor_uint(c, 4);
        break;
    default:
        value = gmr__cursor_uint(c, 8);
        break;
    }
    return value ? base + value : 0;
}

/* The sorted table behind .eh_frame_hdr: pairs of 4-byte offsets from its start, which is what every linker writes. */
static uint64_t find_fde(const struct gmr__self_cfi *cfi, uint64_t lookup)
{
    uint64_t hdr = cfi->module->eh_frame_hdr;
    unsigned char head[4];
    if (!hdr || !gmr__peek(cfi->peek, hdr, head, 4) || head[0] != 1 || head[3] != (DW_EH_PE_datarel | DW_EH_PE_sdata4))
        return 0;
    struct gmr__self_cursor c = {.peek = cfi->peek, .at = hdr + 4, .end = hdr + 64};
    pointer(&c, head[1], hdr);
    uint64_t count = head[2] == DW_EH_PE_omit ? 0 : pointer(&c, head[2], hdr);
    uint64_t low = 0, high = count < (1u << 26) ? count : 0, table = c.at;
    while (!c.failed && low < high) {
        uint64_t middle = low + (high - low) / 2;
        int32_t start;
        if (!gmr__peek(cfi->peek, table + middle * 8, &start, 4))
            return 0;
        if (hdr + (uint64_t)(int64_t)start <= lookup)
            low = middle + 1;
        else
            high = middle;
    }
    int32_t fde;
    if (low == 0 || !gmr__peek(cfi->peek, table + (low - 1) * 8 + 4, &fde, 4))
        return 0;
    return hdr + (uint64_t)(int64_t)fde;
}

static bool read_cie(const struct gmr__self_cfi *cfi, uint64_t at, struct entry *e)
{
    struct gmr__self_cursor c = {.peek = cfi->peek, .at = at, .end = at + 4};
    uint64_t length = gmr__cursor_uint(&c, 4);
    if (c.failed || length < 9 || length > 65536)
        return false;
    c.end = c.at + length;
    e->initial_end = c.end;
    if (gmr__cursor_uint(&c, 4) != 0)
        return false;
    unsigned version = (unsigned)gmr__cursor_uint(&c, 1);
    char augmentation[8];
    unsigned n = 0;
    while (n < sizeof(augmentation) - 1 && (augmentation[n] = (char)gmr__cursor_uint(&c, 1)))
        n++;
    augmentation[n] = '\0';
    e->code_align = gmr__cursor_uleb(&c);
    e->data_align = gmr__cursor_sleb(&c);
    e->return_column = (unsigned)(version == 1 ? gmr__cursor_uint(&c, 1) : gmr__cursor_uleb(&c));
    e->encoding = DW_EH_PE_absptr;
    e->has_augmentation = augmentation[0] == 'z';
    uint64_t behind = 0;
    if (e->has_augmentation) {
        uint64_t bytes = gmr__cursor_uleb(&c);
        behind = c.at + bytes;
    }
    for (unsigned i = 1; e->has_augmentation && i < n; i++) {
        if (augmentation[i] == 'R')
            e->encoding = (uint8_t)gmr__cursor_uint(&c, 1);
        else if (augmentation[i] == 'L')
            gmr__cursor_uint(&c, 1);
        else if (augmentation[i] == 'P')
            pointer(&c, (uint8_t)gmr__cursor_uint(&c, 1), 0);
        else if (augmentation[i] == 'S')
            e->signal_frame = true;
    }
    e->initial = behind ? behind : c.at;
    return !c.failed && e->return_column < GMR__MAX_REGS && e->initial <= e->initial_end;
}

static bool read_fde(const struct gmr__self_cfi *cfi, uint64_t at, struct entry *e)
{
    struct gmr__self_cursor c = {.peek = cfi->peek, .at = at, .end = at + 4};
    uint64_t length = gmr__cursor_uint(&c, 4);
    if (c.failed || length < 8 || length > (1u << 24))
        return false;
    c.end = c.at + length;
    e->program_end = c.end;
    uint64_t cie_field = c.at, back = gmr__cursor_uint(&c, 4);
    if (back == 0 || !read_cie(cfi, cie_field - back, e))
        return false;
    e->start = pointer(&c, e->encoding, 0);
    e->end = e->start + pointer(&c, e->encoding & 0x0f, 0);
    if (e->has_augmentation) {
        uint64_t bytes = gmr__cursor_uleb(&c);
        c.at += bytes;
    }
    e->program = c.at;
    return !c.failed && e->program <= e->program_end;
}

/* ---- the program ---- */

static void set_rule(struct row *row, uint64_t reg, enum rule_kind kind, int64_t value)
{
    if (reg < GMR__MAX_REGS)
        row->reg[reg] = (struct rule){kind, value};
}

static int64_t block(struct gmr__self_cursor *c)
{
    uint64_t at = c->at, bytes = gmr__cursor_uleb(c);
    c->at += bytes;
    return (int64_t)at;
}

/* Those that carry their operand as LEB128 numbers. False: not one that is known. */
static bool run_extended(struct gmr__self_cursor *c, unsigned op, const struct entry *e, struct row *row)
{
    uint64_t reg;
    switch (op) {
    case DW_CFA_offset_extended:
        reg = gmr__cursor_uleb(c);
        set_rule(row, reg, AT_CFA, (int64_t)gmr__cursor_uleb(c) * e->data_align);
        return true;
    case DW_CFA_offset_extended_sf:
        reg = gmr__cursor_uleb(c);
        set_rule(row, reg, AT_CFA, gmr__cursor_sleb(c) * e->data_align);
        return true;
    case DW_CFA_GNU_negative_offset_extended:
        reg = gmr__cursor_uleb(c);
        set_rule(row, reg, AT_CFA, -(int64_t)gmr__cursor_uleb(c) * e->data_align);
        return true;
    case DW_CFA_val_offset:
        reg = gmr__cursor_uleb(c);
        set_rule(row, reg, IS_CFA, (int64_t)gmr__cursor_uleb(c) * e->data_align);
        return true;
    case DW_CFA_val_offset_sf:
        reg = gmr__cursor_uleb(c);
        set_rule(row, reg, IS_CFA, gmr__cursor_sleb(c) * e->data_align);
        return true;
    case DW_CFA_undefined:
        set_rule(row, gmr__cursor_uleb(c), UNDEFINED, 0);
        return true;
    case DW_CFA_same_value:
        set_rule(row, gmr__cursor_uleb(c), SAME, 0);
        return true;
    case DW_CFA_register:
        reg = gmr__cursor_uleb(c);
        set_rule(row, reg, IN_REGISTER, (int64_t)gmr__cursor_uleb(c));
        return true;
    case DW_CFA_expression:
        reg = gmr__cursor_uleb(c);
        set_rule(row, reg, AT_EXPRESSION, block(c));
        return true;
    case DW_CFA_val_expression:
        reg = gmr__cursor_uleb(c);
        set_rule(row, reg, IS_EXPRESSION, block(c));
        return true;
    case DW_CFA_def_cfa:
        row->cfa_reg = (unsigned)gmr__cursor_uleb(c);
        row->cfa_offset = (int64_t)gmr__cursor_uleb(c);
        row->cfa_expression = 0;
        return true;
    case DW_CFA_def_cfa_sf:
        row->cfa_reg = (unsigned)gmr__cursor_uleb(c);
        row->cfa_offset = gmr__cursor_sleb(c) * e->data_align;
        row->cfa_expression = 0;
        return true;
    case DW_CFA_def_cfa_register:
        row->cfa_reg = (unsigned)gmr__cursor_uleb(c);
        return true;
    case DW_CFA_def_cfa_offset:
        row->cfa_offset = (int64_t)gmr__cursor_uleb(c);
        return true;
    case DW_CFA_def_cfa_offset_sf:
        row->cfa_offset = gmr__cursor_sleb(c) * e->data_align;
        return true;
    case DW_CFA_def_cfa_expression:
        row->cfa_expression = (uint64_t)block(c);
        return true;
    case DW_CFA_GNU_args_size:
        gmr__cursor_uleb(c);
        return true;
    case DW_CFA_nop:
    case CFA_NEGATE_RA_STATE:
        return true;
    default:
        return false;
    }
}

struct machine {
    struct row row, initial, remembered[REMEMBERED];
    unsigned depth;
    uint64_t location;
};

/* Runs [at, end) until the row of `lookup` is complete. False: an instruction that is not known. */
static bool run(const struct gmr__self_cfi *cfi, struct machine *m, const struct entry *e, uint64_t at, uint64_t end,
                uint64_t lookup)
{
    struct gmr__self_cursor c = {.peek = cfi->peek, .at = at, .end = end};
    for (unsigned n = 0; c.at < end && n < MOST_INSTRUCTIONS; n++) {
        unsigned op = (unsigned)gmr__cursor_uint(&c, 1), low = op & 0x3f;
        uint64_t advance = 0;
        bool moves = true;
        if (c.failed)
            return false;
        if ((op & 0xc0) == DW_CFA_advance_loc)
            advance = low;
        else if (op == DW_CFA_advance_loc1)
            advance = gmr__cursor_uint(&c, 1);
        else if (op == DW_CFA_advance_loc2)
            advance = gmr__cursor_uint(&c, 2);
        else if (op == DW_CFA_advance_loc4)
            advance = gmr__cursor_uint(&c, 4);
        else
            moves = false;
        if (moves) {
            m->location += advance * e->code_align;
            if (m->location > lookup)
                return !c.failed;
        } else if ((op & 0xc0) == DW_CFA_offset) {
            set_rule(&m->row, low, AT_CFA, (int64_t)gmr__cursor_uleb(&c) * e->data_align);
        } else if ((op & 0xc0) == DW_CFA_restore) {
            if (low < GMR__MAX_REGS)
                m->row.reg[low] = m->initial.reg[low];
        } else if (op == DW_CFA_restore_extended) {
            uint64_t reg = gmr__cursor_uleb(&c);
            if (reg < GMR__MAX_REGS)
                m->row.reg[reg] = m->initial.reg[reg];
        } else if (op == DW_CFA_set_loc) {
            m->location = pointer(&c, e->encoding, 0);
            if (m->location > lookup)
                return !c.failed;
        } else if (op == DW_CFA_remember_state) {
            if (m->depth == REMEMBERED)
                return false;
            m->remembered[m->depth++] = m->row;
        } else if (op == DW_CFA_restore_state) {
            if (m->depth == 0)
                return false;
            m->row = m->remembered[--m->depth];
        } else if (!run_extended(&c, op, e, &m->row)) {
            return false;
        }
    }
    return !c.failed;
}

/* ---- the step ---- */

static bool apply(const struct gmr__self_cfi *cfi, const struct rule *rule, const struct gmr__regs *from, uint64_t cfa,
                  unsigned reg, uint64_t *value)
{
    uint64_t address;
    switch (rule->kind) {
    case AT_CFA:
        return cfi->read(cfi->userdata, cfa + (uint64_t)rule->value, value, 8);
    case IS_CFA:
        *value = cfa + (uint64_t)rule->value;
        return true;
    case IN_REGISTER:
        *value = (uint64_t)rule->value < GMR__MAX_REGS ? from->value[rule->value] : 0;
        return true;
    case AT_EXPRESSION:
        return gmr__self_expression(cfi, from, (uint64_t)rule->value, true, cfa, &address) &&
               cfi->read(cfi->userdata, address, value, 8);
    case IS_EXPRESSION:
        return gmr__self_expression(cfi, from, (uint64_t)rule->value, true, cfa, value);
    default:
        *value = from->value[reg];
        return true;
    }
}

/* See gmr__arch_above_cfa. What lies below the stack pointer has been loaded again. */
static uint64_t above_cfa(const struct gmr__self_cfi *cfi, struct row *row, unsigned return_column, uint64_t lookup)
{
    struct rule *back = &row->reg[return_column];
    unsigned char code[GMR__BINDER_BYTES];
    if (row->cfa_expression || row->cfa_reg != gmr__arch_sp || (back->kind != AT_CFA && back->kind != SAME))
        return 0;
    bool kept = back->kind == SAME;
    uint64_t above =
        (uint64_t)gmr__arch_above_cfa(row->cfa_offset, kept ? NULL : &back->value,
                                      kept && gmr__peek(cfi->peek, lookup, code, sizeof(code)) ? code : NULL);
    if (above && row->cfa_offset < 0)
        back->kind = SAME;
    return above;
}

enum gmr__self_step gmr__self_cfi_step(const struct gmr__self_cfi *cfi, struct gmr__regs *regs, uint64_t lookup,
                                       bool *signal_frame)
{
    struct entry e = {0};
    struct machine m;
    uint64_t fde = find_fde(cfi, lookup), cfa;
    if (!fde || !read_fde(cfi, fde, &e) || lookup < e.start || lookup >= e.end)
        return GMR__SELF_NO_RULE;
    gmr__memset(&m, 0, sizeof(m));
    m.location = e.start;
    if (!run(cfi, &m, &e, e.initial, e.initial_end, UINT64_MAX))
        return GMR__SELF_NO_RULE;
    m.initial = m.row;
    m.location = e.start;
    if (!run(cfi, &m, &e, e.program, e.program_end, lookup))
        return GMR__SELF_NO_RULE;
    *signal_frame = e.signal_frame;
    if (m.row.reg[e.return_column].kind == UNDEFINED)
        return GMR__SELF_OUTERMOST;
    if (m.row.cfa_expression) {
        if (!gmr__self_expression(cfi, regs, m.row.cfa_expression, false, 0, &cfa))
            return GMR__SELF_BAD_MEMORY;
    } else if (m.row.cfa_reg < GMR__MAX_REGS) {
        cfa = regs->value[m.row.cfa_reg] + (uint64_t)m.row.cfa_offset;
    } else {
        return GMR__SELF_NO_RULE;
    }
    cfa = gmr__arch_strip(cfa); /* of a frame pointer that was a tagged stack pointer */
    struct gmr__regs next = *regs;
    next.value[gmr__arch_sp] = cfa + above_cfa(cfi, &m.row, e.return_column, lookup);
    for (unsigned reg = 0; reg < GMR__MAX_REGS; reg++) {
        const struct rule *rule = &m.row.reg[reg];
        if (rule->kind == SAME && reg != e.return_column)
            continue;
        if (rule->kind != UNDEFINED && !apply(cfi, rule, regs, cfa, reg, &next.value[reg]))
            return GMR__SELF_BAD_MEMORY;
    }
    next.value[gmr__arch_pc] = gmr__arch_strip(next.value[e.return_column]);
    *regs = next;
    return GMR__SELF_STEPPED;
}
