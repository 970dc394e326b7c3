/*
 * unwind/guess.c - the caller of code that no call-frame information covers: hand-written assembly, code made at run time, a jump to nowhere.
 *
 * Inspector only. What is found here is marked as guessed. A word counts as a return address only if a call instruction
 * ends there. Called by unwind.c.
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
    unsigned char before[GMR__CALL_BYTES];
    *target = 0;
    if (!executable(memory, address - 1))
        return false;
    const struct gmr__map *map = gmr__snapshot_map(memory->snapshot, address - 1);
    memset(before, 0, sizeof(before));
    size_t have = address - map->start < sizeof(before) ? address - map->start : sizeof(before);
    if (gmr__snapshot_read(memory->snapshot, memory->stack, address - have, before + sizeof(before) - have, have) != 0)
        return map->write; /* code made at run time can't be read back from a moving target: benefit of the doubt */
    return gmr__arch_call_before(before, address, target);
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
                                  bool code, struct gmr__regs *caller, uint64_t *cfa)
{
    if (!(regs->valid >> gmr__arch_sp & 1))
        return GMR__GUESS_NONE;
    if (activation && just_called(memory, regs, code, caller, cfa))
        return GMR__GUESS_CALLER;
    if (!code)
        return GMR__GUESS_NONE;
    if (by_scan(memory, regs, caller, cfa) || by_frame_pointer(memory, regs, caller, cfa))
        return GMR__GUESS_CALLER;
    return is_outermost(memory, regs, activation) ? GMR__GUESS_OUTERMOST : GMR__GUESS_NONE;
}
