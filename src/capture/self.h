/*
 * capture/self.h - a process looks at itself: its memory without faults, its modules, and its threads by signal.
 *
 * The target's half, where no inspector can run, and in a crash; async-signal-safe. Poorer than the inspector (no debug information), but it needs
 * nothing but the process.
 */
#ifndef GMR_CAPTURE_SELF_H
#define GMR_CAPTURE_SELF_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/arch.h"

/* ---- memory: self_as.c ---- */

/* Copies bytes from an address that may not be there. The count up to the first page that can't be read. */
size_t gmr__self_read(uint64_t address, void *to, size_t bytes);

#define GMR__PEEK_PAGES 16
/* Read-only memory (ELF headers, call-frame information, symbol tables), cached by page. */
struct gmr__peek {
    uint64_t page[GMR__PEEK_PAGES]; /* address + 1 of what is in each place; 0: nothing */
    uint32_t valid[GMR__PEEK_PAGES];
    unsigned char bytes[GMR__PEEK_PAGES][4096];
};
bool gmr__peek(struct gmr__peek *peek, uint64_t address, void *to, size_t bytes);

/* ---- modules: self_modules_as.c ---- */

struct gmr__self_module {
    uint64_t start, end, bias;
    uint64_t eh_frame_hdr, dynamic; /* 0: none */
    char path[256];
    unsigned char build_id[32];
    uint8_t build_id_bytes;
};
struct gmr__self_modules {
    struct gmr__peek *peek;
    struct gmr__self_module *module;
    unsigned count, cap;
    bool cut; /* there were more */
};
/* Reads them anew from /proc; where there is none, what setup remembered. */
void gmr__self_modules_read(struct gmr__self_modules *modules);
const struct gmr__self_module *gmr__self_module_at(const struct gmr__self_modules *modules, uint64_t pc);
/* During setup, on the program's thread: what the loader says, for a chroot without /proc. */
void gmr__self_modules_remember(void);

/* The function of the dynamic symbol table that holds pc: its name into name[cap] and the offset in it; false if there is none. */
bool gmr__self_symbol(struct gmr__peek *peek, const struct gmr__self_module *module, uint64_t pc, char *name,
                      size_t cap, uint64_t *offset);

/* ---- threads: signal_as.c ---- */

#define GMR__SLOT_STACK_BYTES (256u << 10)

/* One thread's registers and the used bytes of its stack, copied by itself in a signal handler. */
struct gmr__slot_capture {
    _Atomic uint32_t state; /* a futex word */
    _Atomic int tid;
    struct gmr__regs regs;
    uint64_t stack_address;
    size_t stack_bytes;
    uint64_t pause_ns;
    unsigned char stack[GMR__SLOT_STACK_BYTES];
};

/* Installs the handler, during setup. False if the program has the signal. */
bool gmr__capture_signal_arm(void);
void gmr__capture_signal_disarm(void);
/* Around a number of captures, on the reporter: chooses the signal. A debugger of ours would stop the program at SIGSTKFLT, but lets
 * SIGURG pass; it is borrowed where the program leaves it alone. */
void gmr__capture_begin(bool traced);
void gmr__capture_end(void);
/* Asks a thread of this process and waits. 0: *slot is filled; -ETIMEDOUT, -EBUSY (it blocks the signal; where it runs, until the deadline), -ESRCH (gone), -ENOSYS
 * (not armed). */
int gmr__capture_thread(struct gmr__slot_capture *slot, pid_t tid, uint64_t deadline_ns);
/* The same of the calling thread with a context it has (a crash). */
void gmr__capture_context(struct gmr__slot_capture *slot, const void *ucontext);

/* ---- unwinding: unwind/self_as.c ---- */

#define GMR__SELF_FRAMES 128
struct gmr__self_stack {
    unsigned count;
    uint64_t pc[GMR__SELF_FRAMES];
    bool exact[GMR__SELF_FRAMES]; /* the instruction itself, not a return address */
    bool guessed[GMR__SELF_FRAMES];
    const char *end; /* why it ends early, static; NULL: where the thread began */
};
void gmr__self_unwind(const struct gmr__self_modules *modules, const struct gmr__slot_capture *slot,
                      struct gmr__self_stack *stack);

#endif
