/*
 * green/reader.h - the registry of a target as the inspector reads it; shared by reader*.c.
 */
#ifndef GMR_GREEN_READER_H
#define GMR_GREEN_READER_H

#include "green/context.h"
#include "green/registry.h"
#include "green/set.h"
#include "green/switches.h"

#define GMR__READER_ROOTS 4 /* a program may hold libgmr twice: linked in and preloaded */
#define GMR__READER_SHAPES 256
#define GMR__READER_HOMES 256 /* OS threads that bound green threads run on; more: all are stopped together */
#define GMR__FLYING 256u      /* contexts in flight at once: as many as OS threads switch */
#define GMR__FLYING_GUESSES 8u

/* What was copied for one record. */
struct gmr__copied {
    unsigned char *stack; /* bytes from stack_start */
    unsigned char *block; /* BLOCK: the context's bytes */
    struct gmr__detail *detail;
    uint64_t stack_start; /* sp or S */
    uint32_t stack_got, stack_cap;
    uint32_t claimed; /* generation in which its stack was claimed */
    uint16_t shape;   /* index + 1; 0: not looked at, UINT16_MAX: unreadable */
    uint16_t block_cap;
    bool fresh;       /* copied while it stood still */
    bool lua;         /* it stands for a Lua state, whose coroutines are shown instead */
    bool copied_away; /* `stack` holds bytes that the library had copied away */
};

/* What the stop makes of a record. */
enum gmr__record_class {
    GMR__RECORD_DEAD = 0,
    GMR__RECORD_SETTLED, /* unchanged, and its counter says so: the copy made ahead stands */
    GMR__RECORD_CHANGED, /* new, or another context */
    GMR__RECORD_UNSURE,  /* looks unchanged, but nothing counts */
    GMR__RECORD_CLASSES,
};

struct gmr__slab {
    uint64_t address;
    uint32_t count; /* records in use or once used */
    uint32_t class_count[GMR__RECORD_CLASSES];
    bool copied_ahead;                             /* all of it; else the time was up */
    struct gmr__record records[GMR__SLAB_RECORDS]; /* as read last */
    uint8_t class[GMR__SLAB_RECORDS];
    struct gmr__copied copied[GMR__SLAB_RECORDS];
};

struct gmr__root {
    uint64_t address;
    struct gmr__registry registry;
    struct gmr__slab **slabs;
    size_t slab_count, slab_cap;
    uint64_t left_out; /* records past the limit */
};

struct gmr__reader {
    struct gmr__root roots[GMR__READER_ROOTS];
    size_t root_count;
    struct gmr__shape shapes[GMR__READER_SHAPES];
    uint64_t shape_address[GMR__READER_SHAPES];
    size_t shape_count;
    uint64_t guard;
    bool has_guard;
    uint64_t records; /* live ones seen in the last reading */
    uint64_t unreadable_layouts, unreadable_slabs;
    bool stopped;   /* collect was called */
    bool apart;     /* the OS threads are stopped one at a time, each for the green threads bound to it */
    pid_t standing; /* the one, then; 0: all */
    pid_t homes[GMR__READER_HOMES];
    size_t home_count;
    struct gmr__record *scratch; /* a slab's records as they are read at the stop */
    unsigned char *reserve;      /* memory touched beforehand, for stacks that grew until the stop */
    size_t reserve_left;
    struct {
        uint64_t address;
        const char *text;
    } * strings; /* cache of strings by their address */
    size_t string_count, string_cap;
    struct gmr__read_list **lists; /* reader_lists.c */
    size_t list_count, list_cap;
    struct gmr__lua *lua; /* coroutines of the Lua states that the program told of */
    struct gmr__copy_batch *batch;
    struct gmr__flying *flying; /* reader_flight.c */
    size_t flying_count;
};

/* reader.c */
/* Is it for this stop? With all OS threads standing each is. */
static inline bool gmr__reader_stands(const struct gmr__reader *reader, const struct gmr__record *record)
{
    return !reader->standing || (pid_t)(record->home & GMR__RECORD_TID) == reader->standing;
}
/* Ahead: reads all. At the stop: reads again and says of each what became of it. */
int gmr__reader_records(struct gmr__green *green, struct gmr__reader *reader, bool ahead);
const struct gmr__shape *gmr__reader_shape(struct gmr__green *green, struct gmr__reader *reader,
                                           const struct gmr__record *record, struct gmr__copied *copied);
/* reader_copy.c: contexts, stacks, details of the records that `wanted` picks. */
void gmr__reader_copy_ahead(struct gmr__green *green, struct gmr__reader *reader);
/* False: there is no memory to copy to. */
bool gmr__reader_copy_late(struct gmr__green *green, struct gmr__reader *reader); /* what was not reached; runs again */
void gmr__reader_copy_stopped(struct gmr__green *green, struct gmr__reader *reader);
/* One thing that is like a record, as part of a batch; record NULL: what has gathered is copied now. */
void gmr__reader_copy_one(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__record *record,
                          struct gmr__copied *copied, const struct gmr__shape *shape);
/* The stack, from a saved stack pointer that does not stand in the slot. */
void gmr__reader_copy_saved(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__record *record,
                            struct gmr__copied *copied, uint64_t saved);
/* reader_flight.c: at the stop; first each that has no saved stack pointer, then the search for all of them. */
void gmr__reader_flies(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__record *record,
                       struct gmr__copied *copied, const struct gmr__shape *shape);
void gmr__reader_copy_flying(struct gmr__green *green, struct gmr__reader *reader);
/* reader_lists.c */
typedef int (*gmr__reader_each)(void *userdata, const struct gmr__shape *shape, const struct gmr__record *record,
                                const struct gmr__copied *copied, struct gmr__green_thread *thread);
void gmr__reader_find_lists(struct gmr__green *green, struct gmr__reader *reader);
void gmr__reader_copy_lists(struct gmr__green *green, struct gmr__reader *reader);
int gmr__reader_emit_lists(struct gmr__green *green, struct gmr__reader *reader, gmr__reader_each each, void *userdata);
void gmr__reader_free_lists(struct gmr__reader *reader);
/* Are all lists bound to an OS thread? Tells of each. */
bool gmr__reader_bound_lists(const struct gmr__reader *reader, bool (*home)(struct gmr__reader *reader, pid_t tid),
                             struct gmr__reader *told);
/* reader_language.c: frames that the program tells, or that a reader built in here finds. */
void gmr__reader_language(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__detail *detail,
                          struct gmr__green_thread *thread);
/* reader_unowned.c: contexts of whose end nobody tells. */
struct gmr__unowned_range;
struct gmr__unowned {
    struct gmr__unowned_range *ranges; /* stacks, sorted: those shown already, and the latest record of each other */
    size_t count, cap;
    uint64_t elsewhere; /* switched by other means */
};
static inline bool gmr__unowned(const struct gmr__shape *shape)
{
    return shape->layout.flags & GMR__LAYOUT_UNOWNED;
}
/* Once all other sources' threads of the stop, and all records that are told, are emitted. */
void gmr__unowned_begin(struct gmr__green *green, struct gmr__reader *reader, struct gmr__unowned *u);
/* Is it one, still? thread: filled, to be emitted. */
bool gmr__unowned_there(struct gmr__green *green, struct gmr__unowned *u, const struct gmr__shape *shape,
                        const struct gmr__record *record, const struct gmr__copied *copied,
                        const struct gmr__green_thread *thread);
void gmr__unowned_end(struct gmr__green *green, struct gmr__unowned *u);
/* Ahead: will it be shown, so that later sources leave its stack alone? */
bool gmr__unowned_claims(struct gmr__green *green, const struct gmr__record *record, const struct gmr__copied *copied);
/* reader_emit.c */
int gmr__reader_emit(struct gmr__green *green, struct gmr__reader *reader);
const char *gmr__reader_string(struct gmr__green *green, struct gmr__reader *reader, uint64_t address);

#endif
