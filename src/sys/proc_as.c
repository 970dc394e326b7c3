/*
 * sys/proc_as.c - files and directories of /proc: paths, bounded reads, lines, entries by number.
 *
 * Both halves, any context: async-signal-safe, the caller's memory only. Callers: the sections, capture, cli. Trusts nothing it
 * reads; never opens with anything that could block on a FIFO or make a terminal ours. Parsing of single files is in proc_parse_as.c.
 */
#include "sys/proc.h"

#include <errno.h>
#include <limits.h>

#include "sys/buf.h"
#include "sys/pin.h"
#include "sys/sys.h"

/* As the kernel writes it for getdents64; glibc's struct dirent64 is the same but says char d_name[256]. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

const char *gmr__proc_path(char *to, size_t cap, const char *proc, pid_t pid, pid_t tid, const char *name)
{
    struct gmr__buf path;
    const char *pinned = gmr__pinned_path(proc, pid);
    gmr__buf_init(&path, to, cap);
    gmr__buf_str(&path, pinned ? pinned : proc);
    if (pid > 0 && !pinned) {
        gmr__buf_char(&path, '/');
        gmr__buf_uint(&path, (uint64_t)pid);
    }
    if (pid > 0 && tid > 0) {
        gmr__buf_str(&path, "/task/");
        gmr__buf_uint(&path, (uint64_t)tid);
    }
    if (name) {
        gmr__buf_char(&path, '/');
        gmr__buf_str(&path, name);
    }
    if (path.overflow)
        to[0] = '\0';
    return to;
}

ssize_t gmr__proc_read(const char *proc, pid_t pid, pid_t tid, const char *name, char *to, size_t cap)
{
    char path[GMR__PROC_PATH_MAX];
    return gmr__read_file(gmr__proc_path(path, sizeof(path), proc, pid, tid, name), to, cap);
}

ssize_t gmr__proc_readlink(const char *proc, pid_t pid, pid_t tid, const char *name, char *to, size_t cap)
{
    char path[GMR__PROC_PATH_MAX];
    if (cap == 0)
        return -EINVAL;
    gmr__proc_path(path, sizeof(path), proc, pid, tid, name);
    ssize_t n = GMR__SYS(SYS_readlinkat, AT_FDCWD, path, to, cap - 1, 0, 0);
    to[n > 0 ? n : 0] = '\0';
    return n;
}

/* ------------------------------------------------------------------------------------------------ lines */

int gmr__lines_open(struct gmr__lines *lines, const char *path)
{
    lines->fd = gmr__open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    lines->error = lines->fd < 0 ? lines->fd : 0;
    lines->cut = lines->skip = lines->eof = false;
    lines->at = lines->used = 0;
    return lines->error;
}

int gmr__proc_lines_open(struct gmr__lines *lines, const char *proc, pid_t pid, pid_t tid, const char *name)
{
    char path[GMR__PROC_PATH_MAX];
    return gmr__lines_open(lines, gmr__proc_path(path, sizeof(path), proc, pid, tid, name));
}

/* Moves what is left to the front and reads behind it. False: nothing more came. */
static bool refill(struct gmr__lines *lines)
{
    size_t left = lines->used - lines->at;
    for (size_t i = 0; lines->at && i < left; i++)
        lines->text[i] = lines->text[lines->at + i];
    lines->at = 0;
    lines->used = left;
    ssize_t n;
    do {
        n = gmr__read(lines->fd, lines->text + left, sizeof(lines->text) - 1 - left);
    } while (n == -EINTR);
    if (n <= 0) {
        lines->error = (int)n;
        lines->eof = true;
        return false;
    }
    for (size_t i = left; i < left + (size_t)n; i++) {
        if (lines->text[i] == '\0')
            lines->text[i] = '?';
    }
    lines->used = left + (size_t)n;
    return true;
}

static size_t find_newline(const struct gmr__lines *lines, size_t from)
{
    while (from < lines->used && lines->text[from] != '\n')
        from++;
    return from;
}

static char *take(struct gmr__lines *lines, size_t end, size_t next, size_t *length)
{
    char *line = lines->text + lines->at;
    line[end - lines->at] = '\0';
    if (length)
        *length = end - lines->at;
    lines->at = next;
    return line;
}

char *gmr__lines_next(struct gmr__lines *lines, size_t *length)
{
    size_t searched = lines->at;
    if (lines->fd < 0)
        return NULL;
    for (;;) {
        size_t end = find_newline(lines, searched);
        if (end < lines->used) {
            if (lines->skip) {
                lines->skip = false;
                searched = lines->at = end + 1;
                continue;
            }
            lines->cut = false;
            return take(lines, end, end + 1, length);
        }
        if (lines->skip) {
            lines->at = lines->used;
        } else if (lines->used - lines->at == sizeof(lines->text) - 1) {
            lines->cut = lines->skip = true;
            return take(lines, lines->used, lines->used, length);
        }
        size_t known = lines->used - lines->at;
        if (lines->eof || !refill(lines)) {
            if (lines->at == lines->used)
                return NULL;
            lines->cut = false;
            return take(lines, lines->used, lines->used, length);
        }
        searched = known;
    }
}

void gmr__lines_close(struct gmr__lines *lines)
{
    if (lines->fd >= 0)
        gmr__close(lines->fd);
    lines->fd = -1;
}

/* ------------------------------------------------------------------------------------------------ directories */

int gmr__dir_open(struct gmr__dir *dir, const char *path)
{
    dir->at = dir->used = 0;
    dir->fd = gmr__open(path, O_RDONLY | O_DIRECTORY);
    dir->error = dir->fd < 0 ? dir->fd : 0;
    return dir->error;
}

int gmr__proc_tasks_open(struct gmr__dir *dir, const char *proc, pid_t pid)
{
    char path[GMR__PROC_PATH_MAX];
    return gmr__dir_open(dir, gmr__proc_path(path, sizeof(path), proc, pid, 0, "task"));
}

ssize_t gmr__proc_task_read(const struct gmr__dir *tasks, pid_t tid, const char *name, char *to, size_t cap)
{
    char path[GMR__PROC_PATH_MAX];
    ssize_t n;
    struct gmr__buf text;
    if (cap == 0)
        return -EINVAL;
    to[0] = '\0';
    gmr__buf_init(&text, path, sizeof(path));
    gmr__buf_uint(&text, (uint64_t)tid);
    gmr__buf_char(&text, '/');
    gmr__buf_str(&text, name);
    int fd = gmr__openat(tasks->fd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    do {
        n = gmr__read(fd, to, cap - 1);
    } while (n == -EINTR);
    gmr__close(fd);
    to[n > 0 ? n : 0] = '\0';
    return n;
}

int gmr__proc_fds_open(struct gmr__dir *dir, const char *proc, pid_t pid)
{
    char path[GMR__PROC_PATH_MAX];
    return gmr__dir_open(dir, gmr__proc_path(path, sizeof(path), proc, pid, 0, "fd"));
}

int gmr__proc_pids_open(struct gmr__dir *dir, const char *proc)
{
    return gmr__dir_open(dir, proc);
}

static bool entry_number(const struct entry *entry, int *number)
{
    const char *text = entry->name;
    uint64_t value;
    if (!gmr__parse_uint(&text, &value) || *text || value > INT_MAX)
        return false;
    *number = (int)value;
    return true;
}

bool gmr__dir_next(struct gmr__dir *dir, int *number)
{
    if (dir->fd < 0)
        return false;
    for (;;) {
        if (dir->at >= dir->used) {
            long n = GMR__SYS(SYS_getdents64, dir->fd, dir->buffer, sizeof(dir->buffer), 0, 0, 0);
            if (n == -EINTR)
                continue;
            if (n <= 0) {
                dir->error = (int)n;
                return false;
            }
            dir->at = 0;
            dir->used = (size_t)n;
        }
        const struct entry *entry = (const struct entry *)(dir->buffer + dir->at);
        /* FUSE file systems make up their own records: an entry of no length must not hold us for ever. */
        dir->at += entry->bytes ? entry->bytes : sizeof(dir->buffer);
        if (entry_number(entry, number))
            return true;
    }
}

void gmr__dir_close(struct gmr__dir *dir)
{
    if (dir->fd >= 0)
        gmr__close(dir->fd);
    dir->fd = -1;
}
