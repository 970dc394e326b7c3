/*
 * cli/options.h - the options that `gmr report` and `gmr core` share.
 *
 * The gmr command only.
 */
#ifndef GMR_CLI_OPTIONS_H
#define GMR_CLI_OPTIONS_H

#include <getopt.h>

#include "cli/walk.h"
#include "view/view.h"

struct gmr__report_options {
    struct gmr__walk_options walk;
    const char *output; /* NULL: standard output */
    enum gmr_view view;
};

enum {
    GMR__OPT_EACH_THREAD = 256,
    GMR__OPT_ALL_FRAMES,
    GMR__OPT_MAX_FRAMES,
    GMR__OPT_NO_LINES,
    GMR__OPT_NO_CACHE,
    GMR__OPT_DEBUGINFOD,
    GMR__OPT_OWN, /* a subcommand's own begin here */
};

#define GMR__SHARED_SHORT_OPTIONS "f:o:"
/* clang-format off */
#define GMR__SHARED_OPTIONS                                                                                            \
    {"format", required_argument, NULL, 'f'},                                                                          \
    {"output", required_argument, NULL, 'o'},                                                                          \
    {"each-thread", no_argument, NULL, GMR__OPT_EACH_THREAD},                                                          \
    {"all-frames", no_argument, NULL, GMR__OPT_ALL_FRAMES},                                                            \
    {"max-frames", required_argument, NULL, GMR__OPT_MAX_FRAMES},                                                      \
    {"no-lines", no_argument, NULL, GMR__OPT_NO_LINES},                                                                \
    {"no-cache", no_argument, NULL, GMR__OPT_NO_CACHE},                                                                \
    {"debuginfod", optional_argument, NULL, GMR__OPT_DEBUGINFOD}
/* clang-format on */

/* What getopt_long returned: 0 or an exit code; an option that is not shared is the usage error of `command`. */
int gmr__take_shared_option(const char *command, struct gmr__report_options *to, int option);
/* The value of --NAME, or a usage error. */
int gmr__take_number(const char *name, long low, long high, long *value);

#endif
