/*
 * capture/core_internal.h - what core.c, core_notes.c and core_maps.c share. Inspector only.
 */
#ifndef GMR_CAPTURE_CORE_INTERNAL_H
#define GMR_CAPTURE_CORE_INTERNAL_H

#include <elf.h>

#include "capture/core.h"

#define GMR__CORE_MAX_SEGMENTS ((size_t)4 << 20)
#define GMR__CORE_MAX_THREADS ((size_t)1 << 20)

/* A PT_LOAD: `present` bytes of it are in the file. */
struct gmr__core_segment {
    uint64_t start, end;
    const unsigned char *bytes;
    uint64_t present;
    unsigned flags;
};

/* An entry of NT_FILE. */
struct gmr__core_file {
    uint64_t start, end, offset;
    const char *path; /* within the core */
};

struct gmr__core_notes {
    struct gmr__core_file *files; /* malloc'ed, sorted by start */
    size_t file_count;
    uint64_t vdso;
};

/* Threads, process, signal, auxiliary vector and files from a PT_NOTE segment. 0 or -ENOMEM; damaged notes end the walk. */
int gmr__core_read_notes(struct gmr__core *core, struct gmr__core_notes *notes, const unsigned char *bytes,
                         size_t count, size_t align);

/* The snapshot's map out of segments and files. executable as in gmr__core_open. 0 or -ENOMEM. */
int gmr__core_build_maps(struct gmr__core *core, const struct gmr__core_notes *notes, const char *executable);

#endif
