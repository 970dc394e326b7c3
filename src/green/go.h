/*
 * green/go.h - what the files of the Go source share: the runtime's layouts, its function table, goroutines as copied.
 *
 * Inspector only (malloc).
 *   go_find.c     version, .gopclntab and runtime.allgs of a Go program, stripped or not
 *   go_layout.c   offsets in the runtime's structs, by release
 *   go_dwarf.c    the same from a program's own debug information, for releases that are not in the table
 *   go_table.c    .gopclntab: pc -> function, file:line, inlined calls, frame size
 *   go_read.c     the list of goroutines and what their runtime.g say
 *   go_place.c    where the frames of each begin; copies of stacks
 *   go_stack.c    a goroutine's frames from its copied stack
 *   go.c          the source itself
 */
#ifndef GMR_GREEN_GO_H
#define GMR_GREEN_GO_H

#include "green/addrmap.h"
#include "green/green.h"

/* Offsets in runtime.g, (m_*) in runtime.m and (module_*) in runtime.moduledata. 0: not known for this version. */
struct gmr__go_layout {
    uint16_t m, sched_sp, sched_pc, syscall_sp, syscall_pc, status, id, wait_since, wait_reason;
    uint16_t ran; /* a byte that counts how often it was switched away from (trackingSeq) */
    uint16_t created_at, start;
    uint16_t m_procid, m_signal_g, m_vdso_sp, m_vdso_pc; /* runtime.m begins with g0 */
    uint16_t module_text, module_functions;
};
#define GMR__GO_G_BYTES 320 /* of a runtime.g, enough for every offset above */

struct gmr__go_table {
    unsigned char *bytes; /* all of .gopclntab */
    size_t size;
    uint64_t text; /* where pcs are counted from; 1.26 on: not told by the table */
    uint32_t functions, quantum;
    uint32_t names, units, files, values, lookup; /* offsets of the parts */
    bool since_120;                               /* Go 1.20: functions and inlined calls are laid out anew */
};

enum gmr__go_status {
    GMR__GO_IDLE,
    GMR__GO_RUNNABLE,
    GMR__GO_RUNNING,
    GMR__GO_SYSCALL,
    GMR__GO_WAITING,
    GMR__GO_DEAD = 6,
    GMR__GO_COPYING = 8,
    GMR__GO_PREEMPTED = 9,
    GMR__GO_LEAKED = 10, /* 1.26: waits for what nobody can ever do */
    GMR__GO_DEAD_EXTRA = 11,
};

struct gmr__go_g {
    /* What tells whether it ran since it was read last. */
    uint64_t address, sched_sp, sched_pc, id;
    uint32_t status; /* enum gmr__go_status, or a number that no release knows */
    uint8_t ran, reason;
    bool readable, moved; /* moved: not as it was when its stack was copied */
    uint64_t since, low, high, syscall_sp, syscall_pc, m, created_at, start;

    uint64_t sp, pc; /* where its frames begin; sp 0: no stack to walk */
    unsigned char *stack;
    uint32_t stack_bytes, stack_room;
    pid_t carrier;
    bool interrupted;    /* pc is an instruction about to run */
    bool in_c;           /* its OS thread is in C code that it called */
    uint64_t g0_sp;      /* above the C part of that stack */
    const char *problem; /* static */
};

struct gmr__go_region {
    uint64_t address;
    size_t bytes, first, count; /* of go->gs */
};

struct gmr__go {
    struct gmr__green *green;
    int minor; /* Go 1.minor */
    struct gmr__go_layout layout;
    struct gmr__go_table table;
    uint64_t table_address;
    uint64_t inline_base;  /* moduledata.gofunc: what offsets of function data count from (1.18 on) */
    uint64_t allgs;        /* address of the slice */
    uint64_t wait_reasons; /* address of an array of strings, 0: not found */

    struct gmr__go_g *gs; /* in the order of the regions */
    size_t count, room, listed;
    struct gmr__go_region *regions;
    size_t region_count, region_room;
    unsigned char *window; /* what a few regions are read into */
    uint64_t stack_total;
    struct gmr__addrmap tids;     /* runtime.m -> OS thread */
    struct gmr__addrmap standing; /* OS thread -> its number at the stop + 1 */
    struct gmr__addrmap sites;    /* pc -> what go_stack.c knows of it */
    struct gmr__addrmap shared;   /* hash of pcs -> frames already named */
    bool cut;                     /* not all fitted */
};

/* go_find.c: 1 it is Go and all was found, 0 it is not, or not a kind we know (noted). */
int gmr__go_find(struct gmr__go *go);

/* go_layout.c: false: a release that the table does not have. */
bool gmr__go_layout(int minor, struct gmr__go_layout *layout);
/* go_dwarf.c: reads the layout from the debug information of the file `elf` (an Elf *). */
bool gmr__go_layout_from_dwarf(void *elf, struct gmr__go_layout *layout);

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

/* go_read.c */
/* Takes in goroutines that were added to the list since the last call; at the stop as many as there is room for. */
bool gmr__go_list(struct gmr__go *go, bool stopped);
/* Reads every runtime.g. How many have `moved`: they are not what they were when their stack was copied. */
size_t gmr__go_read(struct gmr__go *go);

/* go_place.c */
/* From `moved` and from what runs or is in a system call: where their frames begin, and copies of their stacks. False: not all
 * could be copied; those have a problem. */
bool gmr__go_copy(struct gmr__go *go);
/* The OS threads that stand, for gmr__go_copy. */
void gmr__go_stand(struct gmr__go *go);

/* go_stack.c */
/* Frames of one goroutine in memory of the set; identical ones are named once. */
void gmr__go_walk(struct gmr__go *go, const struct gmr__go_g *g, struct gmr__language_stack *language);
void gmr__go_forget_sites(struct gmr__go *go);

#endif
