/*
 * section/findings.h - what to know of a process at first sight: the Findings section.
 *
 * Inspector only.
 */
#ifndef GMR_SECTION_FINDINGS_H
#define GMR_SECTION_FINDINGS_H

#include "green/green.h"
#include "section/analysis.h"
#include "sys/buf.h"

struct gmr__finding {
    const char *kind;
    char text[512]; /* a line; what comes from outside is escaped */
};

struct gmr__findings {
    struct gmr__finding items[12];
    size_t count;
};

/* From /proc: open files, memory, executable, tracer; stopped: it is known to have been when it was captured. */
void gmr__findings_process(struct gmr__findings *findings, const struct gmr__target *target, bool stopped);
/* Was every thread stopped by a signal? */
bool gmr__findings_stopped(const struct gmr__snapshot *snapshot);
/* What the threads do, where they are many (findings_threads.c). */
void gmr__findings_threads(struct gmr__findings *findings, const struct gmr__analysis *analysis);
/* Green threads close to the end of their stack; green may be NULL. */
void gmr__findings_green(struct gmr__findings *findings, const struct gmr__green *green);

/* A place for one more, its text in *text to be filled; past the last the last is taken again. */
void gmr__finding(struct gmr__findings *findings, const char *kind, struct gmr__buf *text);

/* The body of the section "findings" that the caller has begun. */
void gmr__section_findings(struct gmr_writer *w, const struct gmr__findings *findings);

#endif
