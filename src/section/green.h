/*
 * section/green.h - the Green Threads section.
 *
 * Inspector only. Text: identical stacks once, with how many have them, their ids and waits; spares of pools behind a count. JSON and XML:
 * every green thread on its own, its stack by number.
 */
#ifndef GMR_SECTION_GREEN_H
#define GMR_SECTION_GREEN_H

#include "green/green.h"
#include "section/analysis.h"

#define GMR__GREEN_FILTER_TEXT 128

/* Which green threads to show. Zero: all but the idle in text, all in JSON and XML. */
struct gmr__green_filter {
    uint32_t states;                   /* mask of 1 << enum gmr__green_state; 0: any */
    char name[GMR__GREEN_FILTER_TEXT]; /* a pattern as in the shell; "" any */
    char kind[GMR__GREEN_FILTER_TEXT];
    char wait[GMR__GREEN_FILTER_TEXT];
    char function[GMR__GREEN_FILTER_TEXT]; /* a pattern that the function of some frame matches */
    uint64_t older_ns;                     /* in its state for at least this long */
    uint64_t id_low, id_high;              /* 0, 0: any */
    uint64_t top;                          /* text: only so many groups; 0: all */
    bool each;                             /* text: one by one, identical stacks too */
    bool idle;                             /* text: the idle, too */
};

/*
 * Reads a filter: terms with commas between them: state=running+waiting, name=PATTERN, kind=PATTERN, wait=PATTERN, function=PATTERN,
 * age=10s (at least; ms, s, m, h), id=5-99, top=20, each, idle. False: `problem` says what is wrong with which term.
 */
bool gmr__green_filter_parse(const char *text, struct gmr__green_filter *filter, char *problem, size_t problem_bytes);

/* The body of the section "green_threads" that the caller has begun. green may be NULL (none were looked for); filter may be NULL. */
void gmr__section_green(struct gmr_writer *w, struct gmr__analysis *analysis, const struct gmr__green *green,
                        const struct gmr__green_filter *filter, struct gmr__section_status *status);

#endif
