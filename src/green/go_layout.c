/*
 * green/go_layout.c - where Go's releases keep what of a goroutine, on x86-64.
 *
 * Inspector only; plain data. Source: Go's src/runtime/runtime2.go and symtab.go. The rows of 1.19 and 1.21 to 1.27 were compared with
 * the debug information of programs built by these (tools/check-go); 1.18 and 1.20 are read off the source. What a row leaves out is
 * not known for that release, and done without.
 */
#include "green/go.h"

#define ROW_UNTIL_122                                                                                        \
    .m = 48, .sched_sp = 56, .sched_pc = 64, .syscall_sp = 112, .syscall_pc = 120, .status = 144, .id = 152, \
    .wait_since = 168, .wait_reason = 176, .m_procid = 72, .m_signal_g = 80, .module_text = 176
/* gobuf got syscallbp behind syscallpc */
#define ROW_FROM_123                                                                                         \
    .m = 48, .sched_sp = 56, .sched_pc = 64, .syscall_sp = 112, .syscall_pc = 120, .status = 152, .id = 160, \
    .wait_since = 176, .wait_reason = 184, .ran = 199, .created_at = 288, .start = 304, .m_procid = 72,      \
    .m_signal_g = 80, .module_text = 176, .module_functions = 320
/* gobuf.ret is gone */
#define ROW_FROM_125                                                                                         \
    .m = 48, .sched_sp = 56, .sched_pc = 64, .syscall_sp = 104, .syscall_pc = 112, .status = 144, .id = 152, \
    .wait_since = 168, .wait_reason = 176, .ran = 191, .m_procid = 64, .m_signal_g = 72, .module_text = 176

static const struct gmr__go_layout layouts[] = {
    [18] = {ROW_UNTIL_122, .module_functions = 304},
    [19] = {ROW_UNTIL_122, .ran = 189, .created_at = 296, .start = 312, .m_vdso_sp = 800, .m_vdso_pc = 808,
            .module_functions = 304},
    [20] = {ROW_UNTIL_122, .ran = 189, .created_at = 296, .start = 312, .module_functions = 320},
    [21] = {ROW_UNTIL_122, .ran = 188, .created_at = 280, .start = 296, .m_vdso_sp = 808, .m_vdso_pc = 816,
            .module_functions = 320},
    [22] = {ROW_UNTIL_122, .ran = 191, .created_at = 280, .start = 296, .m_vdso_sp = 1120, .m_vdso_pc = 1128,
            .module_functions = 320},
    [23] = {ROW_FROM_123, .m_vdso_sp = 856, .m_vdso_pc = 864},
    [24] = {ROW_FROM_123, .m_vdso_sp = 880, .m_vdso_pc = 888},
    [25] = {ROW_FROM_125, .created_at = 280, .start = 296, .m_vdso_sp = 896, .m_vdso_pc = 904, .module_functions = 320},
    [26] = {ROW_FROM_125, .created_at = 288, .start = 304, .m_vdso_sp = 896, .m_vdso_pc = 904, .module_functions = 320},
    [27] = {ROW_FROM_125, .created_at = 288, .start = 304, .m_vdso_sp = 896, .m_vdso_pc = 904, .module_functions = 344},
};

bool gmr__go_layout(int minor, struct gmr__go_layout *layout)
{
    if (minor < 0 || (size_t)minor >= sizeof(layouts) / sizeof(layouts[0]) || layouts[minor].m == 0)
        return false;
    *layout = layouts[minor];
    return true;
}
