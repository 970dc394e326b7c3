/*
 * trigger/preload.c - what makes libgmr-preload.so of libgmr: it sets itself up when the loader brings it into a program.
 *
 * The main thread of an unmodified program, before its main(); uses libc. Put there by `gmr run` with LD_PRELOAD; options come from GMR_*
 * variables. The program's own children don't get it, unless GMR_FOLLOW says so. Must never end the program, whatever fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/runtime.h"

#define LIBRARY "libgmr-preload.so"

static bool names_us(const char *path, size_t length)
{
    const size_t own = sizeof(LIBRARY) - 1;
    return length >= own && memcmp(path + length - own, LIBRARY, own) == 0 &&
           (length == own || path[length - own - 1] == '/');
}

/* What else is in LD_PRELOAD stays there, in its order. */
static void leave_environment(void)
{
    const char *value = getenv("LD_PRELOAD");
    char *rest = value ? malloc(strlen(value) + 1) : NULL;
    if (!rest)
        return;
    size_t used = 0;
    for (const char *at = value; *at;) {
        size_t length = strcspn(at, ": ");
        if (length && !names_us(at, length)) {
            if (used)
                rest[used++] = ':';
            memcpy(rest + used, at, length);
            used += length;
        }
        at += length;
        at += strspn(at, ": ");
    }
    rest[used] = '\0';
    if (used)
        setenv("LD_PRELOAD", rest, 1);
    else
        unsetenv("LD_PRELOAD");
    free(rest);
}

static bool follows(void)
{
    const char *value = getenv("GMR_FOLLOW");
    return value && gmr__switch_on(value);
}

__attribute__((constructor)) static void set_up(void)
{
    int saved = errno;
    if (!follows())
        leave_environment();
    gmr_setup_autorun(NULL);
    const char *message = gmr_setup_message();
    if (message[0])
        dprintf(STDERR_FILENO, "gmr: %s\n", message);
    errno = saved;
}
