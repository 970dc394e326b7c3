/* tests/fuzz/commands.c - what cli/ needs of cli/main.c. */
#include "cli/cli.h"

int gmr__command_help(const char *command)
{
    return gmr__help_page(command) != NULL;
}
