/*
 * cli/options.c - the options that `gmr report` and `gmr core` share.
 *
 * The gmr command only.
 */
#include "cli/options.h"

#include <stdlib.h>

#include "cli/cli.h"

int gmr__take_number(const char *name, long low, long high, long *value)
{
    if (gmr__parse_number(optarg, low, high, value))
        return 0;
    return gmr__fail(GMR__EXIT_USAGE, NULL, "--%s takes a number from %ld to %ld, not '%s'", name, low, high, optarg);
}

int gmr__take_shared_option(const char *command, struct gmr__report_options *to, int option)
{
    long value = 0;
    int status = 0;
    switch (option) {
    case 'f':
        to->view = (enum gmr_view)gmr__parse_view(optarg);
        return to->view ? 0 : gmr__fail(GMR__EXIT_USAGE, NULL, "--format takes text, json or xml, not '%s'", optarg);
    case 'o':
        to->output = optarg;
        return 0;
    case GMR__OPT_EACH_THREAD:
        to->walk.each_thread = true;
        return 0;
    case GMR__OPT_ALL_FRAMES:
        to->walk.all_frames = true;
        return 0;
    case GMR__OPT_NO_LINES:
        to->walk.no_lines = true;
        return 0;
    case GMR__OPT_NO_CACHE:
        to->walk.no_cache = true;
        return 0;
    case GMR__OPT_MAX_FRAMES:
        status = gmr__take_number("max-frames", 1, 10000000, &value);
        to->walk.max_frames = (uint32_t)value;
        return status;
    case GMR__OPT_DEBUGINFOD:
        to->walk.debuginfod_urls = optarg ? optarg : getenv("DEBUGINFOD_URLS");
        if (to->walk.debuginfod_urls && *to->walk.debuginfod_urls)
            return 0;
        return gmr__fail(GMR__EXIT_USAGE, "--debuginfod=URL, or set DEBUGINFOD_URLS", "no debuginfod server is named");
    default:
        return gmr__usage(command);
    }
}
