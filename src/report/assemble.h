/*
 * report/assemble.h - one whole report (or one section of it) into a spool.
 *
 * Reporter thread; async-signal-safe.
 */
#ifndef GMR_REPORT_ASSEMBLE_H
#define GMR_REPORT_ASSEMBLE_H

#include "report/spool.h"

/* Where a report's big working memory lies: mapped once when the reporter starts, because in a sick process there may be none. */
struct gmr__workspace;
struct gmr__workspace *gmr__workspace_new(void);
void gmr__workspace_free(struct gmr__workspace *workspace);

/* A writer in the workspace, for a small answer. NULL if the view's writer does not fit. */
struct gmr_writer *gmr__workspace_writer(struct gmr__workspace *workspace, int view, int final_view,
                                         struct gmr__sink *sink);

struct gmr__wish {
    int view;               /* enum gmr_view; GMR__VIEW_WIRE: the target's own half only, for the control socket */
    int final_view;         /* for wire */
    const char *trigger;    /* a phrase: "signal 12 from pid 812 (uid 0)" */
    const char *only_title; /* NULL: everything */
    const char *only_names; /* for wire: a comma list of section names, NULL: all of the target's half */
    uint64_t deadline_ns;
    bool crash;                     /* only what is crash-safe runs; with a section on the crash */
    struct gmr__fallback *fallback; /* set by gmr__assemble */
    char id[40];                    /* out */
};

/* 0, -ENOENT (no section has that title), or the sink's error. */
int gmr__assemble(struct gmr__workspace *workspace, struct gmr__wish *wish, struct gmr__sink *sink);

/* slots_as.c: the target's half. mask of GMR__WANT_*; returns the number of sections written or the writer's error. */
struct gmr_writer;
int gmr__fill_slot(struct gmr_writer *writer, const char *name, const struct gmr__wish *wish);

/* UTC of a CLOCK_REALTIME time: "20260131235959" or, iso, "2026-01-31T23:59:59Z". */
#define GMR__TIME_TEXT 24
void gmr__utc_text(uint64_t realtime_ns, bool iso, char text[GMR__TIME_TEXT]);

#endif
