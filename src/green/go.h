/*
 * green/go.h - what the files of the Go source share: the runtime's layouts, its function table, goroutines as copied.
 *
 * Inspector only (malloc).
 *   go_find.c     version, layout, .gopclntab and runtime.allgs of a Go program, stripped or not
 *   go_table.c    .gopclntab: pc -> function, file:line, inlined calls, frame size
 *   go_stack.c    a goroutine's frames from its copied stack
 *   go.c          the source itself
 */
#ifndef GMR_GREEN_GO_H
#define GMR_GREEN_GO_H

#include "green/addrmap.h"
#include "green/green.h"

/* Offsets in runtime.g, and (m_*) in runtime.m. 0: not known for this version. */
struct gmr__go_layout {
    uint16_t m, sched_sp, sched_pc, syscall_sp, syscall_pc, status, id, wait_since, wait_reason, created_at, start;
    uint16_t m_procid, m_vdso_sp, m_vdso_pc;
};
#define GMR__GO_G_BYTES 344 /* of a runtime.g, enough for every offset above */

struct gmr__go_table {
    unsigned char *bytes; /* all of .gopclntab */
    size_t size;
    uint64_t text; /* where pcs are counted from */
    uint32_t functions, quantum;
    uint32_t names, units, files, values, lookup; /* offsets of the parts */
    bool since_120;                               /* Go 1.20: functions and inlined calls are laid out anew */
};

struct gmr__go {
    struct gmr__green *green;
    int minor; /* Go 1.minor */
    struct gmr__go_layout layout;
    struct gmr__go_table table;
    uint64_t inline_base;  /* moduledata.gofunc: what offsets of function data count from (1.18 on) */
    uint64_t allgs;        /* address of the slice */
    uint64_t wait_reasons; /* address of an array of strings, 0: use our own list for this version */

    struct gmr__go_g *gs; /* by address */
    size_t count, room;
    struct gmr__go_region *regions;
    size_t region_count;
    unsigned char *now; /* the regions' bytes */
    size_t now_bytes;
    unsigned char *stacks; /* arena of copied stacks */
    size_t stacks_used, stacks_size;
    struct gmr__addrmap sites;  /* pc -> what go_stack.c knows of it */
    struct gmr__addrmap shared; /* hash of pcs -> frames already named */
    bool cut;                   /* not all fitted */
};

struct gmr__go_region {
    uint64_t address;
    size_t bytes, at; /* at: offset in `now` */
};

struct gmr__go_g {
    uint64_t address, id;
    const unsigned char *bytes; /* GMR__GO_G_BYTES of it, NULL: can't be read */
    uint64_t low, high, sp, pc; /* sp 0: no stack to walk */
    uint64_t copied_sp, copied_pc;
    const unsigned char *stack;
    uint32_t stack_bytes;
    pid_t carrier;
    bool interrupted; /* pc is an instruction about to run */
    bool approximate;
    const char *problem;
};

/* go_find.c: 1 it is Go and all was found, 0 it is not, or not a kind we know (noted). */
int gmr__go_find(struct gmr__go *go);

/* go_table.c */
bool gmr__go_table_read(struct gmr__go_table *table, struct gmr__green *green, uint64_t address, uint64_t size);
struct gmr__go_function {
    uint64_t entry;
    uint32_t at; /* offset of its record in the table */
};
bool gmr__go_function(const struct gmr__go_table *table, uint64_t pc, struct gmr__go_function *function);
/* Entry of the function called `name`, 0 if there is none; *end: where the next one begins. */
uint64_t gmr__go_function_named(const struct gmr__go_table *table, const char *name, uint64_t *end);
const char *gmr__go_name(const struct gmr__go_table *table, int32_t offset);
const char *gmr__go_function_name(const struct gmr__go_table *table, const struct gmr__go_function *function);
/* Bytes between the stack pointer and the return address at pc; -1: unknown. */
int32_t gmr__go_frame_bytes(const struct gmr__go_table *table, const struct gmr__go_function *function, uint64_t pc);
int gmr__go_line(const struct gmr__go_table *table, const struct gmr__go_function *function, uint64_t pc,
                 const char **file);
/* The inlined call that pc is in: its number in the function's tree, -1: none; and the tree's offset from gofunc. */
int32_t gmr__go_inlined(const struct gmr__go_table *table, const struct gmr__go_function *function, uint64_t pc,
                        uint32_t *tree);

/* go_stack.c */
/* Frames of one goroutine in memory of the set; identical ones are named once. */
void gmr__go_walk(struct gmr__go *go, const struct gmr__go_g *g, struct gmr__language_stack *language);
void gmr__go_forget_sites(struct gmr__go *go);

#endif
