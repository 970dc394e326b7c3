/*
 * section/analysis.h - a snapshot with everything that is needed to make sense of it, and the sections written from it.
 *
 * Inspector only. The same for a live process and a core file: capture fills a snapshot, gmr__analysis_new unwinds all threads, then the
 * sections are written in the report's order: threads, green threads, stacks (last, since the others number them).
 */
#ifndef GMR_SECTION_ANALYSIS_H
#define GMR_SECTION_ANALYSIS_H

#include "green/green.h"
#include "section/section.h"
#include "symbol/symbol.h"
#include "unwind/unwind.h"

/* Zero is the default everywhere. */
struct gmr__analysis_options {
    uint32_t max_frames;          /* of one stack; 4096 */
    bool each_thread;             /* text: every thread with its own stack, also where several are the same */
    bool no_source;               /* text: without the source lines */
    bool all_frames;              /* text: an interpreter's own C functions, too */
    struct gmr__modules *modules; /* already made from this snapshot (green threads need them early); taken over */
    struct gmr__symbolizer_options symbols;
    /* Frames of a language for an OS thread; NULL, or returning NULL: none. */
    const struct gmr__language_stack *(*language_of)(void *userdata, pid_t tid);
    void *language_userdata;
    pid_t crashed_tid; /* it waits in libgmr's handler of crash signals: shown first, and from the crash on; 0: none */
};

/* A stack as the report numbers it: native frames, a language's, or both. */
struct gmr__report_stack {
    const struct gmr__stack *native;            /* NULL: none */
    const struct gmr__language_stack *language; /* NULL: none */
};

struct gmr__stack_table;
struct gmr__early;
struct gmr__analysis {
    struct gmr__snapshot *snapshot;
    bool owner;                  /* of the snapshot: not before it is whole */
    const struct gmr__map *maps; /* those that modules were made from */
    struct gmr__modules *modules;
    struct gmr__unwinder *unwinder;
    struct gmr__symbolizer *symbolizer;
    struct gmr__analysis_options options;
    const struct gmr__stack **thread_stacks; /* by index of snapshot->threads; NULL: that thread has none */
    struct gmr__stack crashed;               /* the crashed thread's without the handler */
    struct gmr__stack_table *table;
    bool stacks_lost;         /* no memory to number one: it is not shown */
    struct gmr__early *early; /* threads unwound before the snapshot was whole */
    size_t early_count, early_cap, kept_bytes;
};

/* Takes the snapshot over (and options->modules), also on failure; options may be NULL. Unwinds every thread. NULL: no memory. */
struct gmr__analysis *gmr__analysis_new(struct gmr__snapshot *snapshot, const struct gmr__analysis_options *options);
/* The same in steps, for a snapshot that is yet to be filled and whose stacks are not all kept: begun when it has its map, which leaves it
 * the caller's; then threads whose copies will be gone (false: no memory, keep the copy); then, with the snapshot whole, the end,
 * which takes it over. NULL: no memory; after analysis_finish both are gone then. */
struct gmr__analysis *gmr__analysis_begin(struct gmr__snapshot *snapshot, const struct gmr__analysis_options *options);
bool gmr__analysis_take(struct gmr__analysis *analysis, const struct gmr__thread *thread);
struct gmr__analysis *gmr__analysis_finish(struct gmr__analysis *analysis);
void gmr__analysis_free(struct gmr__analysis *analysis);

/* stacks.c */
struct gmr__stack_table *gmr__stack_table_new(void);
void gmr__stack_table_free(struct gmr__stack_table *table);

/* The number of this stack in the report; the same for the same frames. Either may be NULL, not both. -1: no memory. */
int64_t gmr__analysis_stack(struct gmr__analysis *analysis, const struct gmr__stack *native,
                            const struct gmr__language_stack *language);
uint32_t gmr__analysis_stack_count(const struct gmr__analysis *analysis);
struct gmr__report_stack gmr__analysis_stack_at(const struct gmr__analysis *analysis, uint32_t index);

/* "threads": "Threads", list. "stacks": structured views only, list. Each writes the body of the section the caller has begun. */
void gmr__section_threads(struct gmr_writer *w, struct gmr__analysis *analysis, struct gmr__section_status *status);
void gmr__section_stacks(struct gmr_writer *w, struct gmr__analysis *analysis, struct gmr__section_status *status);

#endif
