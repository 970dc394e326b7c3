/*
 * green/green.h - green threads of a process: what every source of them yields, how capture drives the sources, and
 * what the section prints.
 *
 * Inspector only. A *source* knows one kind of green thread (gmr's own registry, greenlets, goroutines, the generic
 * scan, ...). Green threads stand still only while the OS threads that may run them are stopped, hence the phases, in
 * this order, driven by the capture layer:
 *
 *   find       target running: is there any? resolve symbols, offsets, versions; no hurry
 *   ahead      target running: copy what there is, so that the stop need only copy what changed (0 to 3 times)
 *   collect    the OS threads stopped: contexts and lists, copied, nothing analysed; until the budget's end
 *   finish     target running again: demangle, normalise, walk, put names to things; emit the threads
 *
 * A source emits in `collect` or `finish`, as it likes; bytes of the target that it reads in `finish` are read from a moving
 * target. Everything the target holds is hostile: bound every loop, believe no pointer, no count and no string.
 */
#ifndef GMR_GREEN_GREEN_H
#define GMR_GREEN_GREEN_H

#include "snapshot/snapshot.h"

struct gmr__modules; /* symbol/symbol.h */
struct gmr__green;

/* ------------------------------------------------------------------------------------------------ green threads */

enum gmr__green_state {
    GMR__GREEN_UNKNOWN = 0,
    GMR__GREEN_NEW,       /* created, never ran */
    GMR__GREEN_RUNNING,   /* an OS thread is on its stack */
    GMR__GREEN_RUNNABLE,  /* wants to run */
    GMR__GREEN_SUSPENDED, /* neither: yielded or waits, the library does not say which */
    GMR__GREEN_WAITING,   /* waits for wait_reason */
    GMR__GREEN_SYSCALL,   /* inside a system call on an OS thread of its own (Go) */
    GMR__GREEN_DONE,      /* ended, not yet reclaimed */
};
const char *gmr__green_state_name(enum gmr__green_state state); /* "new", "running", ... */

/* One call of a language that keeps frames of its own (Python, Lua), or has them where no CFI tells (Go). */
struct gmr__language_frame {
    const char *function; /* qualified as the language does; NULL: unknown */
    const char *file;     /* NULL: unknown */
    int line;             /* 0: unknown */
    bool entry;           /* the interpreter's C function was called anew for it: its C frame stands right behind */
    bool pc_is_entry;     /* pc is a function's address, not a return address */
    uint64_t pc; /* native code it stands for (a C function, a stackless coroutine): names what the others leave NULL */
};

/* Frames of a language, innermost first. Where the native frames are known, too, the printer puts them in between: each
 * native frame whose pc lies in [interpreter_low, interpreter_high) is preceded by the frames up to and including
 * the next one with `entry`. Without native frames, or without a range: first these, then the native ones. */
struct gmr__language_stack {
    const char *language; /* "python", "lua", "go": static */
    const struct gmr__language_frame *frames;
    uint32_t frame_count;
    bool lasts; /* frames are gmr__green_alloc's and their texts gmr__green_intern's: taken over as they are */
    uint64_t interpreter_low, interpreter_high; /* 0, 0: unknown */
    uint64_t
        switcher; /* an address in the library that switches its green threads, machinery like the interpreter; 0: none */
    const char *end;         /* why it ends early, NULL if it doesn't */
    const char *thread_name; /* what the language calls the OS thread; interned; NULL: not known */
};

/* What a source says of one green thread. Zero means "not known" for every member. gmr__green_emit copies the struct and
 * what its pointers name, except where marked static. */
struct gmr__green_thread {
    uint64_t id;      /* the library's own number; 0: gmr numbers them, from 1 */
    uint64_t address; /* of the object that stands for it in the target: tells apart what has the same id */
    const char *kind; /* "ucontext", "greenlet", "goroutine", ...: static */
    const char *name; /* any bytes */
    enum gmr__green_state state;
    const char *wait_reason; /* "chan receive", "lock", ...; any bytes */
    uint64_t wait_object;    /* address of what it waits for */
    uint64_t since_ns;       /* CLOCK_MONOTONIC: since when it is in this state */
    bool idle;               /* a pool's spare: hidden behind a count */
    bool discovered;         /* found by a scan, not told by a list */
    bool approximate;        /* copied while it could run: may be torn */
    bool claimed;            /* its stack is known by gmr__green_claim already */
    uint64_t entry;          /* address of its start function */
    uint64_t argument;       /* first argument of it; has_argument tells */
    bool has_argument;
    uint64_t switches;   /* how often it was switched to; 0: not counted */
    pid_t carrier;       /* the OS thread it runs on, or the only one that may run it */
    uint64_t parent;     /* address of the green thread that awaits or resumes it */
    uint64_t creator[8]; /* pcs of where it was made, innermost first */

    /* Its stack. The range is [stack_low, stack_high); unwinding stops where the CFA leaves it. For a suspended one: the
     * registers and the bytes. `copy` names bytes of the *inspector's* memory that are taken over by copying them; leave
     * copy.data NULL and the common code copies [sp, stack_high), capped, at the stop if emitted in `collect`, else at
     * once. For a running one leave regs.valid 0: it takes those of the OS thread that is on its stack. */
    uint64_t stack_low, stack_high;
    struct gmr__regs regs;
    bool activation;          /* regs' pc is an instruction about to run (a new one's entry), not a return address */
    struct gmr__segment copy; /* e.g. put together from the heap, for libraries that copy stacks away */
    bool copy_lasts;          /* copy.data was made with gmr__green_alloc: take the bytes over as they are */

    struct gmr__language_stack language;             /* language.language NULL: none */
    const char *problem;                             /* why something of the above is missing: a sentence */
    const struct gmr__language_stack *language_kept; /* gmr__green_at: `language` where it stays; NULL: none */
};

/* ------------------------------------------------------------------------------------------------ sources */

struct gmr__green_source {
    const char *name; /* as in messages: "registry", "python", ... */

    /* 1: the process has such green threads (*state may hold what the source needs later); 0: no; -errno: it may, but
     * can't be told why (gmr__green_note says it in words). */
    int (*find)(struct gmr__green *green, void **state);
    int (*ahead)(struct gmr__green *green, void *state);   /* NULL: none. 1: worth another round, 0: enough */
    int (*collect)(struct gmr__green *green, void *state); /* NULL: none. 0 or -errno */
    int (*finish)(struct gmr__green *green, void *state);  /* NULL: none. 0 or -errno */
    void (*release)(void *state);                          /* NULL: nothing to free */

    /* Green threads move between OS threads (M:N): all OS threads must stand at once. Else collect is called with those
     * that stand (gmr__green_stopped), perhaps several times. */
    bool together;
    /* After `ahead`, where `together` is true; both NULL: always together. apart: in this process each of its green threads has one OS thread
     * that alone may run it. carries: collect is to be called while this OS thread stands; asked in the capturing process: only
     * the heap is there. */
    bool (*apart)(struct gmr__green *green, void *state);
    bool (*carries)(void *state, pid_t tid);
};

/* Ends with NULL; sources.c. Order: the exact before the guessing, since a later source skips stacks already emitted. */
extern const struct gmr__green_source *const gmr__green_sources[];

/* What a source may ask and do. -------------------------------------------------------------------------------- */

const struct gmr__snapshot *
gmr__green_snapshot(const struct gmr__green *green); /* maps, exe, root, pid; in `finish` threads, too */
struct gmr__modules *gmr__green_modules(const struct gmr__green *green);

/* Address (and size, may be NULL) of a symbol by name, from .dynsym, then .symtab, of the modules whose path's last part starts
 * with `module` (NULL: any; "": the executable). TLS symbols yield their offset in *address and -ENOTSUP. 0, -ENOENT. */
int gmr__green_symbol(struct gmr__green *green, const char *module, const char *name, uint64_t *address,
                      uint64_t *size);

/* Memory of the target: all of it or -EFAULT. Works on a live process and on a core. */
int gmr__green_read(struct gmr__green *green, uint64_t address, void *to, size_t bytes);
/* A NUL-terminated string, cut at cap - 1 bytes. Its length or -EFAULT. */
int gmr__green_read_string(struct gmr__green *green, uint64_t address, char *to, size_t cap);

/* Many pieces in few system calls: each piece's `got` is how many bytes of it could be read from its start. */
struct gmr__green_piece {
    uint64_t address;
    void *to;
    uint32_t bytes, got;
};
void gmr__green_read_many(struct gmr__green *green, struct gmr__green_piece *pieces, size_t count);

/* May `address` be executed? Does a call instruction end right before it? (Both from the mappings and text.) */
bool gmr__green_is_code(struct gmr__green *green, uint64_t address);
bool gmr__green_is_return_address(struct gmr__green *green, uint64_t address);

/* In collect: the OS threads that stand still now, with their registers. In finish: all there were. */
const struct gmr__thread *gmr__green_stopped(const struct gmr__green *green, size_t *count);
/* The budget of the phase is used up: stop what you do, emit what you have, say so with gmr__green_note. */
bool gmr__green_out_of_time(const struct gmr__green *green);
/* glibc's pointer guard (AT_RANDOM + 8), for mangled jmp_bufs. 0 or -errno. */
int gmr__green_pointer_guard(struct gmr__green *green, uint64_t *guard);

/* Memory that lives as long as the set; NULL: none left. */
void *gmr__green_alloc(struct gmr__green *green, size_t bytes);
/* So much of it will be needed at the stop, which is to take no page fault for it. */
void gmr__green_reserve(struct gmr__green *green, size_t bytes);
/* The same string once, NULL for NULL. */
const char *gmr__green_intern(struct gmr__green *green, const char *text);

/* Adds one. 0, -ENOMEM, -ENOSPC past the limit of how many a report takes (counted, and said in the section). */
int gmr__green_emit(struct gmr__green *green, const struct gmr__green_thread *thread);
/* A stack that this source will emit a thread for: from now on it is known to later sources. */
void gmr__green_claim(struct gmr__green *green, uint64_t stack_low, uint64_t stack_high);
/* Is there a thread with a stack that holds `address` already, or a claim to it? */
bool gmr__green_known(const struct gmr__green *green, uint64_t address);
/* Frames of a language for an *OS thread*: printed among its native ones in the Threads section. */
int gmr__green_emit_os_thread(struct gmr__green *green, pid_t tid, const struct gmr__language_stack *language);
/* A sentence for the section's status ("3 records of the registry are corrupt"). At most 16 are kept. */
void gmr__green_note(struct gmr__green *green, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------------------------------------------------ for capture */

struct gmr__green_options {
    uint64_t stop_budget_ns;  /* 0: 50 ms */
    uint64_t find_budget_ns;  /* 0: 3 s */
    uint64_t max_threads;     /* 0: 2,000,000 */
    uint32_t stack_bytes;     /* copied of each stack; 0: 16 KiB */
    uint64_t max_stack_bytes; /* copied in all; 0: 1 GiB */
};

enum gmr__green_stop {
    GMR__GREEN_STOP_NONE = 0, /* no green threads: nothing to collect */
    GMR__GREEN_STOP_EACH,     /* call gmr__green_collect with each OS thread as it stands */
    GMR__GREEN_STOP_TOGETHER, /* stop all OS threads, one call of gmr__green_collect, let all go */
};

/* snapshot: pid, maps, root, read_live are set; threads need not be. Both are borrowed and outlive it. NULL: no memory. */
struct gmr__green *gmr__green_new(struct gmr__snapshot *snapshot, struct gmr__modules *modules,
                                  const struct gmr__green_options *options);
void gmr__green_free(struct gmr__green *green);
/* 1. Target running: find and ahead. May take as long as find_budget_ns. */
enum gmr__green_stop gmr__green_prepare(struct gmr__green *green);
/* Did it find a kind of green thread? */
bool gmr__green_any(const struct gmr__green *green);
/* With GMR__GREEN_STOP_EACH, in the capturing process: is gmr__green_collect to be called while this one stands? */
bool gmr__green_concerns(const struct gmr__green *green, pid_t tid);
/* In the capturing process, too: where the stack ends that is known to hold `address`; 0: none is. */
uint64_t gmr__green_stack_end(struct gmr__green *green, uint64_t address);
/* 2. These OS threads stand still. Returns within the stop budget (counted over all calls). */
void gmr__green_collect(struct gmr__green *green, const struct gmr__thread *standing, size_t count);
/* 3. All run again; snapshot->threads is complete. Core files: prepare, collect with all threads, finish. */
void gmr__green_finish(struct gmr__green *green);

/* ------------------------------------------------------------------------------------------------ for the sections */

size_t gmr__green_count(const struct gmr__green *green);
uint64_t gmr__green_stopped_at(const struct gmr__green *green); /* CLOCK_MONOTONIC of the copy; 0: not known (a core) */
/* Fills *thread with number `index`; its pointers live as long as the set. stack: the bytes (copy), empty if none. */
void gmr__green_at(const struct gmr__green *green, size_t index, struct gmr__green_thread *thread);
/* NULL: this OS thread has no frames of a language. */
const struct gmr__language_stack *gmr__green_os_thread(const struct gmr__green *green, pid_t tid);
const char *gmr__green_notes(const struct gmr__green *green); /* all notes as one text, "" if none */
uint64_t gmr__green_dropped(const struct gmr__green *green);  /* threads past a limit */

#endif
