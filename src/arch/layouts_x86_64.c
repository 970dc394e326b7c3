/*
 * arch/layouts_x86_64.c - where well-known switch routines keep a suspended context's registers on x86-64.
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

static const struct gmr_layout layouts[] = {
    [GMR_LAYOUT_UCONTEXT] = ROW(GMR_CONTEXT_BLOCK, 0, 168, 160, 0, 120, {128, 72, 80, 88, 96}, NO, "ucontext"),
    [GMR_LAYOUT_JMP_BUF] = ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_MANGLED, 56, 48, 0, 8, {0, 16, 24, 32, 40}, NO, "jmp_buf"),
    [GMR_LAYOUT_FCONTEXT_1_61] =
        ROW(GMR_CONTEXT_SP_SLOT, GMR_LAYOUT_NULL_RUNS, 56, NO, 64, 48, {40, 8, 16, 24, 32}, NO, "fcontext"),
    [GMR_LAYOUT_FCONTEXT_1_81] =
        ROW(GMR_CONTEXT_SP_SLOT, GMR_LAYOUT_NULL_RUNS, 64, NO, 72, 56, {48, 16, 24, 32, 40}, NO, "fcontext"),
    [GMR_LAYOUT_ST_JMP_BUF] =
        ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_BOUND, 56, 48, 0, 8, {0, 16, 24, 32, 40}, NO, "state-threads"),
    /* A suspended one's pc is the `ret` of the switch itself: the return address on the stack is the place that tells. */
    [GMR_LAYOUT_MINICORO] =
        ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_PC_ON_STACK, 0, 8, 0, 16, {24, 32, 40, 48, 56}, NO, "minicoro"),
    [GMR_LAYOUT_LIBCO] = ROW(GMR_CONTEXT_BLOCK, GMR_LAYOUT_PC_ON_STACK, NO, 0, 0, 8, {16, 24, 32, 40, 48}, NO, "libco"),
    [GMR_LAYOUT_LIBCO_TENCENT] = ROW(GMR_CONTEXT_BLOCK, 0, 72, 104, 8, 48, {96, 24, 16, 8, 0}, NO, "libco"),
    [GMR_LAYOUT_LIBACO] = ROW(GMR_CONTEXT_BLOCK, 0, 32, 40, 0, 56, {48, 0, 8, 16, 24}, NO, "libaco"),
    [GMR_LAYOUT_LIBMILL] = ROW(GMR_CONTEXT_BLOCK, 0, 56, 24, 0, 8, {0, 16, 32, 40, 48}, NO, "libmill"),
    [GMR_LAYOUT_LIBDILL] = ROW(GMR_CONTEXT_BLOCK, 0, 56, 48, 0, 8, {0, 16, 24, 32, 40}, NO, "libdill"),
    [GMR_LAYOUT_LIBCORO] = ROW(GMR_CONTEXT_SP_SLOT, 0, 48, NO, 56, 40, {32, 24, 16, 8, 0}, NO, "libcoro"),
    [GMR_LAYOUT_BTHREAD] =
        ROW(GMR_CONTEXT_SP_SLOT, GMR_LAYOUT_MIGRATES, 56, NO, 64, 48, {40, 8, 16, 24, 32}, NO, "bthread"),
    [GMR_LAYOUT_PHOTON] =
        ROW(GMR_CONTEXT_SP_SLOT, GMR_LAYOUT_MIGRATES, 8, NO, 16, 0, {NO, NO, NO, NO, NO}, NO, "photon"),
    [GMR_LAYOUT_NONE] = ROW(0, 0, NO, NO, 0, NO, {NO, NO, NO, NO, NO}, NO, "coroutine"),
};

const struct gmr_layout *gmr_green_layout(enum gmr_known_layout which)
{
    size_t index = (size_t)which;
    return index < sizeof(layouts) / sizeof(layouts[0]) && layouts[index].version ? &layouts[index] : NULL;
}

const uint8_t gmr__arch_callee[12] = {3, 12, 13, 14, 15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
const bool gmr__arch_fp_mangled = true;
const unsigned gmr__arch_result = 0; /* rax */
const unsigned gmr__arch_pthread_tid = 720;

uint64_t gmr__arch_mangle(uint64_t value, uint64_t guard)
{
    value ^= guard;
    return value << 17 | value >> 47;
}

uint64_t gmr__arch_demangle(uint64_t value, uint64_t guard)
{
    return (value >> 17 | value << 47) ^ guard;
}
