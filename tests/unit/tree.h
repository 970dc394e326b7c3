/*
 * tests/unit/tree.h - a directory tree of a test's own, in place of /proc.
 *
 * Header-only, for unit tests: tree_make, tree_put..., tree_remove.
 */
#ifndef TESTS_TREE_H
#define TESTS_TREE_H

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree_root[64];

static inline void tree_make(void)
{
    strcpy(tree_root, "/tmp/gmr-tree-XXXXXX");
    if (!mkdtemp(tree_root))
        abort();
}

static inline int tree_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void tree_remove(void)
{
    nftw(tree_root, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes the directories above ROOT/path, too. */
static inline void tree_path(char *full, size_t cap, const char *path)
{
    snprintf(full, cap, "%s/%s", tree_root, path);
    for (char *slash = full + strlen(tree_root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
}

static inline void tree_put_bytes(const char *path, const void *bytes, size_t count)
{
    char full[512];
    tree_path(full, sizeof(full), path);
    FILE *f = fopen(full, "w");
    if (!f || fwrite(bytes, 1, count, f) != count || fclose(f))
        abort();
}

static inline void tree_put(const char *path, const char *text)
{
    tree_put_bytes(path, text, strlen(text));
}

static inline void tree_link(const char *path, const char *target)
{
    char full[512];
    tree_path(full, sizeof(full), path);
    if (symlink(target, full))
        abort();
}

static inline void tree_directory(const char *path)
{
    char full[512];
    tree_path(full, sizeof(full), path);
    mkdir(full, 0700);
}

#endif
