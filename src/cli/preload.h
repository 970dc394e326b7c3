/*
 * cli/preload.h - will the loader take our library into this program?
 *
 * The gmr command only.
 */
#ifndef GMR_CLI_PRELOAD_H
#define GMR_CLI_PRELOAD_H

#include <stddef.h>

/* Finds command as a shell would and checks that it can be preloaded. Returns GMR__EXIT_WHOLE and its path, or, after a
 * message, the exit code. */
int gmr__preload_check(const char *command, char *path, size_t cap);

/* The path of the library to preload: beside this binary, or where `make install` put it. The same results. */
int gmr__preload_library(char *path, size_t cap);

#endif
