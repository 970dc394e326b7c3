/*
 * unwind/self_as.c - unwinds a copied stack of the process's own by .eh_frame, without libdw and without the loader.
 *
 * The target's half where no inspector can run, and in a crash; async-signal-safe, bounded in every loop: the tables may be nonsense. Formats:
 * System V ABI, AMD64 supplement, "Unwind Tables"; Linux Standard Base Core, "Exception Frames"; DWARF 5, 6.4.
 */
#include "capture/self.h"
#include "sys/buf.h"
#include "unwind/self_cfi.h"

/* ---- one step ---- */

static bool read_memory(void *userdata, uint64_t address, void *to, size_t bytes)
{
    const struct gmr__slot_capture *slot = userdata;
    if (address >= slot->stack_address && bytes <= slot->stack_bytes &&
        address - slot->stack_address <= slot->stack_bytes - bytes) {
        gmr__memcpy(to, slot->stack + (address - slot->stack_address), bytes);
        return true;
    }
    return false;
}

/* The classic frame: saved frame pointer, then return address. Needs a frame pointer that leads upwards. */
static bool step_by_frame_pointer(const struct gmr__slot_capture *slot, struct gmr__regs *regs)
{
    uint64_t pair[2], fp = regs->value[gmr__arch_fp], sp = regs->value[gmr__arch_sp];
    if (fp < sp || fp & 7 || fp - sp > (1u << 20) || !read_memory((void *)slot, fp, pair, sizeof(pair)) || !pair[1])
        return false;
    regs->value[gmr__arch_fp] = pair[0];
    regs->value[gmr__arch_pc] = pair[1];
    regs->value[gmr__arch_sp] = fp + 16;
    return true;
}

/* A call through a bad pointer: its return address is on top of the stack (or, elsewhere, in a register that CFI names). */
static bool step_from_nowhere(const struct gmr__self_modules *modules, const struct gmr__slot_capture *slot,
                              struct gmr__regs *regs)
{
    uint64_t word, sp = regs->value[gmr__arch_sp];
    if (gmr__arch_return != gmr__arch_pc)
        word = regs->value[gmr__arch_return];
    else if (!read_memory((void *)slot, sp, &word, sizeof(word)))
        return false;
    if (!gmr__self_module_at(modules, word))
        return false;
    regs->value[gmr__arch_pc] = word;
    if (gmr__arch_return == gmr__arch_pc)
        regs->value[gmr__arch_sp] = sp + 8;
    return true;
}

void gmr__self_unwind(const struct gmr__self_modules *modules, const struct gmr__slot_capture *slot,
                      struct gmr__self_stack *stack)
{
    struct gmr__regs regs = slot->regs;
    bool exact = true;
    gmr__memset(stack, 0, sizeof(*stack));
    for (;;) {
        uint64_t pc = regs.value[gmr__arch_pc], sp = regs.value[gmr__arch_sp];
        if (stack->count == GMR__SELF_FRAMES) {
            stack->end = "deeper than the 128 frames that are kept without an inspector";
            return;
        }
        stack->pc[stack->count] = pc;
        stack->exact[stack->count] = exact;
        const struct gmr__self_module *module = gmr__self_module_at(modules, pc - !exact);
        struct gmr__self_cfi cfi = {
            .peek = modules->peek, .module = module, .read = read_memory, .userdata = (void *)slot};
        bool signal_frame = false;
        enum gmr__self_step step =
            module ? gmr__self_cfi_step(&cfi, &regs, pc - !exact, &signal_frame) : GMR__SELF_NO_RULE;
        unsigned frame = stack->count++;
        if (step == GMR__SELF_OUTERMOST)
            return;
        if (step == GMR__SELF_BAD_MEMORY) {
            stack->end = slot->stack_bytes == sizeof(slot->stack)
                             ? "the stack is longer than the 256 KiB that are copied without an inspector"
                             : "the stack can't be read further";
            return;
        }
        if (step == GMR__SELF_NO_RULE) {
            bool found =
                exact && !module ? step_from_nowhere(modules, slot, &regs) : step_by_frame_pointer(slot, &regs);
            if (!found) {
                stack->end = module ? "no call-frame information for this place" : "not in any module";
                return;
            }
            if (frame + 1 < GMR__SELF_FRAMES)
                stack->guessed[frame + 1] = true;
        }
        if (regs.value[gmr__arch_pc] == 0)
            return;
        if (regs.value[gmr__arch_sp] <= sp && !signal_frame && !(exact && regs.value[gmr__arch_sp] == sp)) {
            stack->end = "the stack does not lead upwards";
            return;
        }
        exact = signal_frame;
    }
}
