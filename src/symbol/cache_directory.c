/*
 * symbol/cache_directory.c - where the symbol cache lies.
 *
 * Inspector only. In the report of a set-uid program or a daemon without a home there is no cache: the environment is the target's, and
 * root must not write where another user's variable points.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/cache.h"

static bool own_directory(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & (S_IWGRP | S_IWOTH));
}

const char *gmr__symbol_cache_directory(char *text, size_t cap)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (getauxval(AT_SECURE))
        return NULL;
    if (!cache || cache[0] != '/') {
        if (!home || home[0] != '/' || !own_directory(home) || snprintf(text, cap, "%s/.cache", home) >= (int)cap)
            return NULL;
        mkdir(text, 0700);
        if (!own_directory(text) || snprintf(text, cap, "%s/.cache/gmr", home) >= (int)cap)
            return NULL;
    } else if (!own_directory(cache) || snprintf(text, cap, "%s/gmr", cache) >= (int)cap) {
        return NULL;
    }
    mkdir(text, 0700);
    return own_directory(text) ? text : NULL;
}
