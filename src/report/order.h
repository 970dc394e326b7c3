/*
 * report/order.h - which sections a report has, in what order, and which half fills each.
 *
 * Both halves. The inspector walks this order; where a section belongs to the target's half (package, configuration, the
 * program's own) it emits a slot, which libgmr fills while it copies the stream, and which `gmr report PID` fills from the control socket.
 */
#ifndef GMR_REPORT_ORDER_H
#define GMR_REPORT_ORDER_H

enum gmr__half {
    GMR__HALF_PROC = 1,  /* from /proc: whichever half runs */
    GMR__HALF_INSPECTOR, /* needs the snapshot */
    GMR__HALF_TARGET,    /* needs the program */
    GMR__HALF_FINDINGS,  /* the inspector's, and only where it finds something */
};

struct gmr__order_entry {
    const char *name; /* JSON member, also what `--sections` takes */
    enum gmr__half half;
    const struct gmr__proc_section *proc; /* for GMR__HALF_PROC */
};

/* package, findings, threads, green_threads, stacks, processes, configuration, own, limits, environment, open_files, modules, resources,
 * cgroup, host; ends with a NULL name. */
extern const struct gmr__order_entry gmr__report_order[];

#endif
