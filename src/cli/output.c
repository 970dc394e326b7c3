/*
 * cli/output.c - where a command's result goes: standard output, or a file that appears whole or not at all.
 *
 * The gmr command only. A report names what a process holds, hence mode 0600 for a new file; and a report that was there before
 * is not lost when the disk fills up half-way through the next one, hence a temporary file and a rename.
 */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

static const char *shown(const struct gmr__output *output)
{
    return output->path ? output->path : "standard output";
}

int gmr__output_failed(const struct gmr__output *output, int status)
{
    const char *next = NULL;
    if (status == -EPIPE)
        return GMR__EXIT_OUTPUT; /* `| head` has seen enough */
    if (status == -ENOSPC || status == -EDQUOT)
        next = "free some space, or name another file with -o";
    else if (status == -EBADF)
        next = "it is closed; name a file with -o";
    else if (status == -ENOMEM)
        return gmr__fail(GMR__EXIT_FAILED, NULL, "no memory for the report");
    return gmr__fail(GMR__EXIT_OUTPUT, next, "can't write to %s: %s", shown(output), strerror(-status));
}

static int open_file(struct gmr__output *output)
{
    struct stat st;
    if (stat(output->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        if (S_ISDIR(st.st_mode))
            return -EISDIR;
        output->fd = open(output->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return output->fd < 0 ? -errno : 0;
    }
    if ((size_t)snprintf(output->temporary, sizeof(output->temporary), "%s.%d.tmp", output->path, (int)getpid()) >=
        PATH_MAX)
        return -ENAMETOOLONG;
    output->fd = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (output->fd < 0) {
        output->temporary[0] = '\0';
        return -errno;
    }
    return 0;
}

int gmr__output_open(struct gmr__output *output, const char *path)
{
    memset(output, 0, sizeof(*output));
    output->path = path && strcmp(path, "-") != 0 ? path : NULL;
    output->fd = STDOUT_FILENO;
    if (!output->path)
        return GMR__EXIT_WHOLE;
    int status = open_file(output);
    if (status < 0)
        return gmr__fail(GMR__EXIT_OUTPUT, NULL, "can't create %s: %s", path, strerror(-status));
    return GMR__EXIT_WHOLE;
}

int gmr__output_close(struct gmr__output *output, bool keep)
{
    int status = 0;
    if (!output->path)
        return GMR__EXIT_WHOLE;
    /* NFS and quotas tell of a full disk only here. */
    if (close(output->fd) < 0 && keep)
        status = -errno;
    if (output->temporary[0]) {
        if (keep && status == 0 && rename(output->temporary, output->path) < 0)
            status = -errno;
        if (!keep || status < 0)
            unlink(output->temporary);
    }
    return status < 0 ? gmr__output_failed(output, status) : GMR__EXIT_WHOLE;
}
