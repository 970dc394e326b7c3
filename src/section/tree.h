/*
 * section/tree.h - a process and its descendants, as a table. Both halves, async-signal-safe (memory from mmap).
 */
#ifndef GMR_SECTION_TREE_H
#define GMR_SECTION_TREE_H

#include "section/section.h"

#define GMR__NO_PROCESS UINT32_MAX

struct gmr__tree_process {
    pid_t pid, ppid;
    char state;
    bool seen;
    uint32_t threads;
    uint64_t start_ticks;
    uint32_t parent, first_child, next_sibling; /* indexes, GMR__NO_PROCESS: none */
};

struct gmr__tree {
    struct gmr__tree_process *processes; /* by pid */
    size_t count, cap;
    uint32_t root;
};

/* Reads PROC once. 0, or -errno: the process itself isn't there, or there is no memory. What else is missing is noted in the status. */
int gmr__tree_read(struct gmr__tree *tree, const struct gmr__target *target, struct gmr__section_status *status);
void gmr__tree_free(struct gmr__tree *tree);

/* The process after `index` from the top down, parents before children; depth is moved along. GMR__NO_PROCESS at the end. Children of
 * processes at max_depth are left out. */
uint32_t gmr__tree_next(const struct gmr__tree *tree, uint32_t index, unsigned *depth, unsigned max_depth);

#endif
