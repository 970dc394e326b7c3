/*
 * trigger/watch_as.c - the watched file: a report whenever its modification time moves.
 *
 * Reporter thread; async-signal-safe. inotify on the file's directory brings the news at once, a look every watch_interval_ms where inotify
 * is blind (NFS, a directory that comes later). The file may not exist, vanish, and come back: only a time other than the last one seen counts.
 */
#include <errno.h>
#include <sys/inotify.h>

#include "sys/buf.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

static int64_t modified(const char *path)
{
    struct stat st;
    if (GMR__SYS(SYS_newfstatat, AT_FDCWD, path, &st, 0, 0, 0) != 0)
        return 0;
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

static void watch_directory(void)
{
    char directory[4096];
    struct gmr__buf buf;
    const char *path = gmr__rt.settings->watch_file;
    size_t length = gmr__strlen(path);
    while (length > 1 && path[length - 1] != '/')
        length--;
    gmr__buf_init(&buf, directory, sizeof(directory));
    gmr__buf_bytes(&buf, path, length);
    gmr__rt.fds.watch = (int)GMR__SYS(SYS_inotify_init1, IN_CLOEXEC | IN_NONBLOCK, 0, 0, 0, 0, 0);
    if (gmr__rt.fds.watch >= 0)
        GMR__SYS(SYS_inotify_add_watch, gmr__rt.fds.watch, directory,
                 IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR, 0, 0, 0);
}

void gmr__watch_begin(struct gmr__watch *watch)
{
    watch_directory();
    watch->modified_ns = modified(gmr__rt.settings->watch_file);
    watch->next_ns = gmr__now_ns() + (uint64_t)gmr__rt.settings->watch_interval_ms * 1000000u;
}

bool gmr__watch_look(struct gmr__watch *watch, bool ready)
{
    char events[4096];
    if (ready)
        while (gmr__read(gmr__rt.fds.watch, events, sizeof(events)) > 0) {
        }
    watch->next_ns = gmr__now_ns() + (uint64_t)gmr__rt.settings->watch_interval_ms * 1000000u;
    int64_t now = modified(gmr__rt.settings->watch_file);
    if (now == 0 || now == watch->modified_ns)
        return false;
    watch->modified_ns = now;
    return true;
}
