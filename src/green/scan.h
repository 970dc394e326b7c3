/*
 * green/scan.h - suspended green threads found by what every one of them must have in memory, without any list.
 *
 * Inspector only (malloc). Whatever was switched away from keeps the address right behind its call of the switch routine, and
 * somebody keeps its saved stack pointer.
 *   scan_sites.c   those return addresses, by decoding the calls of known routines
 *   scan_memory.c  a walk over the pages of writable memory that are present
 *   scan.c         the source: find candidates, check them, check them again at the stop
 *   scan_ucontext.c  candidates that are a ucontext_t
 *   scan_jump.c    candidates that are a jmp_buf
 */
#ifndef GMR_GREEN_SCAN_H
#define GMR_GREEN_SCAN_H

#include <string.h>

#include "green/addrmap.h"
#include "green/green.h"

enum gmr__scan_form {
    GMR__SCAN_FCONTEXT, /* registers pushed on its stack; the saved stack pointer S is all its owner keeps */
    GMR__SCAN_CORO,     /* the same, libcoro's order */
    GMR__SCAN_UCONTEXT, /* registers in a ucontext_t anywhere */
    GMR__SCAN_SETJMP,   /* registers in glibc's jmp_buf anywhere, three of them mangled */
    GMR__SCAN_LONGJMP,  /* what is called next on a stack that is left with a jmp_buf */
};

struct gmr__scan_routine {
    const char *name; /* of the switch routine's symbol */
    const char *kind; /* of the green thread */
    enum gmr__scan_form form;
    uint64_t address;
    uint32_t pc_offset; /* of the return address from S, or in the ucontext_t; 0: not understood */
};
#define GMR__SCAN_ROUTINES 12

#define GMR__SCAN_FILTER 65536u
#define GMR__SCAN_LATE 64

struct gmr__scan_candidate {
    uint64_t context; /* the ucontext_t */
    uint8_t routine;
};

struct gmr__scan {
    struct gmr__green *green;
    struct gmr__scan_routine routines[GMR__SCAN_ROUTINES];
    struct gmr__addrmap sites; /* return address -> routine + 1 */
    uint64_t site_low, site_high;
    struct gmr__scan_candidate *candidates; /* ucontext_t */
    size_t count, room;
    struct gmr__addrmap contexts; /* the same, to take each once */
    uint64_t
        start_context; /* glibc's __start_context, where the function of a context made by makecontext returns to */
    struct gmr__scan_jumps {
        struct gmr__addrmap sites;          /* return address behind a call of setjmp, mangled -> the same, plain */
        struct gmr__addrmap leaves;         /* those behind calls of longjmp */
        struct gmr__addrmap found;          /* jmp_bufs */
        struct gmr__addrmap stacks;         /* mapping -> is it an OS thread's stack? */
        uint8_t seen[GMR__SCAN_FILTER / 8]; /* which values the middle bits of a mangled site have */
        uint64_t guard;
        bool wanted;
    } jumps;
    struct gmr__addrmap by_context; /* S -> routine + 1 */
    struct gmr__addrmap pages;      /* those that an S is in: they are stacks */
    uint64_t context_low, context_high;
    uint64_t *owners; /* addresses of words that hold an S, or point where one was */
    size_t owner_count, owner_room;
    struct gmr__addrmap owned;                     /* the same, to take each once */
    struct gmr__green_thread late[GMR__SCAN_LATE]; /* to be emitted once the exact sources are through */
    size_t late_count;
    unsigned rounds;
    const char *kind; /* of one that runs */
    bool cut;
};

/* scan.c */
bool gmr__scan_is_writable(struct gmr__green *green, uint64_t address);
#define GMR__SCAN_PUSHED_BYTES 56 /* six registers and the return address, which the routine's return takes off */
/* What a routine of that form has pushed, with the stack pointer behind it. at: the address of the bytes. */
void gmr__scan_pushed(struct gmr__regs *regs, enum gmr__scan_form form, uint64_t at, const unsigned char *bytes);
static inline void gmr__scan_set_register(struct gmr__regs *regs, unsigned number, const unsigned char *from)
{
    memcpy(&regs->value[number], from, 8);
    regs->valid |= 1ull << number;
}
/* scan_ucontext.c. Ahead: contexts that were made and may have been started, but never switched away from. At the stop: emits. */
void gmr__scan_see_made(struct gmr__scan *scan, uint64_t address, const uint64_t *words, size_t count);
void gmr__scan_check_ucontexts(struct gmr__scan *scan);
bool gmr__scan_is_late(const struct gmr__scan *scan, pid_t carrier);
void gmr__scan_emit_late(struct gmr__scan *scan);
/* scan_jump.c. Once, when the sites are known: is there anything to look for? Ahead, and at the stop. */
void gmr__scan_add_jump(struct gmr__scan *scan, uint64_t site, enum gmr__scan_form form);
void gmr__scan_see_jumps(struct gmr__scan *scan, uint64_t address, const uint64_t *words, size_t count);
void gmr__scan_check_jumps(struct gmr__scan *scan);
/* scan.c */
bool gmr__scan_add_ucontext(struct gmr__scan *scan, uint64_t context, uint8_t routine);
bool gmr__scan_near_contexts(const struct gmr__scan *scan, uint64_t sp);
bool gmr__scan_in_dead_stack(struct gmr__green *green, uint64_t address);
/* scan_sites.c: true if the process calls any routine of the table. */
bool gmr__scan_find_sites(struct gmr__scan *scan);

/* scan_memory.c: is it likely malloc's? (Not a file's, and not so large that it must be a guest's memory, a database's cache, ...) */
bool gmr__scan_is_heap(void *userdata, const struct gmr__map *map);
/* scan_memory.c: calls see() with every present piece of private writable memory in the mappings that
 * wanted() takes (NULL: all). False: the time was used up. */
bool gmr__scan_memory(struct gmr__green *green, bool (*wanted)(void *userdata, const struct gmr__map *map),
                      void (*see)(void *userdata, uint64_t address, const uint64_t *words, size_t count),
                      void *userdata);

#endif
