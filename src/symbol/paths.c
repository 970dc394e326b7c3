/*
 * symbol/paths.c - opens files as the target sees them, without being led astray.
 *
 * Inspector only. A path from the target may name a FIFO, a device, or a link out of its root: the open never blocks, only regular
 * files are accepted, and inside another root links are resolved within it (openat2, Linux 5.6; before that they are not followed).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/internal.h"
#include "sys/sys.h"

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int regular(int fd)
{
    struct stat st;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -ENOENT;
    }
    return fd;
}

int gmr__open_here(const char *path)
{
    /* Looked at first, since opening alone may do something to a device. */
    struct stat st;
    if (stat(path, &st) < 0)
        return -ENOENT;
    if (!S_ISREG(st.st_mode))
        return -ENOENT;
    return regular(gmr__open(path, OPEN_FLAGS));
}

static int root_of(struct gmr__modules *modules)
{
    if (modules->root == -2) {
        const char *root = modules->snapshot->root;
        modules->root = root && root[0] ? gmr__open(root, O_PATH | O_DIRECTORY) : -1;
        if (modules->root < 0)
            modules->root = -1;
    }
    return modules->root;
}

static int open_beneath(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int at = (int)GMR__SYS(SYS_openat2, root, path, &how, sizeof(how), 0, 0);
    if (at == -ENOSYS || at == -EPERM) {
        while (*path == '/')
            path++;
        return regular(gmr__openat(root, path, OPEN_FLAGS | O_NOFOLLOW, 0));
    }
    if (at < 0)
        return at;
    struct stat st;
    int fd = -ENOENT;
    if (fstat(at, &st) == 0 && S_ISREG(st.st_mode)) {
        how.flags = OPEN_FLAGS;
        fd = (int)GMR__SYS(SYS_openat2, root, path, &how, sizeof(how), 0, 0);
    }
    close(at);
    return regular(fd);
}

int gmr__open_in_root(struct gmr__modules *modules, const char *path)
{
    int root = root_of(modules);
    int fd = root >= 0 ? open_beneath(root, path) : -ENOENT;
    return fd >= 0 ? fd : gmr__open_here(path);
}

static bool look(const char *directory, const char *name, struct stat *st)
{
    char path[PATH_MAX];
    int length = name[0] == '/' || !directory ? snprintf(path, sizeof(path), "%s", name)
                                              : snprintf(path, sizeof(path), "%s/%s", directory, name);
    return length < (int)sizeof(path) && stat(path, st) == 0;
}

bool gmr__is_regular(const char *directory, const char *name)
{
    struct stat st;
    return look(directory, name, &st) && S_ISREG(st.st_mode);
}

bool gmr__is_there(const char *directory, const char *name)
{
    struct stat st;
    return look(directory, name, &st);
}
