/*
 * section/note.h - small tools that the sections of gmr's own share. Both halves, async-signal-safe.
 */
#ifndef GMR_SECTION_NOTE_H
#define GMR_SECTION_NOTE_H

#include "section/section.h"
#include "sys/buf.h"

/* Makes the status at least `level`; the first reason stays. NULL: none. */
void gmr__section_note(struct gmr__section_status *status, enum gmr__status level, const char *reason,
                       const char *next_step);
/* "WHAT: permission denied" and the next step that helps against that error. */
void gmr__section_error(struct gmr__section_status *status, enum gmr__status level, const char *what, int error);
/* The section is partial for want of WHAT, unless there is no error or it only says that there is nothing to read: the process has ended, or
 * this kernel has no such file. */
void gmr__section_unread(struct gmr__section_status *status, const char *what, int error);
/* "COUNT WHAT" */
void gmr__section_count(struct gmr__section_status *status, enum gmr__status level, uint64_t count, const char *what);

/* -errno in words. */
const char *gmr__error_text(int error);

/* Is the time that the section has up? */
bool gmr__target_late(const struct gmr__target *target);

/* Bytes from outside as text: control characters and what is no UTF-8 become \xNN. */
void gmr__buf_text(struct gmr__buf *buf, const char *bytes, size_t count);
/* "12.3 MiB" */
void gmr__buf_size(struct gmr__buf *buf, uint64_t bytes);
/* Blanks up to the column, counted from the start of the buffer; at least one. */
void gmr__buf_column(struct gmr__buf *buf, size_t column);

#endif
