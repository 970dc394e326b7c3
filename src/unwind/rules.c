/*
 * unwind/rules.c - the cache of unwind rules: call-frame information turned into a compact form, once per pc.
 *
 * Inspector only. libdw finds and runs the CFI program (tens of microseconds); the result serves every frame at that pc in any thread.
 * Memory is taken in blocks and given back all at once. Called by unwind.c.
 */
#include "unwind/rules.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

#include "arch/code.h"
#include "symbol/symbol.h"

#define BLOCK_BYTES (64u << 10)

struct block {
    struct block *next;
    size_t used, cap;
    max_align_t bytes[];
};

struct gmr__rules {
    const struct gmr__snapshot *snapshot;
    struct gmr__modules *modules;
    struct gmr__rule *slots;
    size_t slot_count, used; /* slot_count: a power of two */
    struct block *blocks;
};

static void *take(struct gmr__rules *rules, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (!rules->blocks || rules->blocks->cap - rules->blocks->used < bytes) {
        size_t cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        struct block *block = malloc(sizeof(*block) + cap);
        if (!block)
            return NULL;
        *block = (struct block){.next = rules->blocks, .cap = cap};
        rules->blocks = block;
    }
    void *place = (char *)rules->blocks->bytes + rules->blocks->used;
    rules->blocks->used += bytes;
    return place;
}

struct gmr__rules *gmr__rules_new(const struct gmr__snapshot *snapshot, struct gmr__modules *modules)
{
    struct gmr__rules *rules = calloc(1, sizeof(*rules));
    if (!rules)
        return NULL;
    rules->snapshot = snapshot;
    rules->modules = modules;
    rules->slot_count = 1024;
    rules->slots = calloc(rules->slot_count, sizeof(*rules->slots));
    if (!rules->slots) {
        free(rules);
        return NULL;
    }
    return rules;
}

void gmr__rules_free(struct gmr__rules *rules)
{
    if (!rules)
        return;
    for (struct block *block = rules->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(rules->slots);
    free(rules);
}

/* ---------------------------------------------------------------------------------------- from libdw's form to ours */

static const struct gmr__expression *keep_ops(struct gmr__rules *rules, const Dwarf_Op *ops, size_t count)
{
    struct gmr__expression *expression = take(rules, sizeof(*expression) + count * sizeof(expression->ops[0]));
    if (!expression)
        return NULL;
    expression->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        expression->ops[i] = (struct gmr__op){ops[i].atom, ops[i].number, ops[i].number2, ops[i].offset};
    return expression;
}

static bool set_cfa(struct gmr__rules *rules, struct gmr__rule *rule, Dwarf_Frame *frame)
{
    Dwarf_Op *ops;
    size_t count;
    if (dwarf_frame_cfa(frame, &ops, &count) != 0 || count == 0)
        return false;
    if (count == 1 && ops[0].atom == DW_OP_bregx && ops[0].number < GMR__MAX_REGS) {
        rule->cfa_reg = (uint8_t)ops[0].number;
        rule->cfa_offset = (int64_t)ops[0].number2;
        return true;
    }
    if (count == 1 && ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31) {
        rule->cfa_reg = (uint8_t)(ops[0].atom - DW_OP_breg0);
        rule->cfa_offset = (int64_t)ops[0].number;
        return true;
    }
    rule->cfa_expression = keep_ops(rules, ops, count);
    return rule->cfa_expression != NULL;
}

/* One register's location as libdw gives it: [CFA] [+ offset] [is the value], [register], or any expression. */
static bool set_reg(struct gmr__rules *rules, struct gmr__reg_rule *reg, const Dwarf_Op *ops, size_t count)
{
    bool value = count && ops[count - 1].atom == DW_OP_stack_value;
    size_t plain = count - value;
    reg->offset = 0;
    reg->expression = NULL;
    if (plain >= 1 && plain <= 2 && ops[0].atom == DW_OP_call_frame_cfa &&
        (plain == 1 || ops[1].atom == DW_OP_plus_uconst)) {
        int64_t offset = plain == 2 ? (int64_t)ops[1].number : 0;
        if (offset == (int32_t)offset) {
            reg->kind = value ? GMR__REG_CFA : GMR__REG_AT_CFA;
            reg->offset = (int32_t)offset;
            return true;
        }
    }
    if (count == 1 && ops[0].atom == DW_OP_regx && ops[0].number < GMR__MAX_REGS) {
        reg->kind = GMR__REG_COPY;
        reg->other = (uint8_t)ops[0].number;
        return true;
    }
    if (count == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31) {
        reg->kind = GMR__REG_COPY;
        reg->other = (uint8_t)(ops[0].atom - DW_OP_reg0);
        return true;
    }
    reg->kind = value ? GMR__REG_VALUE : GMR__REG_AT;
    reg->expression = keep_ops(rules, ops, count);
    return reg->expression != NULL;
}

static bool convert(struct gmr__rules *rules, struct gmr__rule *rule, Dwarf_Frame *frame)
{
    struct gmr__reg_rule found[GMR__MAX_REGS];
    bool signal;
    int return_reg = dwarf_frame_info(frame, NULL, NULL, &signal);
    if (return_reg < 0 || return_reg >= GMR__MAX_REGS || !set_cfa(rules, rule, frame))
        return false;
    rule->kind = GMR__RULE_CFI;
    rule->return_reg = (uint8_t)return_reg;
    rule->signal = signal;
    unsigned count = 0;
    for (int number = 0; number < GMR__MAX_REGS; number++) {
        Dwarf_Op memory[3], *ops;
        size_t op_count;
        if (dwarf_frame_register(frame, number, memory, &ops, &op_count) != 0)
            continue;
        if (op_count) {
            found[count].reg = (uint8_t)number;
            if (!set_reg(rules, &found[count], ops, op_count))
                return false;
            count++;
        } else if (ops && number == return_reg) { /* undefined; NULL would be: unchanged */
            rule->outermost = true;
        }
        /* Other registers said to be undefined are left as they are, as gdb and libgcc do: elfutils 0.188 takes what CFI doesn't
         * mention for undefined where the ABI it has built in says so, and for x86-64 that has rax where rbx should be. */
    }
    struct gmr__reg_rule *regs = take(rules, (count + 1) * sizeof(*regs)); /* above_cfa may add one */
    if (!regs)
        return false;
    memcpy(regs, found, count * sizeof(*regs));
    rule->regs = regs;
    rule->reg_count = (uint8_t)count;
    return true;
}

/* ---------------------------------------------------------------------------------------- making one */

static bool from_cfi(struct gmr__rules *rules, struct gmr__rule *rule, Dwarf_CFI *cfi, uint64_t address)
{
    Dwarf_Frame *frame = NULL;
    if (!cfi || dwarf_cfi_addrframe(cfi, address, &frame) != 0 || !frame)
        return false;
    bool done = convert(rules, rule, frame);
    free(frame);
    return done;
}

static struct gmr__reg_rule *rule_of(const struct gmr__rule *rule, unsigned reg)
{
    for (unsigned i = 0; i < rule->reg_count; i++)
        if (rule->regs[i].reg == reg)
            return (struct gmr__reg_rule *)&rule->regs[i];
    return NULL;
}

/* See gmr__arch_above_cfa. */
static void above_cfa(struct gmr__rules *rules, struct gmr__rule *rule, uint64_t pc, bool activation)
{
    unsigned char code[GMR__BINDER_BYTES];
    struct gmr__reg_rule *back = rule_of(rule, rule->return_reg), *sp = rule_of(rule, gmr__arch_sp);
    if (rule->cfa_expression || rule->cfa_reg != gmr__arch_sp || rule->outermost ||
        (back && back->kind != GMR__REG_AT_CFA))
        return;
    int64_t offset = back ? back->offset : 0;
    bool read = !back && activation && gmr__snapshot_read_code(rules->snapshot, pc, code, sizeof(code)) == 0;
    int64_t above = gmr__arch_above_cfa(rule->cfa_offset, back ? &offset : NULL, read ? code : NULL);
    if (!above)
        return;
    if (back && rule->cfa_offset < 0) /* what lies below the stack pointer has been loaded again */
        *back = (struct gmr__reg_rule){.reg = back->reg, .kind = GMR__REG_COPY, .other = back->reg};
    if (!sp)
        sp = (struct gmr__reg_rule *)&rule->regs[rule->reg_count++];
    *sp = (struct gmr__reg_rule){.reg = (uint8_t)gmr__arch_sp, .kind = GMR__REG_CFA, .offset = (int32_t)above};
}

/* See gmr__arch_registers_back: then what the rule says of registers "at an expression" holds no more. */
static void mend(struct gmr__rules *rules, struct gmr__rule *rule, uint64_t pc)
{
    unsigned char around[GMR__EPILOGUE_BYTES];
    unsigned kept = 0;
    struct gmr__reg_rule *regs = (struct gmr__reg_rule *)rule->regs;
    if (gmr__snapshot_read(rules->snapshot, NULL, pc - GMR__EPILOGUE_BEFORE, around, sizeof(around)) != 0 ||
        !gmr__arch_registers_back(around))
        return;
    for (unsigned i = 0; i < rule->reg_count; i++)
        if (regs[i].kind != GMR__REG_AT)
            regs[kept++] = regs[i];
    rule->reg_count = (uint8_t)kept;
}

static size_t read_code(void *userdata, uint64_t address, void *to, size_t bytes)
{
    const struct gmr__snapshot *snapshot = userdata;
    const struct gmr__map *map = gmr__snapshot_map(snapshot, address);
    if (!map || !map->exec)
        return 0;
    if (map->end - address < bytes)
        bytes = (size_t)(map->end - address);
    return gmr__snapshot_read_code(snapshot, address, to, bytes) == 0 ? bytes : 0;
}

static void find_exits(struct gmr__rules *rules, struct gmr__rule *rule, uint64_t pc)
{
    struct gmr__exit exits[GMR__MAX_EXITS];
    unsigned count = gmr__arch_exits(read_code, (void *)rules->snapshot, pc, exits);
    /* What interpreters and compilers make at run time jumps from one piece of code to the next. */
    if (count && !rule->module && exits[count - 1].by_jump)
        count--;
    struct gmr__exit *kept = count ? take(rules, count * sizeof(*kept)) : NULL;
    if (!kept)
        return;
    memcpy(kept, exits, count * sizeof(*kept));
    rule->exits = kept;
    rule->exit_count = (uint8_t)count;
}

static bool in_stub(struct gmr__rules *rules, struct gmr__rule *rule, uint64_t pc)
{
    unsigned char around[GMR__STUB_AROUND];
    int64_t pushed;
    if (gmr__snapshot_read_code(rules->snapshot, pc - GMR__STUB_BEFORE, around, sizeof(around)) != 0 ||
        !gmr__arch_in_stub(around, &pushed))
        return false;
    rule->kind = GMR__RULE_CFI;
    rule->cfa_reg = (uint8_t)gmr__arch_sp;
    rule->cfa_offset = pushed;
    rule->return_reg = (uint8_t)gmr__arch_return;
    return true;
}

static bool is_sigreturn(const struct gmr__rules *rules, uint64_t pc)
{
    unsigned char code[GMR__SIGRETURN_BYTES];
    const struct gmr__map *map = gmr__snapshot_map(rules->snapshot, pc);
    return map && map->exec && gmr__snapshot_read(rules->snapshot, NULL, pc, code, sizeof(code)) == 0 &&
           gmr__arch_is_sigreturn(code);
}

static void make(struct gmr__rules *rules, struct gmr__rule *rule, uint64_t pc, bool activation)
{
    uint64_t lookup = activation ? pc : pc - 1;
    const struct gmr__map *map = gmr__snapshot_map(rules->snapshot, lookup);
    const struct gmr__module *module = gmr__modules_find(rules->modules, lookup);
    rule->module = module ? module->path : NULL;
    /* Looked for at pc itself, which may be the first byte of its mapping: what "returns" there was made by the kernel, no call stands in
     * front of it. */
    if (is_sigreturn(rules, pc) ||
        (activation && gmr__arch_sigreturn_call && is_sigreturn(rules, pc - gmr__arch_sigreturn_call))) {
        rule->kind = GMR__RULE_SIGRETURN;
        rule->signal = true;
        return;
    }
    if (!map || !map->exec) {
        rule->kind = GMR__RULE_NO_CODE;
        return;
    }
    if (module) {
        Dwarf_CFI *eh_frame = NULL, *debug_frame = NULL;
        uint64_t eh_bias = 0, debug_bias = 0;
        gmr__module_cfi(rules->modules, module, &eh_frame, &eh_bias, &debug_frame, &debug_bias);
        if ((from_cfi(rules, rule, eh_frame, lookup - eh_bias) ||
             from_cfi(rules, rule, debug_frame, lookup - debug_bias)) &&
            !gmr__module_changed(module)) {
            if (activation)
                mend(rules, rule, pc);
            above_cfa(rules, rule, pc, activation);
            return;
        }
        /* The first instruction of a function, no call in front of it: put there by hand, to be returned to. So green
         * threads end (glibc's __start_context), and nobody called it. */
        if (!activation && from_cfi(rules, rule, eh_frame, pc - eh_bias) && !gmr__module_changed(module)) {
            rule->outermost = rule->entered = true;
            return;
        }
    }
    const char *path = rule->module;
    *rule = (struct gmr__rule){.kind = GMR__RULE_NO_CFI, .module = path};
    if (activation && module && in_stub(rules, rule, pc))
        return;
    find_exits(rules, rule, pc);
}

static size_t slot_of(const struct gmr__rules *rules, uint64_t key)
{
    size_t mask = rules->slot_count - 1, at = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 20) & mask;
    while (rules->slots[at].key && rules->slots[at].key != key)
        at = (at + 1) & mask;
    return at;
}

static bool grow(struct gmr__rules *rules)
{
    struct gmr__rule *old = rules->slots;
    size_t old_count = rules->slot_count;
    struct gmr__rule *slots = calloc(old_count * 2, sizeof(*slots));
    if (!slots)
        return false;
    rules->slots = slots;
    rules->slot_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].key)
            slots[slot_of(rules, old[i].key)] = old[i];
    free(old);
    return true;
}

const struct gmr__rule *gmr__rules_find(struct gmr__rules *rules, uint64_t pc, bool activation)
{
    /* User addresses leave the upper bits free; pc 0 is legal (a call of a null pointer). */
    uint64_t key = pc << 2 | (uint64_t)activation << 1 | 1;
    size_t at = slot_of(rules, key);
    if (rules->slots[at].key)
        return &rules->slots[at];
    if (rules->used * 2 >= rules->slot_count) {
        if (!grow(rules))
            return NULL;
        at = slot_of(rules, key);
    }
    struct gmr__rule rule = {0};
    make(rules, &rule, pc, activation);
    rule.key = key;
    rules->slots[at] = rule;
    rules->used++;
    return &rules->slots[at];
}
