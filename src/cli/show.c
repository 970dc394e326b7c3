/*
 * cli/show.c - gmr show: a stored JSON report as text, XML or JSON.
 *
 * The gmr command only.
 */
#include <getopt.h>

#include "cli/cli.h"
#include "cli/stored.h"

int gmr__cmd_show(int argc, char **argv)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'},
        {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *output = NULL;
    int view = GMR_VIEW_TEXT;
    optind = 0; /* GNU: start anew */
    for (int option; (option = getopt_long(argc, argv, "f:o:h", options, NULL)) != -1;) {
        switch (option) {
        case 'f':
            view = gmr__parse_view(optarg);
            if (!view)
                return gmr__fail(GMR__EXIT_USAGE, NULL, "--format takes text, json or xml, not '%s'", optarg);
            break;
        case 'o':
            output = optarg;
            break;
        case 'h':
            return gmr__command_help("show");
        default:
            return gmr__usage("show");
        }
    }
    if (argc - optind != 1)
        return gmr__usage("show");
    json_t *root;
    int code = gmr__stored_read(argv[optind], &root);
    if (code)
        return code;
    code = gmr__stored_write(root, view, output);
    json_decref(root);
    return code;
}
