/*
 * capture/core.h - a snapshot from a core file.
 *
 * Inspector only. The file is mapped and stays so until gmr__core_close: stacks are read from it in place.
 */
#ifndef GMR_CAPTURE_CORE_H
#define GMR_CAPTURE_CORE_H

#include "snapshot/snapshot.h"
#include "sys/mapped.h"

/* What a core file tells beside its threads. Zero or "" where it does not. */
struct gmr__core_info {
    pid_t pid, ppid;
    unsigned uid, gid;
    bool has_process; /* NT_PRPSINFO was there: pid ... command are known */
    char state;
    char name[17];
    char command[81];
    pid_t signal_tid; /* the thread that died */
    int signal, signal_code;
    bool has_address;
    uint64_t signal_address;
    uint64_t entry;   /* of the executable, as loaded */
    uint64_t random;  /* AT_RANDOM */
    size_t cut_bytes; /* missing at the end of the file */
};

struct gmr__core {
    struct gmr__core_info info;
    struct gmr__snapshot *snapshot;
    size_t thread_cap;          /* of the snapshot's list of threads */
    struct gmr__mapped file;    /* file.lost: truncated while it was read */
    const unsigned char *bytes; /* of the file */
    size_t size;
    struct gmr__core_segment *segments; /* sorted by address */
    size_t segment_count;
    /* What the core does not hold but a file of the program's does: set once the modules are known. 0 or -EFAULT. */
    int (*read_file)(void *userdata, uint64_t address, void *to, size_t bytes);
    void *read_file_data;
};

/*
 * executable: NULL, or the file to take the program's own code and symbols from instead of the one the core names.
 * message: why it failed, a sentence for people, when the result is negative.
 * Returns 0; -ENOENT, -EACCES, ...; -ENOEXEC not a core file of this architecture; -ENOMEM.
 */
int gmr__core_open(const char *path, const char *executable, struct gmr__core **core, char *message,
                   size_t message_cap);
void gmr__core_close(struct gmr__core *core);

#endif
