/*
 * arch/layouts_aarch64.c - where well-known switch routines keep a suspended context's registers on aarch64.
 *
 * Both halves; data only. Offsets were read from the libraries' assembly and checked with programs that were stopped and unwound. Callee-saved
 * registers in the order that gmr/green.h gives. Libraries that are not known here, or that don't build here, are absent.
 */
#include "arch/green.h"
#include "gmr/green.h"

#define NO GMR_NO_OFFSET
#define ROW(...)                                                \
    {                                                           \
        GMR_LAYOUT_VERSION, __VA_ARGS__, NULL, NULL, NULL, NULL \
    }

/* x19 ... x28 in a row from `first`, and x30. */
#define X19_X28(first)                                                                                        \
    (first), (first) + 8, (first) + 16, (first) + 24, (first) + 32, (first) + 40, (first) + 48, (first) + 56, \
        (first) + 64, (first) + 72
#define FCONTEXT          \
    {                     \
        X19_X28(64), 0x98 \
    }
#define NONE                                       \
    {                                              \
        NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO \
    }

static const struct gmr_layout layouts[] = {
    /* swapcontext saves the address of its own exit as pc; its caller's stands in x1. */
    [GMR_LAYOUT_UCONTEXT] =
        ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_PC_IN_FIRST, 440, 432, 0, 416, {X19_X28(336), 424}, 192, "ucontext"),
    [GMR_LAYOUT_JMP_BUF] = ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_MANGLED, 88, 104, 0, 80, {X19_X28(0), NO}, NO, "jmp_buf"),
    [GMR_LAYOUT_FCONTEXT_1_61] =
        ROW(GMR_CONTEXT_SP_SLOT, GMR_LAYOUT_NULL_RUNS, 0xa0, NO, 0xb0, 0x90, FCONTEXT, NO, "fcontext"),
    [GMR_LAYOUT_FCONTEXT_1_81] =
        ROW(GMR_CONTEXT_SP_SLOT, GMR_LAYOUT_NULL_RUNS, 0xa0, NO, 0xb0, 0x90, FCONTEXT, NO, "fcontext"),
    [GMR_LAYOUT_ST_JMP_BUF] = ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_MANGLED | GMR_LAYOUT_BOUND, 88, 104, 0, 80,
                                  {X19_X28(0), NO}, NO, "state-threads"),
    [GMR_LAYOUT_MINICORO] = ROW(GMR_CONTEXT_BLOCK, 0, 104, 96, 0, 80, {X19_X28(0), 88}, NO, "minicoro"),
    [GMR_LAYOUT_LIBCO] = ROW(GMR_CONTEXT_BLOCK, 0, 8, 0, 0, 96, {X19_X28(16), NO}, NO, "libco"),
    [GMR_LAYOUT_LIBMILL] = ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_MANGLED, 88, 104, 0, 80, {X19_X28(0), NO}, NO, "libmill"),
    [GMR_LAYOUT_LIBDILL] = ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_MANGLED, 88, 104, 0, 80, {X19_X28(0), NO}, NO, "libdill"),
    [GMR_LAYOUT_LIBCORO] = ROW(GMR_CONTEXT_SP_SLOT, 0, 88, NO, 160, 80, {X19_X28(0), NO}, NO, "libcoro"),
    [GMR_LAYOUT_BTHREAD] = ROW(GMR_CONTEXT_SP_SLOT, GMR_LAYOUT_MIGRATES, 0xa0, NO, 0xb0, 0x90, FCONTEXT, NO, "bthread"),
    [GMR_LAYOUT_PHOTON] = ROW(GMR_CONTEXT_SP_SLOT, GMR_LAYOUT_MIGRATES, 8, NO, 16, 0, NONE, NO, "photon"),
    [GMR_LAYOUT_NONE] = ROW(0, 0, NO, NO, 0, NO, NONE, NO, "coroutine"),
};

const struct gmr_layout *gmr_green_layout(enum gmr_known_layout which)
{
    size_t index = (size_t)which;
    return index < sizeof(layouts) / sizeof(layouts[0]) && layouts[index].version ? &layouts[index] : NULL;
}

const uint8_t gmr__arch_callee[12] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 0xff};
const bool gmr__arch_fp_mangled = false;
const unsigned gmr__arch_result = 0; /* x0 */
const unsigned gmr__arch_pthread_tid = 208;

uint64_t gmr__arch_mangle(uint64_t value, uint64_t guard)
{
    return value ^ guard;
}

uint64_t gmr__arch_demangle(uint64_t value, uint64_t guard)
{
    return value ^ guard;
}
