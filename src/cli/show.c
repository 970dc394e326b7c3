/*
 * cli/show.c - gmr show: a stored JSON report as text, XML or JSON.
 *
 * The gmr command only.
 */
#include <getopt.h>

#include "cli/cli.h"
#include "cli/stored.h"

/* Text leaves out those frames that are marked so. */
static void unmark_interpreters(json_t *root)
{
    json_t *stack, *frame;
    size_t i, j;
    json_array_foreach(json_object_get(root, "stacks"), i, stack)
    {
        json_array_foreach(json_object_get(stack, "frames"), j, frame) json_object_del(frame, "interpreter");
    }
}

int gmr__cmd_show(int argc, char **argv)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'},
        {"output", required_argument, NULL, 'o'},
        {"all-frames", no_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *output = NULL;
    bool all_frames = false;
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
        case 'a':
            all_frames = true;
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
    if (all_frames && view == GMR_VIEW_TEXT)
        unmark_interpreters(root);
    code = gmr__stored_write(root, view, output);
    json_decref(root);
    return code;
}
