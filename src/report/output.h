/*
 * report/output.h - where a finished report goes: a file of its own in log_dir, else the process's standard error.
 *
 * Reporter thread; async-signal-safe.
 */
#ifndef GMR_REPORT_OUTPUT_H
#define GMR_REPORT_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#include "report/spool.h"

/* Writes the report where the settings say and tells the log. where: the file's path, "standard error", or why it is nowhere. 0 or -errno. */
int gmr__output(struct gmr__spool *spool, uint64_t deadline_ns, char *where, size_t where_cap);

/* stream_as.c: writes all of it without ever blocking past the deadline, whatever kind of file fd is. A lock keeps reports of several
 * processes on one output apart. */
int gmr__write_spool(int fd, struct gmr__spool *spool, uint64_t deadline_ns, bool lock);
int gmr__write_text(int fd, const char *text, size_t count, uint64_t deadline_ns);

/* The program's descriptor `fd` as it is now, in the reporter's table. -errno. Close with gmr__close_fetched(). */
int gmr__fetch_fd(int fd);
void gmr__close_fetched(int fetched);
/* The program's standard error, if what is there still can be one. */
int gmr__fetch_stderr(void);

/* retention_as.c: removes the oldest reports of this service until the limits hold. keep: never this name. */
void gmr__retain(int directory, const char *prefix, const char *keep, unsigned max_files, uint64_t max_bytes);

#endif
