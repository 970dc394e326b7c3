/*
 * tests/outside/green_source.c - runs one source of green threads over a process and prints what it found.
 *
 * Tests only: `green_source PID NAME [LIE_EVERY SEED]`. For the tests of programs that know nothing of gmr, whose expectations are
 * written in Python. Exits 0 if the source found its kind of green thread, 1 if not, 2 on bad use.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/sources.h"
#include "green_stand.h"

static const struct gmr__green_source *const sources[] = {
    &gmr__green_source_python,    &gmr__green_source_go,   &gmr__green_source_pth,
    &gmr__green_source_tarantool, &gmr__green_source_qemu, &gmr__green_source_lua,
    &gmr__green_source_php,       &gmr__green_source_scan, NULL,
};

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const struct gmr__green_source *source = NULL;
    for (size_t i = 0; sources[i]; i++)
        if (strcmp(sources[i]->name, argv[2]) == 0)
            source = sources[i];
    if (!source)
        return 2;
    struct stand *stand = stand_new(atoi(argv[1]));
    if (argc > 4)
        stand_lie(stand, (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    int found = stand_run(stand, source);
    stand_print(stand);
    stand_free(stand);
    return found == 1 ? 0 : 1;
}
