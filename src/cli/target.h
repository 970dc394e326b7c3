/*
 * cli/target.h - the target's half of a report that `gmr report` makes: package, configuration, its own sections.
 *
 * The gmr command only.
 */
#ifndef GMR_CLI_TARGET_H
#define GMR_CLI_TARGET_H

#include "cli/walk.h"

struct gmr__target_half;

/* Says hello to the process's libgmr, if there is one. view: of the report. NULL: no memory. */
struct gmr__target_half *gmr__target_half_new(const struct gmr__walk_options *options, enum gmr_view view);
void gmr__target_half_free(struct gmr__target_half *half);

/* A gmr__walk_target_half: writes "package", "configuration" or "own", from the process or as far as it goes without. */
int gmr__target_half_write(void *half, struct gmr_writer *w, const char *name, bool *partial);

/* Fills in what the report says of itself; the texts live in the buffers given. */
void gmr__document(struct gmr__doc *doc, const struct gmr__walk_options *options, const struct gmr__target_half *half,
                   char *id, size_t id_cap, char *time_text, size_t time_cap, char *host, size_t host_cap);

#endif
