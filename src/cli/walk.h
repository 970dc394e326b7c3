/*
 * cli/walk.h - the one walk over a report's sections that `gmr report` and the inspector share.
 *
 * The gmr command only.
 */
#ifndef GMR_CLI_WALK_H
#define GMR_CLI_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "section/green.h"
#include "section/section.h"
#include "view/writer.h"

#define GMR__DEFAULT_STACK_BYTES ((size_t)8 << 20)
#define GMR__DEFAULT_MAX_FRAMES 1000

/* Everything that options on the command line say about what is taken and how it is shown. */
struct gmr__walk_options {
    pid_t pid;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC */
    const char *sections; /* "threads,limits": those only; NULL: all. Borrowed */
    bool all_at_once;     /* stop every thread before copying the first */
    bool each_thread;     /* text: no grouping of identical stacks */
    bool all_frames;      /* text: an interpreter's own C functions, too */
    bool no_lines;        /* function names only */
    size_t max_stack_bytes;
    uint32_t max_frames;
    const char *debuginfod_urls; /* NULL: never asked */
    bool no_cache;
    bool
        leave_missing; /* where no thread could be captured: a slot "NAME: why" instead of a failed section, for libgmr's own way */
    pid_t crashed_tid;              /* the thread that waits in libgmr's handler of crash signals; 0: none */
    struct gmr__green_filter green; /* which green threads to show */
};

struct gmr__walk;

/* Captures the process at once: from here on it runs undisturbed. NULL: no memory. */
struct gmr__walk *gmr__walk_new(const struct gmr__walk_options *options);
void gmr__walk_free(struct gmr__walk *walk);
/* Keeps the symbols found for the next report; gmr__walk_free does so, too. */
void gmr__walk_save(struct gmr__walk *walk);

/* Is there at least one thread in it? */
bool gmr__walk_captured(const struct gmr__walk *walk);
/* "ptrace" and the like; "none" if nothing could be captured. Lives as long as the walk. */
const char *gmr__walk_method(const struct gmr__walk *walk);
void gmr__walk_cost(const struct gmr__walk *walk, uint64_t started_ns, struct gmr__cost *cost);

/* Writes an entry of the target's half ("package", "configuration", "own"). Sets *partial if it is not whole. Returns the writer's error or 0. */
typedef int (*gmr__walk_target_half)(void *userdata, struct gmr_writer *w, const char *name, bool *partial);

/* Writes the sections. *partial becomes true if one of them is not whole. Returns 0 or the writer's error. */
int gmr__walk_sections(struct gmr__walk *walk, struct gmr_writer *w, gmr__walk_target_half target_half, void *userdata,
                       bool *partial);

/* Are all names of a --sections list known? If not, *unknown names the first that isn't (within list), bytes its length. */
bool gmr__walk_sections_known(const char *list, const char **unknown, size_t *bytes);
bool gmr__walk_wants(const struct gmr__walk_options *options, const char *name);

/* Begins, runs and ends one section that reads /proc. */
int gmr__walk_proc_section(const struct gmr__walk_options *options, struct gmr_writer *w,
                           const struct gmr__proc_section *section, bool *partial);

#endif
