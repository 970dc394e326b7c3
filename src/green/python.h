/*
 * green/python.h - what the files of the Python source share: CPython's layouts, raw chains of frames, code objects.
 *
 * Inspector only (malloc). The target's interpreter is read from outside; nothing of it is run. The source is built of
 *   python_layout.c    where members stand, by CPython version
 *   python_object.c    types, strings, code objects, line tables
 *   python_frames.c    chains of frames: copied at the stop, given names afterwards
 *   python_lists.c     the garbage collector's lists: greenlets and tasks, in the order gc.get_objects() has
 *   python_heap.c      the same found by their type, wherever they are
 *   python_greenlet.c  greenlets: state, frames, the native stack they copied away
 *   python_names.c     names of OS threads
 *   python_task.c      asyncio tasks and what they await
 *   python.c           the source itself
 */
#ifndef GMR_GREEN_PYTHON_H
#define GMR_GREEN_PYTHON_H

#include "green/peek.h"

enum gmr__py_frames {
    GMR__PY_FRAME_OBJECTS = 1, /* 3.8 to 3.10: a linked list of frame objects, PyThreadState.frame */
    GMR__PY_FRAME_CFRAME,      /* 3.11, 3.12: PyThreadState.cframe->current_frame */
    GMR__PY_FRAME_DIRECT,      /* 3.13, 3.14: PyThreadState.current_frame */
};

enum gmr__py_lines {
    GMR__PY_LNOTAB = 1, /* 3.8, 3.9: bytes (pc delta, line delta) */
    GMR__PY_LINETABLE,  /* 3.10: the same with pcs of ends, -128 for "no line" (PEP 626) */
    GMR__PY_LOCATIONS,  /* 3.11 on: Objects/locations.md of CPython */
};

/* Offsets in bytes. 0 where a version has no such member (but for those that are truly at 0). */
struct gmr__py_layout {
    int minor; /* 3.minor */
    enum gmr__py_frames frames;
    enum gmr__py_lines lines;
    uint32_t runtime_interpreters, runtime_gc; /* runtime_gc: 3.8 only */
    uint32_t interpreter_next, interpreter_threads, interpreter_gc;
    bool reorders;         /* a collector whose lists' ends tell nothing of age */
    uint32_t gc_permanent; /* from the first generation to what gc.freeze() keeps */
    uint32_t thread_next, thread_frame, thread_pthread, thread_native;
    uint32_t cframe_current;
    uint32_t frame_code, frame_previous, frame_instruction, frame_entry, frame_owner, frame_stacktop, frame_locals;
    uint32_t frame_stack_pointer; /* 3.14: a pointer instead of frame_stacktop's number */
    uint32_t object_frame;        /* PyFrameObject.f_frame, 3.11 on */
    uint32_t code_filename, code_name, code_qualname, code_first_line, code_lines, code_instructions,
        code_first_traceable;
    uint32_t generator_frame, generator_state;
    uint32_t string_ascii, string_compact; /* where the characters begin */
};

enum gmr__py_class {
    GMR__PY_OTHER = 1,
    GMR__PY_GREENLET,
    GMR__PY_TASK,
    GMR__PY_CODE,
    GMR__PY_STRING,
    GMR__PY_TYPE,
    GMR__PY_COROUTINE, /* coroutines, generators, async generators: those with a frame of their own */
    GMR__PY_WRAPPER,   /* what `await` wraps around a coroutine: the next one is its first member */
    GMR__PY_FUTURE_ITERATOR,
};

/* One frame as copied: names come later. */
struct gmr__py_raw_frame {
    uint64_t code;
    int64_t instruction; /* byte offset in the code, -1: before the first */
    bool entry;
};

/* A chain of frames that is being copied. */
struct gmr__py_chain {
    uint64_t next;                                    /* frame to read, 0: done */
    uint64_t overlay_low, overlay_high, overlay_from; /* [low, high) has been copied away to `from` */
    uint64_t mark;                                    /* of Brent's cycle detection */
    uint32_t mark_at, steps;
    struct gmr__py_raw_frame *frames;
    uint32_t count;
    size_t room;
    const char *end;    /* why it ends early */
    uint64_t outermost; /* address of the last frame */
};

struct gmr__py_thread {
    uint64_t address, pthread, native;
    uint64_t current; /* the greenlet it runs, 0: not known */
    pid_t tid;
    struct gmr__py_chain chain;
};

#define GMR__PY_FRAME_BYTES 112 /* covers every member that the layouts name */
/* The greenlet module's note of an OS thread: the thread's main greenlet, then the current one. */
struct gmr__py_carrier {
    uint64_t pthread, note;
};

#define GMR__PY_FROZEN ((uint64_t)3 << 56)
#define GMR__PY_UNORDERED (((uint64_t)2 << 56) + ((uint64_t)1 << 38)) /* found in memory, met on no list */
#define GMR__PY_KINDS 256
#define GMR__PY_INTERPRETERS 64

/* A greenlet or a task. */
struct gmr__py_green {
    uint64_t address, type;
    enum gmr__py_class class;
    bool gone;
    uint64_t order; /* as gc.get_objects() has them, behind GMR__PY_FROZEN what gc.freeze() put aside */
    enum gmr__green_state state;
    uint64_t stack_start, stack_stop, stack_copy, stack_saved;
    unsigned char *stack; /* greenlets: bytes of the C stack from stack_at */
    uint64_t stack_at;
    uint32_t stack_bytes, stack_room;
    uint64_t waits_for; /* tasks: the future */
    char wait[64];
    char name[64];
    uint64_t name_object;
    struct gmr__py_chain chain, before; /* before: as the rehearsal saw it */
};

struct gmr__py_code {
    const char *function, *file;
    int first_line;
    uint64_t instructions;
    int first_traceable; /* units */
    unsigned char *lines;
    size_t line_bytes;
};

struct gmr__python {
    struct gmr__green *green;
    struct gmr__peek peek, pages; /* pages: what is read at the stop */
    struct gmr__py_layout layout;
    uint64_t runtime, eval_low, eval_high;
    struct gmr__addrmap types; /* type -> enum gmr__py_class */
    struct gmr__addrmap codes; /* code -> struct gmr__py_code * */
    struct gmr__addrmap seen;  /* greenlets and tasks already in `greens` -> index + 1 */
    struct gmr__py_thread *threads;
    size_t thread_count, thread_room;
    struct gmr__py_carrier *carriers;
    size_t carrier_count;
    struct gmr__py_green *greens;
    size_t green_count, green_room;
    uint64_t kinds[GMR__PY_KINDS]; /* types of greenlets and tasks */
    unsigned kind_count;
    uint64_t switch_pc; /* where a suspended greenlet's native stack goes on, 0: unknown */
    uint64_t interpreters[GMR__PY_INTERPRETERS], full_collections[GMR__PY_INTERPRETERS];
    size_t interpreter_count;
    struct gmr__addrmap marks;          /* the collector's lists' last objects -> the one behind each */
    uint8_t rest[GMR__PY_INTERPRETERS]; /* bit n: generation n is to be walked whole */
    bool walked;                        /* ahead: every list led to its end */
    bool lists_broken;                  /* at the stop: one did not lead to its end */
    bool rehearsing;                    /* the target runs: what is read may be torn */
    pid_t only; /* the one OS thread that runs Python, which alone need stand; 0: all of them together */
    uint64_t only_pthread;
    uint64_t live_low, live_high; /* a stack that an OS thread is on */
    bool collected;
    const char *problem;
};

/* python_layout.c. false: this version is not known (the note has been written). */
bool gmr__python_find_layout(struct gmr__python *python);

/* At the stop, and in its rehearsal: all of it or -EFAULT. */
int gmr__python_read(struct gmr__python *python, uint64_t address, void *to, size_t bytes);

/* Room for `want` elements in a list of gmr__green_alloc's. */
bool gmr__python_grow(struct gmr__python *python, void *list, size_t element_bytes, size_t *cap, size_t want);

/* python_object.c; all read through python->peek. */
enum gmr__py_class gmr__python_class_of_type(struct gmr__python *python, uint64_t type);
/* tp_name, cut behind its last dot. */
void gmr__python_type_name(struct gmr__python *python, uint64_t type, char *to, size_t cap);
/* A str as UTF-8 into to; its length or -errno. */
int gmr__python_string(struct gmr__python *python, uint64_t object, char *to, size_t cap);
/* NULL if there is no code object at address. */
const struct gmr__py_code *gmr__python_code(struct gmr__python *python, uint64_t address);
int gmr__python_line(const struct gmr__python *python, const struct gmr__py_code *code, int64_t instruction);
void gmr__python_free_codes(struct gmr__python *python);

/* python_frames.c */
extern const char gmr__python_no_time[]; /* the end of a chain that the stop had no time for */
/* Reads every chain to its end. */
void gmr__python_copy_chains(struct gmr__python *python, struct gmr__py_chain **chains, size_t count);
bool gmr__python_chain_push(struct gmr__python *python, struct gmr__py_chain *chain, uint64_t code, int64_t instruction,
                            bool entry);
/* Names for a chain, into memory of the set. */
void gmr__python_language(struct gmr__python *python, const struct gmr__py_chain *chain,
                          struct gmr__language_stack *language);

/* python_heap.c */
void gmr__python_find_types(struct gmr__python *python);
void gmr__python_search_heap(struct gmr__python *python); /* target running */
/* Remembers an object that is a greenlet or a task. order: 0 if it was met on no list. The last walk decides on the order. */
void gmr__python_meet(struct gmr__python *python, uint64_t object, uint64_t type, uint64_t order);

/* At the stop, and in its rehearsal. */
bool gmr__python_is_alive(struct gmr__python *python, const struct gmr__py_green *green);

/* python_lists.c */
void gmr__python_mark_lists(
    struct gmr__python *python); /* target running: what is made from here on comes behind the marks */
void gmr__python_walk_ahead(struct gmr__python *python);    /* target running: the order of what there is */
bool gmr__python_lists_settled(struct gmr__python *python); /* are the marks still good? */
void gmr__python_walk_ends(struct gmr__python *python);     /* at the stop: what was made since the marks */
/* At the stop: lists whose ends don't tell, whole. true: there were none. */
bool gmr__python_walk_rest(struct gmr__python *python);
/* The interpreters' addresses; bounded. */
size_t gmr__python_interpreters(struct gmr__python *python, uint64_t *to, size_t cap);

/* python_greenlet.c */
/* At the stop, from number `first` on: states, and where their chains begin. */
void gmr__python_read_greenlets(struct gmr__python *python, size_t first);
void gmr__python_greenlet_stack(struct gmr__python *python, const struct gmr__py_green *green,
                                struct gmr__green_thread *thread);
void gmr__python_find_switch(struct gmr__python *python);
void gmr__python_find_carriers(struct gmr__python *python); /* in the rehearsal */
void gmr__python_read_carriers(struct gmr__python *python); /* at the stop */
void gmr__python_read_greenlet_stacks(struct gmr__python *python, size_t first);

/* python_names.c: NULL: not known */
const char *gmr__python_thread_name(struct gmr__python *python, const struct gmr__py_chain *chain);

/* python_task.c */
void gmr__python_read_tasks(struct gmr__python *python, size_t first); /* at the stop: await chains, outermost first */
void gmr__python_name_tasks(struct gmr__python *python);               /* later: names, and what is awaited */

#endif
