/*
 * cli/pending.c - stands in for what other layers have yet to bring, so that the command links. Whoever brings the real one
 * takes its line out here: the weak one would keep the real one from being linked.
 *
 * The gmr command only.
 */
#include "cli/cli.h"

#define PENDING_COMMAND(name)                                                           \
    __attribute__((weak)) int gmr__cmd_##name(int argc, char **argv)                    \
    {                                                                                   \
        return gmr__fail(GMR__EXIT_FAILED, NULL, "gmr " #name " is not in this build"); \
    }
PENDING_COMMAND(symbolize)
