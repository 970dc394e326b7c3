/*
 * green/switches.c - see switches.h.
 *
 * Inspector only, mostly with the target running again. Routines are known by name, by what a layout tells, or because suspended green threads
 * return from them; hand-written ones mostly have no unwind information, hence the search for the return address.
 */
#include "green/switches.h"

#include <string.h>

#include "arch/code.h"

#define MAX_CODE 1024u
#define GUESSED 256u /* bytes looked at where a routine's size isn't known */

static const char *const names[] = {"jump_fcontext", "ontop_fcontext",
                                    "coro_transfer", "bthread_jump_fcontext",
                                    "swapcontext",   "_photon_switch_context",
                                    "_mco_switch",   "co_swap",
                                    "coctx_swap",    "acosw"};

void gmr__switches_add(struct gmr__green *green, struct gmr__switches *switches, uint64_t low, uint64_t high)
{
    unsigned char code[MAX_CODE];
    if (!low || switches->count == GMR__SWITCHES)
        return;
    for (size_t i = 0; i < switches->count; i++)
        if (switches->routines[i].low == low)
            return;
    struct gmr__green_piece piece = {.address = low, .to = code, .bytes = GUESSED};
    if (high > low)
        piece.bytes = high - low < MAX_CODE ? (uint32_t)(high - low) : MAX_CODE;
    gmr__green_read_many(green, &piece, 1);
    size_t end = piece.got, loaded = gmr__arch_loads_sp(code, piece.got, &end);
    if (loaded)
        switches->routines[switches->count++] = (struct gmr__switch){low, high > low ? high : low + end, low + loaded};
}

void gmr__switches_by_name(struct gmr__green *green, struct gmr__switches *switches)
{
    uint64_t address, size = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (gmr__green_symbol(green, NULL, names[i], &address, &size) == 0)
            gmr__switches_add(green, switches, address, size && size <= MAX_CODE ? address + size : 0);
}

/* Where the call in front of a return address goes, also through a stub of the procedure linkage table; 0 if that can't be told. */
static uint64_t called(struct gmr__green *green, uint64_t site)
{
    unsigned char before[GMR__CALL_BYTES], stub[GMR__STUB_BYTES];
    uint64_t target, slot;
    if (gmr__green_read(green, site - sizeof(before), before, sizeof(before)) < 0 ||
        !gmr__arch_call_before(before, site, &target) || !target)
        return 0;
    if (gmr__green_read(green, target, stub, sizeof(stub)) == 0 && gmr__arch_stub_slot(stub, target, &slot))
        return gmr__green_read(green, slot, &target, sizeof(target)) == 0 ? target : 0;
    return target;
}

void gmr__switches_learn(struct gmr__green *green, struct gmr__switches *switches, uint64_t site)
{
    uint64_t *seen = &switches->sites[(site ^ site >> 6) % GMR__SWITCHES];
    if (*seen == site || !gmr__green_is_code(green, site - 1))
        return;
    *seen = site;
    gmr__switches_add(green, switches, called(green, site), 0);
}

const struct gmr__switch *gmr__switch_at(const struct gmr__switches *switches, uint64_t pc)
{
    for (size_t i = 0; i < switches->count; i++)
        if (pc >= switches->routines[i].low && pc < switches->routines[i].high)
            return &switches->routines[i];
    return NULL;
}

static bool word_at(const struct gmr__segment *stack, uint64_t address, uint64_t *word)
{
    if (address < stack->address || address - stack->address + 8 > stack->bytes)
        return false;
    memcpy(word, stack->data + (address - stack->address), sizeof(*word));
    return true;
}

/* The word in [from, to] that is a return from this routine; of several a call that surely goes there. 0: none. */
static uint64_t find_return(struct gmr__green *green, const struct gmr__switch *routine,
                            const struct gmr__segment *stack, uint64_t from, uint64_t to)
{
    uint64_t perhaps = 0, word;
    for (uint64_t at = from; at <= to; at += 8) {
        if (!word_at(stack, at, &word) || !gmr__green_is_return_address(green, word))
            continue;
        uint64_t target = called(green, word);
        if (target == routine->low)
            return at;
        if (!target && !perhaps)
            perhaps = at;
    }
    return perhaps;
}

/* Where the return address is: counted from the instructions executed so far, else searched for in [from, to]. */
static uint64_t return_at(struct gmr__green *green, const struct gmr__switch *routine, const struct gmr__segment *stack,
                          uint64_t start, const struct gmr__regs *regs, uint64_t off_pc, uint64_t from, uint64_t to)
{
    unsigned char code[MAX_CODE];
    uint64_t pc = regs->value[gmr__arch_pc], word;
    int64_t moved;
    if (pc - start <= sizeof(code) && gmr__green_read(green, start, code, pc - start) == 0 &&
        gmr__arch_sp_moved(code, pc - start, &moved)) {
        uint64_t at = regs->value[gmr__arch_sp] - (uint64_t)moved + off_pc;
        return word_at(stack, at, &word) && gmr__green_is_return_address(green, word) ? at : 0;
    }
    return find_return(green, routine, stack, from, to);
}

static bool leave_old(struct gmr__green *green, const struct gmr__switch *routine, const struct gmr__shape *shape,
                      const struct gmr__segment *stack, struct gmr__regs *regs)
{
    uint64_t sp = regs->value[gmr__arch_sp];
    uint64_t pushed = shape->layout.kind == GMR_CONTEXT_SP_SLOT && shape->layout.sp_adjust > 0
                          ? (uint64_t)shape->layout.sp_adjust
                          : 0;
    uint64_t at = return_at(green, routine, stack, routine->low, regs, 0, sp, sp + pushed), pc;
    if (!at || !word_at(stack, at, &pc))
        return false;
    regs->value[gmr__arch_pc] = pc;
    regs->value[gmr__arch_sp] = at + 8;
    return true;
}

static bool leave_new(struct gmr__green *green, const struct gmr__switch *routine, const struct gmr__shape *shape,
                      const struct gmr__segment *stack, struct gmr__regs *regs)
{
    const struct gmr_layout *l = &shape->layout;
    if (l->kind != GMR_CONTEXT_SP_SLOT || l->off_pc < 0 || !shape->usable)
        return false;
    uint64_t sp = regs->value[gmr__arch_sp], off_pc = (uint64_t)l->off_pc;
    uint64_t at = return_at(green, routine, stack, routine->loaded, regs, off_pc, sp, sp + off_pc);
    uint64_t base = at - off_pc, first = base + (uint64_t)(int64_t)shape->low;
    if (!at || first < stack->address || first - stack->address + (uint64_t)(shape->high - shape->low) > stack->bytes)
        return false;
    return gmr__context_decode(shape, base, stack->data + (first - stack->address), 0, regs);
}

bool gmr__switch_leave(struct gmr__green *green, const struct gmr__switch *routine, const struct gmr__shape *shape,
                       const struct gmr__segment *stack, struct gmr__regs *regs)
{
    if (gmr__arch_link >= 0)
        return false; /* the return address is in a register first: the unwinder's business */
    return regs->value[gmr__arch_pc] < routine->loaded ? leave_old(green, routine, shape, stack, regs)
                                                       : leave_new(green, routine, shape, stack, regs);
}
