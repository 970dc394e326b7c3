/*
 * cli/output.h - where a command's result goes: standard output, or a file that appears whole or not at all.
 *
 * The gmr command only.
 */
#ifndef GMR_CLI_OUTPUT_H
#define GMR_CLI_OUTPUT_H

#include <limits.h>
#include <stdbool.h>

struct gmr__output {
    int fd;
    const char *path;              /* as the user named it; NULL: standard output. Borrowed */
    char temporary[PATH_MAX + 32]; /* "": written in place (a pipe, a terminal, /dev/null) */
};

/* path NULL or "-": standard output. Returns GMR__EXIT_WHOLE or, after a message, the exit code. */
int gmr__output_open(struct gmr__output *output, const char *path);
/* Says that writing failed with -errno. Returns the exit code. */
int gmr__output_failed(const struct gmr__output *output, int status);
/* keep: the file takes its name; else it is removed. Returns GMR__EXIT_WHOLE or, after a message, the exit code. */
int gmr__output_close(struct gmr__output *output, bool keep);

#endif
