/*
 * unwind/guess.c - the caller of code that no call-frame information covers: hand-written assembly, code made at run time, a jump to nowhere.
 *
 * Inspector only. What is found here is marked as guessed. First the machine code is followed to where it returns (arch/exits.h): that is
 * hardly ever wrong. Where it does not return, the stack is searched for a call of this very function, and the frame pointer asked. A word
 * counts as a return address only if a call instruction ends there. Called by unwind.c.
 */
#include <string.h>

#include "arch/code.h"
#include "unwind/rules.h"

#define SCAN_WORDS 256
#define ENTRY_BYTES 64
#define FUNCTION_BYTES 0x1000 /* where no symbol tells: a call's target so far before pc is taken for pc's function */

static bool word(const struct gmr__memory *memory, uint64_t address, uint64_t *value)
{
    return gmr__snapshot_read(memory->snapshot, memory->stack, address, value, sizeof(*value)) == 0;
}

static bool executable(const struct gmr__memory *memory, uint64_t address)
{
    const struct gmr__map *map = gmr__snapshot_map(memory->snapshot, address);
    return map && map->exec;
}

static bool is_return_address(const struct gmr__memory *memory, uint64_t address, uint64_t *target)
{
    unsigned char before[GMR__CALL_BYTES], code[GMR__SIGRETURN_BYTES];
    *target = 0;
    if (!executable(memory, address - 1))
        return false;
    /* What a signal handler returns to was put there by the kernel. */
    if (gmr__snapshot_read_code(memory->snapshot, address, code, sizeof(code)) == 0 && gmr__arch_is_sigreturn(code))
        return true;
    const struct gmr__map *map = gmr__snapshot_map(memory->snapshot, address - 1);
    memset(before, 0, sizeof(before));
    size_t have = address - map->start < sizeof(before) ? address - map->start : sizeof(before);
    if (gmr__snapshot_read_code(memory->snapshot, address - have, before + sizeof(before) - have, have) != 0)
        return false;
    /* Interpreters that are made at run time write return addresses by themselves. */
    return gmr__arch_call_before(before, address, target) || map->write;
}

static void set(struct gmr__regs *caller, const struct gmr__regs *regs, uint64_t pc, uint64_t sp)
{
    *caller = *regs;
    caller->value[gmr__arch_pc] = pc;
    caller->value[gmr__arch_sp] = sp;
}

/* The function that pc is in has not touched the stack: it has just been called, or needs none. */
static bool just_called(const struct gmr__memory *memory, const struct gmr__regs *regs, bool code,
                        struct gmr__regs *caller, uint64_t *cfa)
{
    uint64_t sp = regs->value[gmr__arch_sp], target, address;
    if (gmr__arch_link >= 0) {
        address = gmr__arch_strip(regs->value[gmr__arch_link]);
        *cfa = sp;
    } else {
        if (!word(memory, sp, &address))
            return false;
        *cfa = sp + 8;
    }
    if (!is_return_address(memory, address, &target) && code)
        return false;
    if (!executable(memory, address))
        return false;
    set(caller, regs, address, *cfa);
    return true;
}

static bool value_of(const struct gmr__memory *memory, const struct gmr__regs *regs, const struct gmr__term *term,
                     uint64_t *value)
{
    *value = regs->value[term->base] + (uint64_t)(int64_t)term->offset;
    if (!term->known || !(regs->valid >> term->base & 1))
        return false;
    if (term->memory && !word(memory, *value, value))
        return false;
    *value += (uint64_t)(int64_t)term->add;
    return true;
}

/* As the code that follows says: where it returns, the return address has to be. */
static bool by_exit(const struct gmr__memory *memory, const struct gmr__regs *regs, const struct gmr__exit *exit,
                    struct gmr__regs *caller, uint64_t *cfa)
{
    uint64_t address, value, target, sp = regs->value[gmr__arch_sp];
    if (!value_of(memory, regs, &exit->sp, cfa) || *cfa & 7 || *cfa < sp ||
        !value_of(memory, regs, &exit->address, &address))
        return false;
    if (gmr__arch_link < 0 && !word(memory, address, &address))
        return false;
    address = gmr__arch_strip(address);
    if (!is_return_address(memory, address, &target))
        return false;
    set(caller, regs, address, *cfa);
    for (unsigned i = 0; i < exit->count; i++) {
        if (value_of(memory, regs, &exit->value[i], &value)) {
            caller->value[exit->reg[i]] = value;
            caller->valid |= 1ULL << exit->reg[i];
        } else {
            caller->valid &= ~(1ULL << exit->reg[i]);
        }
    }
    return true;
}

static bool by_exits(const struct gmr__memory *memory, const struct gmr__regs *regs, bool activation,
                     const struct gmr__rule *rule, struct gmr__regs *caller, uint64_t *cfa)
{
    for (unsigned i = 0; i < rule->exit_count; i++)
        /* The link register is good only until the next call: behind one it holds this very pc. */
        if ((activation || gmr__arch_link < 0 || rule->exits[i].address.memory) &&
            by_exit(memory, regs, &rule->exits[i], caller, cfa))
            return true;
    return false;
}

static bool by_frame_pointer(const struct gmr__memory *memory, const struct gmr__regs *regs, struct gmr__regs *caller,
                             uint64_t *cfa)
{
    uint64_t fp = regs->value[gmr__arch_fp], sp = regs->value[gmr__arch_sp], saved[2], target;
    if (!(regs->valid >> gmr__arch_fp & 1) || fp < sp || fp & 7 || !word(memory, fp, &saved[0]) ||
        !word(memory, fp + 8, &saved[1]))
        return false;
    saved[1] = gmr__arch_strip(saved[1]);
    if (!is_return_address(memory, saved[1], &target))
        return false;
    *cfa = fp + 16;
    set(caller, regs, saved[1], *cfa);
    caller->value[gmr__arch_fp] = saved[0];
    return true;
}

/* Does a call of this target arrive in the function that pc is in? */
static bool arrives(const struct gmr__memory *memory, uint64_t target, uint64_t pc, uint64_t start)
{
    unsigned char code[GMR__STUB_BYTES];
    uint64_t slot, function = target;
    if (gmr__snapshot_read(memory->snapshot, memory->stack, target, code, sizeof(code)) == 0 &&
        gmr__arch_stub_slot(code, target, &slot) && !word(memory, slot, &function)) {
        /* A stub of a procedure linkage table whose word can't be read: it leads to another file, at least. */
        const struct gmr__map *from = gmr__snapshot_map(memory->snapshot, target);
        const struct gmr__map *to = gmr__snapshot_map(memory->snapshot, pc);
        return from && to && (from->inode != to->inode || strcmp(from->path, to->path) != 0);
    }
    return start ? function == start : function <= pc && pc - function < FUNCTION_BYTES;
}

/* Registers were pushed, no frame pointer kept: the first word above that names the place behind a call of this very function. */
static bool by_scan(const struct gmr__memory *memory, const struct gmr__regs *regs, struct gmr__regs *caller,
                    uint64_t *cfa)
{
    uint64_t sp = (regs->value[gmr__arch_sp] + 7) & ~(uint64_t)7, pc = regs->value[gmr__arch_pc], address, target;
    uint64_t fp = regs->value[gmr__arch_fp], start;
    if (gmr__arch_link >= 0)
        return false; /* where the return address is saved is up to each function */
    start = memory->function_start ? memory->function_start(memory->function_userdata, pc) : 0;
    for (unsigned i = 0; i < SCAN_WORDS && word(memory, sp + 8 * i, &address); i++) {
        if (fp >= sp && sp + 8 * i > fp)
            return false; /* the frame pointer is the better guess from here on */
        if (!is_return_address(memory, address, &target) || !target || !arrives(memory, target, pc, start))
            continue;
        *cfa = sp + 8 * i + 8;
        set(caller, regs, address, *cfa);
        return true;
    }
    return false;
}

/* musl's way from the entry to main is by jumps and never returns, so no call of this function is on the stack. If the first word above that
 * can be a return address at all is one into the code at the program's entry, that is where all began. */
static bool by_entry(const struct gmr__memory *memory, const struct gmr__regs *regs, struct gmr__regs *caller,
                     uint64_t *cfa)
{
    uint64_t sp = (regs->value[gmr__arch_sp] + 7) & ~(uint64_t)7, entry = memory->snapshot->entry, address, target;
    for (unsigned i = 0; entry && i < SCAN_WORDS && word(memory, sp + 8 * i, &address); i++) {
        if (!is_return_address(memory, address, &target))
            continue;
        if (address - entry >= ENTRY_BYTES)
            return false;
        *cfa = sp + 8 * i + 8;
        set(caller, regs, address, *cfa);
        caller->value[gmr__arch_fp] = 0;
        return true;
    }
    return false;
}

/* Nobody calls the code at the program's entry, and where threads begin: "the deepest stack frame" is marked by a frame pointer
 * of zero (System V ABI, AMD64 supplement, 3.4.1; AAPCS64, 6.4.6). */
static bool is_outermost(const struct gmr__memory *memory, const struct gmr__regs *regs, bool activation)
{
    uint64_t entry = memory->snapshot->entry, pc = regs->value[gmr__arch_pc];
    if (entry && pc >= entry && pc - entry < ENTRY_BYTES)
        return true;
    return !activation && regs->valid >> gmr__arch_fp & 1 && !regs->value[gmr__arch_fp];
}

enum gmr__guess gmr__guess_caller(const struct gmr__memory *memory, const struct gmr__regs *regs, bool activation,
                                  const struct gmr__rule *rule, struct gmr__regs *caller, uint64_t *cfa)
{
    bool code = rule->kind == GMR__RULE_NO_CFI;
    if (!(regs->valid >> gmr__arch_sp & 1))
        return GMR__GUESS_NONE;
    if (by_exits(memory, regs, activation, rule, caller, cfa))
        return GMR__GUESS_CALLER;
    if (activation && !rule->exit_count && just_called(memory, regs, code, caller, cfa))
        return GMR__GUESS_CALLER;
    if (!code)
        return GMR__GUESS_NONE;
    if (by_scan(memory, regs, caller, cfa) || by_frame_pointer(memory, regs, caller, cfa))
        return GMR__GUESS_CALLER;
    if (is_outermost(memory, regs, activation))
        return GMR__GUESS_OUTERMOST;
    return by_entry(memory, regs, caller, cfa) ? GMR__GUESS_CALLER : GMR__GUESS_NONE;
}
