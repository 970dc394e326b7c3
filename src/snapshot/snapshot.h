/*
 * snapshot/snapshot.h - what was copied from a process: plain data.
 *
 * Inspector only (uses malloc). Made by the capture layer (ptrace, core file, signal slots), read by unwind, symbol and section.
 * Nothing here talks to the target.
 */
#ifndef GMR_SNAPSHOT_SNAPSHOT_H
#define GMR_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/arch.h"

/* A mapping, as /proc/PID/maps or a core's NT_FILE tells it. Sorted by start, none overlap. */
struct gmr__map {
    uint64_t start, end, offset, inode;
    uint32_t dev_major, dev_minor;
    bool read, write, exec, shared;
    bool deleted;     /* " (deleted)" stood behind the path; it is cut off here */
    const char *path; /* "" if anonymous; "[vdso]", "[stack]" ... as the kernel names them */
};

/* Bytes copied from the target. Segments of one owner don't overlap. */
struct gmr__segment {
    uint64_t address;
    uint32_t bytes;
    const unsigned char *data;
};

enum gmr__thread_quality {
    GMR__THREAD_WHOLE = 0,
    GMR__THREAD_NO_STACK,  /* state only; `reason` tells why (not permitted, did not stop, gone ...) */
    GMR__THREAD_TRUNCATED, /* the stack was longer than the limit */
};

struct gmr__thread {
    pid_t tid;
    char name[16];
    char state; /* R S D T t Z X I as in /proc/PID/stat before it was touched */
    char wchan[48];
    enum gmr__thread_quality quality;
    const char *reason; /* static or snapshot-owned */
    bool ended;         /* NO_STACK because it was gone before it could be copied: nothing is missing */
    struct gmr__regs regs;
    int64_t syscall;           /* number of the call it was in, -1 if none or unknown */
    struct gmr__segment stack; /* from sp - red zone upwards */
    uint64_t stack_limit;      /* end of the mapping that sp is in, 0 if unknown */
    uint64_t pause_ns;
    uint64_t utime_ticks, stime_ticks;
    int processor;
};

struct gmr__snapshot {
    pid_t pid;
    const char *method; /* "ptrace", "signal", "core" */
    const char *exe;    /* path as the target sees it */
    uint64_t entry;     /* where the program begins (AT_ENTRY), 0 unknown */
    uint64_t random;    /* where the kernel put 16 random bytes (AT_RANDOM); cores only, 0 unknown */
    const char *root;   /* "/proc/PID/root" or "" : prefix under which the target's files are found */
    struct gmr__map *maps;
    size_t map_count;
    struct gmr__thread *threads; /* sorted by tid, the leader first */
    size_t thread_count;
    struct gmr__segment *extra; /* vdso, green threads' stacks, ...; sorted by address */
    size_t extra_count;
    uint64_t copied_bytes;
    uint64_t pause_max_ns, pause_median_ns;
    const char *problem; /* why it isn't whole, a sentence with the next step; NULL if it is */
    int (*read_live)(const struct gmr__snapshot *, uint64_t address, void *to, size_t bytes); /* read-only text and
                                    data not in the snapshot: process_vm_readv, the core file; NULL: none. Short: -EFAULT */
    int (*read_code)(const struct gmr__snapshot *, uint64_t address, void *to,
                     size_t bytes); /* the same where code may be
                                    written as well, by a compiler at run time: it may have changed. NULL: read_live */
    void *read_live_data;
    void *arena; /* owner of everything above; gmr__snapshot_free releases it */
};

struct gmr__snapshot *gmr__snapshot_new(pid_t pid);
void gmr__snapshot_free(struct gmr__snapshot *snapshot);
void *gmr__snapshot_alloc(struct gmr__snapshot *snapshot, size_t bytes); /* zeroed, lives as long; NULL: no memory */
const char *gmr__snapshot_strdup(struct gmr__snapshot *snapshot, const char *text);

/* The mapping that holds address, NULL if none. O(log n). */
const struct gmr__map *gmr__snapshot_map(const struct gmr__snapshot *snapshot, uint64_t address);

/* Reads bytes as they were: first `stack` (may be NULL), then the extra segments, then read_live. 0 or -EFAULT. */
int gmr__snapshot_read(const struct gmr__snapshot *snapshot, const struct gmr__segment *stack, uint64_t address,
                       void *to, size_t bytes);
/* Machine code, for guesses: made at run time, it may not be what it was. */
int gmr__snapshot_read_code(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes);

#endif
