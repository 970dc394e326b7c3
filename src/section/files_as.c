/*
 * section/files_as.c - the Open Files section: how many descriptors, of what kind, against what limit; then the first of them one by one.
 *
 * Both halves, any context: async-signal-safe, memory for the sockets from mmap. Called through gmr__report_order. Only links are read: a stat of a file on
 * a dead NFS server would hang. A process may have a million descriptors and open and close more meanwhile: all are counted, the
 * lowest are listed.
 */
#include <errno.h>

#include "section/note.h"
#include "section/sockets.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define MAX_LISTED 512
#define MAX_SOCKETS 4096 /* looked up in the tables */
#define LINK_BYTES 1024

enum kind {
    FILE_,
    DIRECTORY,
    DEVICE,
    PIPE,
    SOCKET,
    MEMFD,
    EVENTFD,
    EVENTPOLL,
    TIMERFD,
    SIGNALFD,
    INOTIFY,
    IO_URING,
    PIDFD,
    ANON,
    NAMESPACE,
    UNKNOWN,
    KINDS
};

static const char *const kind_names[KINDS] = {"file",    "directory",  "device",    "pipe",     "socket",  "memfd",
                                              "eventfd", "eventpoll",  "timerfd",   "signalfd", "inotify", "io_uring",
                                              "pidfd",   "anon_inode", "namespace", "unknown"};

struct file {
    int fd;
    enum kind kind;
    uint64_t inode;
    char link[LINK_BYTES];
};

struct files {
    const struct gmr__target *target;
    struct gmr__section_status *status;
    uint64_t count, by_kind[KINDS];
    struct gmr__socket *sockets;
    size_t socket_count;
};

static enum kind anonymous_kind(const char *name)
{
    static const struct {
        const char *name;
        enum kind kind;
    } known[] = {
        {"[eventfd", EVENTFD}, {"[eventpoll", EVENTPOLL}, {"[timerfd", TIMERFD}, {"[signalfd", SIGNALFD},
        {"inotify", INOTIFY},  {"[io_uring", IO_URING},   {"[pidfd", PIDFD},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (gmr__starts_with(name, known[i].name))
            return known[i].kind;
    }
    return ANON;
}

static enum kind kind_of(const char *link)
{
    if (gmr__starts_with(link, "socket:["))
        return SOCKET;
    if (gmr__starts_with(link, "pipe:["))
        return PIPE;
    if (gmr__starts_with(link, "anon_inode:"))
        return anonymous_kind(link + 11);
    if (gmr__starts_with(link, "/memfd:"))
        return MEMFD;
    if (gmr__starts_with(link, "/dev/") && !gmr__starts_with(link, "/dev/shm/"))
        return DEVICE;
    if (gmr__starts_with(link, "pidfd:") || gmr__starts_with(link, "[pidfd"))
        return PIDFD;
    if (link[0] == '/')
        return FILE_;
    return gmr__starts_with(link, "net:[") || gmr__starts_with(link, "mnt:[") || gmr__starts_with(link, "pid:[")
               ? NAMESPACE
               : UNKNOWN;
}

static void descriptor_name(char *to, size_t cap, const char *directory, int fd)
{
    struct gmr__buf name;
    gmr__buf_init(&name, to, cap);
    gmr__buf_str(&name, directory);
    gmr__buf_uint(&name, (uint64_t)fd);
}

/* fdinfo says "flags:\t0100000" in octal; a directory that was opened as one has O_DIRECTORY. */
static bool is_directory(const struct files *files, int fd)
{
    char name[32], text[256];
    descriptor_name(name, sizeof(name), "fdinfo/", fd);
    ssize_t n = gmr__proc_read(files->target->proc, files->target->pid, 0, name, text, sizeof(text));
    gmr__section_unread(files->status, "whether a descriptor is of a directory", (int)n);
    if (n <= 0)
        return false;
    for (const char *at = text; *at; at++) {
        if (!gmr__starts_with(at, "flags:\t"))
            continue;
        unsigned long flags = 0;
        for (at += 7; *at >= '0' && *at <= '7'; at++)
            flags = flags << 3 | (unsigned long)(*at - '0');
        return (flags & O_DIRECTORY) != 0;
    }
    return false;
}

static bool look_at(const struct files *files, int fd, struct file *file, bool closely)
{
    char name[32];
    file->fd = fd;
    file->inode = 0;
    descriptor_name(name, sizeof(name), "fd/", fd);
    ssize_t n = gmr__proc_readlink(files->target->proc, files->target->pid, 0, name, file->link, sizeof(file->link));
    gmr__section_unread(files->status, "a descriptor", (int)n);
    if (n < 0)
        return false; /* else closed meanwhile */
    file->kind = kind_of(file->link);
    if (file->kind == SOCKET) {
        const char *at = file->link + 8;
        gmr__parse_uint(&at, &file->inode);
    }
    if (closely && file->kind == FILE_ && is_directory(files, fd))
        file->kind = DIRECTORY;
    return true;
}

/* ------------------------------------------------------------------------------------------------ first pass: count */

static void add_socket(struct files *files, const struct file *file)
{
    if (!files->sockets || files->socket_count == MAX_SOCKETS)
        return;
    size_t i = files->socket_count++;
    struct gmr__socket *sockets = files->sockets;
    for (; i > 0 && sockets[i - 1].inode > file->inode; i--)
        sockets[i] = sockets[i - 1];
    sockets[i] = (struct gmr__socket){.inode = file->inode, .fd = file->fd};
}

static int count_files(struct files *files)
{
    struct gmr__dir dir;
    struct file file;
    int fd, error = gmr__proc_fds_open(&dir, files->target->proc, files->target->pid);
    if (error)
        return error;
    while (gmr__dir_next(&dir, &fd)) {
        files->count++;
        if (gmr__target_late(files->target))
            continue;
        if (!look_at(files, fd, &file, files->count <= MAX_LISTED))
            continue;
        files->by_kind[file.kind]++;
        if (file.kind == SOCKET)
            add_socket(files, &file);
    }
    error = dir.error;
    gmr__dir_close(&dir);
    return error;
}

static uint64_t soft_limit(const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__lines lines;
    uint64_t value = 0;
    gmr__proc_lines_open(&lines, target->proc, target->pid, 0, "limits");
    for (char *line; (line = gmr__lines_next(&lines, NULL));) {
        if (!gmr__starts_with(line, "Max open files"))
            continue;
        const char *at = line + 14;
        while (*at == ' ')
            at++;
        gmr__parse_uint(&at, &value);
        break;
    }
    gmr__section_unread(status, "the limit of open files", lines.error);
    gmr__lines_close(&lines);
    return value;
}

/* ------------------------------------------------------------------------------------------------ second pass: list */

static const struct gmr__socket *find_socket(const struct files *files, uint64_t inode)
{
    for (size_t i = 0; i < files->socket_count; i++) {
        if (files->sockets[i].inode == inode)
            return files->sockets[i].family ? &files->sockets[i] : NULL;
    }
    return NULL;
}

static void put_socket(struct gmr_writer *w, const struct gmr__socket *socket)
{
    gmr_begin_map(w, "socket");
    gmr_put_string(w, "type", socket->family);
    if (socket->state)
        gmr_put_string(w, "state", socket->state);
    if (socket->local[0])
        gmr_put_string(w, "local", socket->local);
    if (socket->remote[0])
        gmr_put_string(w, "remote", socket->remote);
    if (socket->path[0])
        gmr_put_string(w, "path", socket->path);
    gmr_end_map(w);
}

static void put_data(struct gmr_writer *w, const struct file *file, const struct gmr__socket *socket)
{
    gmr_begin_map(w, NULL);
    gmr_put_int(w, "fd", file->fd);
    gmr_put_string(w, "kind", kind_names[file->kind]);
    gmr_put_string(w, "target", file->link);
    if (socket)
        put_socket(w, socket);
    gmr_end_map(w);
}

static void put_text(struct gmr_writer *w, const struct file *file, const struct gmr__socket *socket)
{
    char text[LINK_BYTES + 256], number[16];
    struct gmr__buf line, key;
    gmr__buf_init(&key, number, sizeof(number));
    gmr__buf_uint(&key, (uint64_t)file->fd);
    gmr__buf_init(&line, text, sizeof(text));
    if (socket) {
        gmr__buf_str(&line, socket->family);
        for (const char *const *part = (const char *const[]){socket->local, socket->path, NULL}; *part; part++) {
            if (**part) {
                gmr__buf_char(&line, ' ');
                gmr__buf_str(&line, *part);
            }
        }
        if (socket->remote[0] && (!socket->state || !gmr__streq(socket->state, "listen"))) {
            gmr__buf_str(&line, " -> ");
            gmr__buf_str(&line, socket->remote);
        }
        if (socket->state) {
            gmr__buf_str(&line, " (");
            gmr__buf_str(&line, socket->state);
            gmr__buf_char(&line, ')');
        }
    } else {
        gmr__buf_str(&line, file->link);
    }
    gmr_put_string(w, number, text);
}

static void list_files(struct gmr_writer *w, const struct files *files)
{
    struct gmr__dir dir;
    struct file file;
    uint64_t listed = 0;
    bool text = gmr__writer_text(w);
    int fd, error = gmr__proc_fds_open(&dir, files->target->proc, files->target->pid);
    if (error) {
        gmr__section_error(files->status, GMR__PARTIAL, "the list of open files", error);
        return;
    }
    if (text)
        gmr_begin_map(w, "descriptors");
    else
        gmr_begin_list(w, "descriptors");
    while (listed < MAX_LISTED && !gmr__target_late(files->target) && gmr__dir_next(&dir, &fd)) {
        if (!look_at(files, fd, &file, true))
            continue;
        listed++;
        const struct gmr__socket *socket = file.kind == SOCKET ? find_socket(files, file.inode) : NULL;
        if (text)
            put_text(w, &file, socket);
        else
            put_data(w, &file, socket);
    }
    if (text)
        gmr_end_map(w);
    else
        gmr_end_list(w);
    if (files->count > listed)
        gmr_put_uint(w, "not_listed", files->count - listed);
    gmr__section_unread(files->status, "the list of open files", dir.error);
    gmr__dir_close(&dir);
}

static void put_counts(struct gmr_writer *w, const struct files *files, uint64_t limit)
{
    gmr_put_uint(w, "count", files->count);
    if (limit)
        gmr_put_uint(w, "limit", limit);
    gmr_begin_map(w, "kinds");
    for (int i = 0; i < KINDS; i++) {
        if (files->by_kind[i])
            gmr_put_uint(w, kind_names[i], files->by_kind[i]);
    }
    gmr_end_map(w);
}

static void run(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    struct files files = {.target = target, .status = status};
    size_t bytes = MAX_SOCKETS * sizeof(*files.sockets);
    files.sockets = gmr__map_memory(bytes);
    int error = count_files(&files);
    if (error)
        gmr__section_error(status, files.count ? GMR__PARTIAL : GMR__FAILED, "the open files", error);
    if (!error || files.count) {
        put_counts(w, &files, soft_limit(target, status));
        if (!files.sockets)
            gmr__section_error(status, GMR__PARTIAL, "what its sockets are", -ENOMEM);
        gmr__sockets_resolve(files.sockets, files.socket_count, target, status);
        list_files(w, &files);
    }
    if (gmr__target_late(target))
        gmr__section_note(status, GMR__PARTIAL, "there was no time to look at all descriptors", NULL);
    if (files.sockets)
        gmr__unmap_memory(files.sockets, bytes);
}

int gmr__open_files(const struct gmr__target *target, uint64_t *count, uint64_t *limit)
{
    struct gmr__dir dir;
    struct gmr__section_status status = {.status = GMR__OK};
    *count = 0;
    int fd, error = gmr__proc_fds_open(&dir, target->proc, target->pid);
    if (error)
        return error;
    while (gmr__dir_next(&dir, &fd)) {
        if (++*count % 1024 == 0 && gmr__target_late(target)) {
            gmr__dir_close(&dir);
            return -ETIME;
        }
    }
    error = dir.error;
    gmr__dir_close(&dir);
    *limit = soft_limit(target, &status);
    return error;
}

const struct gmr__proc_section gmr__section_files = {
    .head = {.name = "open_files", .title = "Open Files", .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_SORTED},
    .run = run,
};
