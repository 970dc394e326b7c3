/*
 * report/crash_section_as.c - the Crash section: which signal, why, where, what the address is, registers, the crashed thread's stack.
 *
 * Reporter thread, while the crashed thread waits in its handler; async-signal-safe. Reads the dead thread's stack and anything else through
 * gmr__self_read: pointers may lead nowhere.
 */
#include <errno.h>

#include "arch/target.h"
#include "report/crash.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define NEAR_STACK_BYTES (256u << 10)
#define NULL_PAGE_BYTES 65536u
#define MOST_MAPPINGS 2000u

const char *gmr__crash_signal_name(int signal)
{
    switch (signal) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGILL:
        return "SIGILL";
    case SIGFPE:
        return "SIGFPE";
    case SIGABRT:
        return "SIGABRT";
    case SIGTRAP:
        return "SIGTRAP";
    default:
        return "a signal";
    }
}

static const char *code_text(int signal, int code)
{
    static const struct {
        int signal, code;
        const char *text;
    } known[] = {
        {0, SI_USER, "SI_USER: sent by a process"},
        {0, SI_QUEUE, "SI_QUEUE: sent by a process"},
        {0, SI_TKILL, "SI_TKILL: raised by the program itself, as abort() does"},
        {0, SI_KERNEL, "SI_KERNEL: by the kernel; the address is not told"},
        {SIGSEGV, SEGV_MAPERR, "SEGV_MAPERR: nothing is mapped at the address"},
        {SIGSEGV, SEGV_ACCERR, "SEGV_ACCERR: the mapping does not permit it"},
        {SIGSEGV, 3, "SEGV_BNDERR: a bound was exceeded"},
        {SIGSEGV, 4, "SEGV_PKUERR: a protection key forbids it"},
        {SIGSEGV, 8, "SEGV_MTEAERR: a pointer's tag is not the memory's, noticed later"},
        {SIGSEGV, 9, "SEGV_MTESERR: the pointer's tag is not the memory's"},
        {SIGBUS, BUS_ADRALN, "BUS_ADRALN: misaligned address"},
        {SIGBUS, BUS_ADRERR, "BUS_ADRERR: behind the end of a mapped file, or memory that is not there"},
        {SIGBUS, BUS_OBJERR, "BUS_OBJERR: hardware error"},
        {SIGBUS, 4, "BUS_MCEERR_AR: a memory error was consumed"},
        {SIGBUS, 5, "BUS_MCEERR_AO: a memory error was found"},
        {SIGILL, ILL_ILLOPC, "ILL_ILLOPC: illegal instruction"},
        {SIGILL, ILL_ILLOPN, "ILL_ILLOPN: illegal operand"},
        {SIGILL, ILL_PRVOPC, "ILL_PRVOPC: privileged instruction"},
        {SIGFPE, FPE_INTDIV, "FPE_INTDIV: integer division by zero"},
        {SIGFPE, FPE_INTOVF, "FPE_INTOVF: integer overflow"},
        {SIGFPE, FPE_FLTDIV, "FPE_FLTDIV: floating-point division by zero"},
        {SIGFPE, FPE_FLTOVF, "FPE_FLTOVF: floating-point overflow"},
        {SIGFPE, FPE_FLTUND, "FPE_FLTUND: floating-point underflow"},
        {SIGFPE, FPE_FLTRES, "FPE_FLTRES: inexact floating-point result"},
        {SIGFPE, FPE_FLTINV, "FPE_FLTINV: invalid floating-point operation"},
        {SIGTRAP, TRAP_BRKPT, "TRAP_BRKPT: breakpoint"},
        {SIGTRAP, TRAP_TRACE, "TRAP_TRACE: single step"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if ((known[i].signal == 0 || known[i].signal == signal) && known[i].code == code)
            return known[i].text;
    return NULL;
}

/* ---- what the address is ---- */

struct around { /* the mapping that holds the address, and its neighbours */
    struct gmr__proc_map at, above;
    char path[256];
    bool found, has_above;
};

static void look_around(uint64_t address, struct around *around)
{
    struct gmr__lines lines;
    struct gmr__proc_map map;
    *around = (struct around){.found = false};
    if (gmr__proc_lines_open(&lines, "/proc", gmr__getpid(), gmr__gettid(), "maps") != 0)
        return;
    while (!around->has_above && gmr__proc_maps_next(&lines, &map)) {
        if (address >= map.start && address < map.end) {
            struct gmr__buf buf;
            around->at = map;
            around->found = true;
            gmr__buf_init(&buf, around->path, sizeof(around->path));
            gmr__buf_str(&buf, map.path);
        } else if (map.start > address) {
            around->above = map;
            around->has_above = true;
        }
    }
    gmr__lines_close(&lines);
}

static void describe_mapping(struct gmr__buf *buf, const struct around *a, uint64_t address)
{
    gmr__buf_str(buf, !a->at.read && !a->at.write && !a->at.exec ? "in a mapping without any permission"
                      : a->at.write                              ? "in writable memory"
                      : a->at.exec                               ? "in read-only, executable memory"
                                                                 : "in read-only memory");
    if (a->path[0]) {
        gmr__buf_str(buf, " of ");
        gmr__buf_str(buf, a->path);
        gmr__buf_str(buf, "+0x");
        gmr__buf_hex(buf, address - a->at.start + a->at.offset);
    }
}

/* A phrase for people: "stack guard of thread 812: its stack has overflowed". */
static void describe_address(struct gmr__buf *buf, uint64_t address, uint64_t sp, int code)
{
    struct around around;
    if (code == SI_KERNEL) {
        gmr__buf_str(buf, "not told: an address that no pointer can have (a wild or overwritten pointer)");
        return;
    }
    if (address < NULL_PAGE_BYTES) {
        gmr__buf_str(buf, address ? "in the null page: a member of a structure at a null pointer" : "a null pointer");
        return;
    }
    look_around(address, &around);
    bool near_stack = address + NEAR_STACK_BYTES > sp && address < sp + NEAR_STACK_BYTES;
    bool barred = !around.found || (!around.at.read && !around.at.write);
    bool below_memory = (around.has_above && around.above.write && around.above.start - address < NEAR_STACK_BYTES);
    if (near_stack && barred && below_memory) {
        gmr__buf_str(buf, "stack guard of thread ");
        gmr__buf_int(buf, atomic_load(&gmr__crash.tid));
        gmr__buf_str(buf, ": its stack has overflowed");
    } else if (around.found) {
        describe_mapping(buf, &around, address);
    } else {
        gmr__buf_str(buf, "nothing is mapped there: a wild pointer, or memory that was unmapped");
    }
}

/* ---- registers, messages ---- */

static void put_hex(struct gmr_writer *w, const char *key, uint64_t value)
{
    char text[24];
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_str(&buf, "0x");
    gmr__buf_hex(&buf, value);
    gmr_put_string(w, key, text);
}

static void put_registers(struct gmr_writer *w, const struct gmr__regs *regs)
{
    gmr_begin_map(w, "registers");
    for (unsigned i = 0; i < GMR__MAX_REGS && gmr__arch_register_names[i]; i++)
        if (regs->valid >> i & 1)
            put_hex(w, gmr__arch_register_names[i], regs->value[i]);
    gmr_end_map(w);
}

/* glibc keeps what assert, abort and a smashed heap or stack say: struct abort_msg_s (stdlib/abort.c): an unsigned size, then the text. */
const char *const *gmr__abort_message;

static void put_message(struct gmr_writer *w)
{
    uint64_t at = 0;
    char text[1024];
    if (!gmr__abort_message || gmr__self_read((uintptr_t)gmr__abort_message, &at, sizeof(at)) != sizeof(at) || !at)
        return;
    size_t n = gmr__self_read(at + 4, text, sizeof(text) - 1), length = 0;
    while (length < n && text[length])
        length++;
    while (length > 0 && text[length - 1] == '\n')
        length--;
    text[length] = '\0';
    if (length)
        gmr_put_string(w, "message", text);
}

/* "0x7f12a000-0x7f12c000 r-xp 0x1000 /usr/lib/libx.so": what an address in a register or on a stack belongs to. */
static void put_map(struct gmr_writer *w, const struct gmr__proc_map *map)
{
    char line[400];
    struct gmr__buf buf;
    gmr__buf_init(&buf, line, sizeof(line));
    gmr__buf_str(&buf, "0x");
    gmr__buf_hex(&buf, map->start);
    gmr__buf_str(&buf, "-0x");
    gmr__buf_hex(&buf, map->end);
    gmr__buf_char(&buf, ' ');
    gmr__buf_char(&buf, map->read ? 'r' : '-');
    gmr__buf_char(&buf, map->write ? 'w' : '-');
    gmr__buf_char(&buf, map->exec ? 'x' : '-');
    gmr__buf_char(&buf, map->shared ? 's' : 'p');
    if (map->path[0]) {
        gmr__buf_str(&buf, " 0x");
        gmr__buf_hex(&buf, map->offset);
        gmr__buf_char(&buf, ' ');
        gmr__buf_str(&buf, map->path);
        gmr__buf_str(&buf, map->deleted ? " (deleted)" : "");
    }
    gmr_put_string(w, NULL, line);
}

void gmr__crash_map(struct gmr_writer *w)
{
    static const struct gmr__section_head head = {
        .name = "memory_map", .title = "Memory Map", .shape = GMR__SHAPE_LIST};
    struct gmr__lines lines;
    struct gmr__proc_map map;
    unsigned count = 0;
    if (gmr__section_begin(w, &head))
        return;
    int error = gmr__proc_lines_open(&lines, "/proc", gmr__getpid(), gmr__gettid(), "maps");
    if (error) {
        gmr__section_end(w, GMR__FAILED, "/proc/PID/maps can't be read", NULL);
        return;
    }
    while (count < MOST_MAPPINGS && gmr__proc_maps_next(&lines, &map)) {
        put_map(w, &map);
        count++;
    }
    gmr__lines_close(&lines);
    gmr__section_end(w, count < MOST_MAPPINGS ? GMR__OK : GMR__PARTIAL,
                     count < MOST_MAPPINGS ? NULL : "the mappings above the first 2,000 are left out", NULL);
}

void gmr__crash_section(struct gmr_writer *w, struct gmr__fallback *fallback)
{
    static const struct gmr__section_head head = {.name = "crash", .title = "Crash", .shape = GMR__SHAPE_MAP};
    const struct gmr__crash *c = &gmr__crash;
    int tid = atomic_load(&gmr__crash.tid);
    struct gmr__proc_stat stat;
    struct gmr__regs regs = {.valid = 0};
    char text[400];
    struct gmr__buf buf;
    if (gmr__section_begin(w, &head))
        return;
    gmr__arch_regs_from_ucontext(&regs, c->context, SIZE_MAX);
    gmr_put_int(w, "signal", c->signal);
    gmr_put_string(w, "signal_name", gmr__crash_signal_name(c->signal));
    if (code_text(c->signal, c->info.si_code))
        gmr_put_string(w, "code", code_text(c->signal, c->info.si_code));
    else
        gmr_put_format(w, "code", "%d", c->info.si_code);
    if (c->info.si_code == SI_USER || c->info.si_code == SI_QUEUE || c->info.si_code == SI_TKILL) {
        gmr_put_int(w, "sender", c->info.si_pid);
        gmr_put_uint(w, "sender_uid", c->info.si_uid);
    } else {
        uint64_t address = (uintptr_t)c->info.si_addr;
        gmr__buf_init(&buf, text, sizeof(text));
        describe_address(&buf, address, regs.value[gmr__arch_sp], c->info.si_code);
        if (address == regs.value[gmr__arch_pc] && (c->signal == SIGSEGV || c->signal == SIGBUS))
            gmr__buf_str(&buf, address ? "; the program jumped there" : ", which the program called");
        put_hex(w, "address", address);
        gmr_put_string(w, "address_is", text);
    }
    put_message(w);
    gmr_put_int(w, "thread", tid);
    if (gmr__proc_stat("/proc", gmr__getpid(), tid, &stat) == 0)
        gmr_put_string(w, "thread_name", stat.name);
    put_registers(w, &regs);
    if (fallback) {
        gmr__fallback_crashed(fallback, tid, c->context);
        gmr__fallback_put_thread(fallback, w, "stack", tid);
    }
    gmr__section_end(w, GMR__OK, NULL, NULL);
}
