/*
 * gmr/green.h - tells Guru Meditation Reports about a program's green threads: coroutines, fibers, user-level threads.
 *
 * For authors of schedulers and of coroutine libraries. Two ways, neither costs anything at a switch:
 *
 *   records  gmr_green_add() when one is created, gmr_green_del() when it is destroyed: some ten nanoseconds together.
 *   lists    a scheduler that keeps a list of them already describes it once, in a static const struct gmr_green_list,
 *            and calls gmr_green_list_add() once per list: nothing per green thread.
 *
 * Either way a *layout* says where a suspended one keeps its registers. Those of well-known switch routines come with the library
 * (gmr_green_layout); adapters for well-known libraries are in gmr/adapters/.
 *
 *     struct coroutine *c = ...;                                       // its own stack, ucontext_t c->context
 *     c->green = gmr_green_add(gmr_green_layout(GMR_LAYOUT_UCONTEXT), c->stack, c->stack_bytes, &c->context,
 *                              (void *)c->function, c->argument);
 *     gmr_green_name(c->green, "session reader");                      // optional
 *     ...
 *     gmr_green_del(c->green);                                         // before the stack is freed
 *
 * The inspector reads all of it from outside, or from a core file; no line of this library runs in the program for it. Whether a
 * green thread runs or is suspended is derived from the OS threads' stack pointers: a scheduler need not tell.
 *
 * Conventions of every function here, unless its comment says otherwise: any thread; never blocks and takes no lock (the
 * first use on an OS thread, and one add in 64, may map memory); NOT from a signal handler; no function here switches stacks
 * or may be interrupted by code that does. Handles may be passed between OS threads. A NULL handle is ignored, so
 * that running out of memory for records does no harm: that green thread is missing in reports, and they say so.
 * "Borrowed" strings must stay where they are, unchanged, for as long as they are set: string literals are best.
 *
 * Licensed under the Apache License, Version 2.0.
 */
#ifndef GMR_GREEN_H
#define GMR_GREEN_H

#include "gmr/gmr.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ layouts */

#define GMR_LAYOUT_VERSION 1u

/* gmr_layout.kind: what the context slot is. */
#define GMR_CONTEXT_BLOCK 1u   /* the registers stand at slot + offset (ucontext_t, jmp_buf, a context struct) */
#define GMR_CONTEXT_SP_SLOT 2u /* *slot is a pointer S, the registers stand at S + offset (pushed on the stack) */

/* gmr_layout.flags */
#define GMR_LAYOUT_MANGLED 0x01u     /* fp, sp and pc as glibc's setjmp mangles them (aarch64: sp and pc) */
#define GMR_LAYOUT_PC_ON_STACK 0x02u /* pc = *(sp), then sp += 8, after sp was found as the offsets say */
#define GMR_LAYOUT_PC_IN_FIRST \
    0x04u /* where pc lies within the switch routine (or is x30), it is in x1 at off_alternate_pc (aarch64's swapcontext) */
#define GMR_LAYOUT_NULL_RUNS 0x08u /* a slot of NULL: it runs, or is just being switched to */
#define GMR_LAYOUT_MIGRATES 0x10u  /* may go on another OS thread (M:N): all must be stopped at once */
#define GMR_LAYOUT_BOUND 0x20u /* only the OS thread that added it runs it (1:N): that one alone is stopped for it */

#define GMR_NO_OFFSET INT16_MIN
#define GMR_LAYOUT_CALLEE 12

/*
 * Where a suspended green thread's registers are. One static const struct per switch routine and architecture; borrowed. Offsets
 * in bytes from the slot (BLOCK) or from S (SP_SLOT); GMR_NO_OFFSET: not saved.
 */
struct gmr_layout {
    uint32_t version;                      /* GMR_LAYOUT_VERSION */
    uint8_t kind;                          /* GMR_CONTEXT_* */
    uint8_t flags;                         /* GMR_LAYOUT_* */
    int16_t off_pc;                        /* the address where it goes on; GMR_NO_OFFSET with PC_ON_STACK */
    int16_t off_sp;                        /* the stack pointer; GMR_NO_OFFSET with SP_SLOT: it is S */
    int16_t sp_adjust;                     /* added to it: sp once the switch has returned */
    int16_t off_fp;                        /* x86-64: rbp; aarch64: x29 */
    int16_t off_callee[GMR_LAYOUT_CALLEE]; /* x86-64: rbx r12 r13 r14 r15; aarch64: x19 ... x28, x30 */
    int16_t off_alternate_pc;              /* with GMR_LAYOUT_PC_IN_FIRST */
    const char *name;                      /* the kind, as the report prints it: "ucontext" */
    const void *switch_low, *switch_high;  /* the switch routine's code, NULL if not at hand */
    const void *entry_low, *entry_high;    /* the trampoline a new one starts in: its pc there means "never ran" */
};

/* Layouts that come with the library, for the architecture it was built for. */
enum gmr_known_layout {
    GMR_LAYOUT_UCONTEXT = 1,      /* glibc: slot = ucontext_t * */
    GMR_LAYOUT_JMP_BUF = 2,       /* glibc: slot = jmp_buf, mangled */
    GMR_LAYOUT_FCONTEXT_1_61 = 3, /* Boost.Context 1.61 to 1.80: slot = fcontext_t * */
    GMR_LAYOUT_FCONTEXT_1_81 = 4, /* Boost.Context from 1.81: slot = fcontext_t * */
    GMR_LAYOUT_ST_JMP_BUF = 5,    /* State Threads' own jmp_buf, not mangled */
    GMR_LAYOUT_MINICORO = 6,      /* slot = struct _mco_ctxbuf * */
    GMR_LAYOUT_LIBCO = 7,         /* higan libco: slot = cothread_t */
    GMR_LAYOUT_LIBCO_TENCENT = 8, /* slot = coctx_t * */
    GMR_LAYOUT_LIBACO = 9,        /* slot = aco_t * (x86-64 only) */
    GMR_LAYOUT_LIBMILL = 10,      /* slot = the cr's ctx */
    GMR_LAYOUT_LIBDILL = 11,      /* slot = the cr's ctx */
    GMR_LAYOUT_LIBCORO = 12,      /* slot = coro_context * (asm variant: Tarantool, Perl's Coro) */
    GMR_LAYOUT_BTHREAD = 13,      /* brpc: slot = &ContextualStack.context */
    GMR_LAYOUT_PHOTON = 14,       /* slot = &thread.stack._ptr */
    GMR_LAYOUT_NONE = 15,         /* no C stack of its own while it is suspended: frames of a language only */
};
/* NULL where that one is not known on this architecture: gmr_green_add ignores a NULL layout. */
GMR_API const struct gmr_layout *gmr_green_layout(enum gmr_known_layout which);

/* ------------------------------------------------------------------------------------------------ records */

struct gmr_green; /* opaque */

/*
 * One green thread was created.
 * layout:     borrowed.
 * stack:      lowest address of its stack; NULL if it is not known (then it can't be told apart from others while it runs).
 * stack_size: bytes, up to 64 GiB.
 * slot:       where its context is while it is suspended, as the layout's kind says; read when a report is made. NULL: see
 *             gmr_green_slot.
 * entry, argument: its start function and what that is called with; for the reader. May be NULL.
 * Returns a handle, or NULL without memory or with a layout of NULL. Some ten nanoseconds.
 */
GMR_API struct gmr_green *gmr_green_add(const struct gmr_layout *layout, void *stack, size_t stack_size, void *slot,
                                        void *entry, void *argument);

/* It ended. Before its stack or slot is freed. The handle is dead afterwards; deleting it again before it is
 * used anew is harmless. */
GMR_API void gmr_green_del(struct gmr_green *green);

/*
 * What the program may tell besides. Each is a plain store or two: no lock, no allocation. Best from the OS thread that runs or
 * schedules the green thread.
 */
GMR_API void gmr_green_name(struct gmr_green *green, const char *name); /* borrowed; NULL: none */
GMR_API void gmr_green_id(struct gmr_green *green, uint64_t id);        /* the library's own number for it */
/* What it waits for, and on which object. reason: borrowed; NULL: it doesn't wait (any more). */
GMR_API void gmr_green_wait(struct gmr_green *green, const char *reason, const void *object);
/* The same with the time it began (CLOCK_MONOTONIC, ns), for schedulers that have a clock at hand: reports tell the age. */
GMR_API void gmr_green_wait_since(struct gmr_green *green, const char *reason, const void *object, uint64_t since_ns);
/* A spare of a pool: reports hide it behind a count. */
GMR_API void gmr_green_idle(struct gmr_green *green, bool idle);
/* Its slot, entry, stack changed: a library that reuses its objects, or learns the slot late. NULL and 0 leave as it is. */
GMR_API void gmr_green_set_slot(struct gmr_green *green, void *slot);
GMR_API void gmr_green_set_entry(struct gmr_green *green, void *entry, void *argument);
/* Libraries that share one stack and copy it away: while suspended, *length bytes of the stack from its sp upwards stand at *copy.
 * The addresses of the two variables are kept, and read when a report is made. */
GMR_API void gmr_green_copied(struct gmr_green *green, void *const *copy, const size_t *length);
/* Only while *owner is not this one's slot: the variable names whose bytes are on the shared stack itself. */
GMR_API void gmr_green_copied_owner(struct gmr_green *green, void *const *owner);
/* The green thread that awaits or resumes this one. */
GMR_API void gmr_green_parent(struct gmr_green *green, struct gmr_green *parent);

/* A place inside the record where a scheduler with an SP_SLOT layout may keep the saved stack pointer: makes reports of very
 * many green threads faster, since records are read in one go. Becomes the record's slot. NULL for a NULL handle. */
GMR_API void **gmr_green_slot(struct gmr_green *green);
/* A counter inside the record that a scheduler may increment (a plain ++) just before it switches to this green thread, and
 * again just after it has switched away from it: odd while it runs. Tells what changed since a copy was made, so that the program is
 * stopped for less. NULL for a NULL handle. */
GMR_API uint32_t *gmr_green_switches(struct gmr_green *green);

/* From now on only the calling OS thread runs it, whatever its layout says: GMR_LAYOUT_BOUND for this one. Where all green threads of a
 * process are bound, reports stop their OS threads one at a time. */
GMR_API void gmr_green_bound(struct gmr_green *green);

/* Keep the stack on which each is created from now on (first 4 frames; some microseconds an add; off by default; the
 * environment's GMR_GREEN_CREATION=1 turns it on). */
GMR_API void gmr_green_trace_creation(bool on);

/* ------------------------------------------------------------------------------------------------ language frames */

/*
 * A green thread whose frames are those of an interpreter (Lua, a Scheme, ...), found by a description of its data rather than by
 * code: `language` names the reader built into the inspector ("lua5.4"), `state` is what that reader starts from (a
 * lua_State *). No C stack is needed. Its stack and slot may be NULL in gmr_green_add, with
 * GMR_LAYOUT_NONE as its layout.
 * language: borrowed.
 */
GMR_API void gmr_green_language(struct gmr_green *green, const char *language, const void *state);

/*
 * Frames told by the program: an awaiting chain of stackless coroutines (C++20). Each frame is a struct the program keeps, linked from
 * the innermost outwards: *head is the innermost. Read from outside; bounded to 1,000 frames; cycles are noticed.
 */
struct gmr_green_frame {
    struct gmr_green_frame *outer; /* who awaits it; NULL: the last */
    const void
        *resume; /* code address to name: the resume function, or the return address of the await; NULL: unknown */
    const char *function; /* borrowed; NULL: take the name of `resume` */
    const char *file;     /* borrowed; NULL: unknown */
    int32_t line;         /* 0: unknown */
    uint32_t flags;       /* GMR_FRAME_* */
};
#define GMR_FRAME_ENTRY 0x1u /* resume is a function's address, not a return address */
/* language: "c++" and the like, borrowed. head: the address is kept and read when a report is made. */
GMR_API void gmr_green_frames(struct gmr_green *green, const char *language, struct gmr_green_frame *const *head);

/* ------------------------------------------------------------------------------------------------ lists */

#define GMR_LIST_VERSION 1u

/* gmr_green_list.kind: how to walk it. */
#define GMR_LIST_LINKED 1u   /* *head, and each link, points to the next; ends with NULL, or back at the head */
#define GMR_LIST_POINTERS 2u /* *head points to an array of pointers to them (NULLs are skipped), *count of them */
#define GMR_LIST_ARRAY 3u    /* *head points to an array of the objects themselves */

/* gmr_green_list.flags */
#define GMR_LIST_TO_LINK 0x1u /* links point at the next one's link member, not at its start */
#define GMR_LIST_HEAD_IS_LINK \
    0x2u /* the head is a link within a ring, no pointer to the first: it is no green thread itself */
#define GMR_LIST_NAME_INLINE 0x4u /* the name is a char array in the object, not a pointer to one */
#define GMR_LIST_STACK_END 0x10u  /* off_stack_size is a pointer to the stack's end, no size */
#define GMR_LIST_MIGRATES 0x8u    /* as GMR_LAYOUT_MIGRATES */
#define GMR_LIST_BOUND 0x20u      /* as GMR_LAYOUT_BOUND: the OS thread that called gmr_green_list_add */

#define GMR_NO_MEMBER (-1)
#define GMR_LIST_STATES 16

/* What a number in the object's state member means. */
enum gmr_green_state {
    GMR_GREEN_UNKNOWN = 0,
    GMR_GREEN_NEW = 1,
    GMR_GREEN_RUNNING = 2,
    GMR_GREEN_RUNNABLE = 3,
    GMR_GREEN_SUSPENDED = 4,
    GMR_GREEN_WAITING = 5,
    GMR_GREEN_DONE = 7,
    GMR_GREEN_SKIP = 255, /* no green thread (a free element of an array): leave it out */
};
struct gmr_green_list_state {
    int32_t value;
    int32_t state;      /* enum gmr_green_state */
    const char *reason; /* "sleeping", "reading": what the number says of its waiting; NULL: nothing */
};

/* A scheduler's own list: static const, borrowed. Offsets in bytes from the object's start, GMR_NO_MEMBER: there is none. */
struct gmr_green_list {
    uint32_t version; /* GMR_LIST_VERSION */
    uint8_t kind, flags;
    uint8_t id_bytes, state_bytes; /* 1, 2, 4 or 8 */
    uint8_t stack_size_bytes;      /* of off_stack_size; 0: 8 */
    uint8_t reserved[7];
    const char *name; /* the kind, as the report prints it */
    const struct gmr_layout *layout;
    int32_t off_link;       /* LINKED: the pointer to the next */
    int32_t off_context;    /* the slot (within the object) */
    int32_t off_stack;      /* pointer to the stack's lowest byte */
    int32_t off_stack_size; /* size_t; GMR_NO_MEMBER: stack_size below */
    int32_t off_name, off_id, off_state, off_entry, off_argument, off_wait;
    /* The stack's two members are in an object that this pointer leads to; GMR_NO_MEMBER: in the same. */
    int32_t off_stack_object;
    int32_t off_switches;                                /* uint32_t that grows with each switch */
    uint64_t stack_size;                                 /* of each, where there's no member for it */
    uint64_t element_bytes;                              /* ARRAY */
    struct gmr_green_list_state states[GMR_LIST_STATES]; /* ends with one whose state is 0 */
};

/*
 * One list, or one instance of it (a scheduler per OS thread: call it from there). head: address of the variable (LINKED: the pointer to the
 * first, or with HEAD_IS_LINK the ring's own link; POINTERS and ARRAY: the pointer to the array). count: address of the
 * number of elements; NULL for LINKED. At most 1,024 lists at a time.
 * Returns 0, -EINVAL, -ENOSPC.
 */
GMR_API int gmr_green_list_add(const struct gmr_green_list *list, const void *head, const size_t *count);
/* Before the head goes away. 0, -ENOENT. */
GMR_API int gmr_green_list_del(const struct gmr_green_list *list, const void *head);

#ifdef __cplusplus
}
#endif

#endif
