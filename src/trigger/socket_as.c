/*
 * trigger/socket_as.c - the control socket: one per process, for the same user and root.
 *
 * Reporter thread; async-signal-safe. Who connects is guests_as.c's.
 *
 *   DIR/PID.sock, DIR the first of /run/gmr (root), $XDG_RUNTIME_DIR/gmr, /run/user/UID/gmr, /tmp/gmr-UID that is a directory of ours, mode 0700
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sys/buf.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

#define BACKLOG 16

/* ---- the directory ---- */

/* The directory, ours alone and no link, or -errno. */
static int open_directory(const char *path)
{
    GMR__SYS(SYS_mkdirat, AT_FDCWD, path, 0700, 0, 0, 0);
    int fd = gmr__open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    struct stat st;
    if (fd < 0)
        return fd;
    if (GMR__SYS(SYS_fstat, fd, &st, 0, 0, 0, 0) == 0 && st.st_uid == gmr__euid() && (st.st_mode & 0777) == 0700)
        return fd;
    gmr__close(fd);
    return -EACCES;
}

static int choose_directory(struct gmr__buf *path)
{
    int error = -ENOENT, fd;
    for (int choice = 0; choice < 4; choice++) {
        gmr__buf_init(path, path->text, path->cap);
        if (choice == 0 && gmr__euid() == 0)
            gmr__buf_str(path, "/run/gmr");
        else if (choice == 1 && gmr__runtime_directory[0]) {
            gmr__buf_str(path, gmr__runtime_directory);
            gmr__buf_str(path, "/gmr");
        } else if (choice >= 2) {
            gmr__buf_str(path, choice == 2 ? "/run/user/" : "/tmp/gmr-");
            gmr__buf_uint(path, gmr__euid());
            gmr__buf_str(path, choice == 2 ? "/gmr" : "");
        } else
            continue;
        fd = path->overflow ? -ENAMETOOLONG : open_directory(path->text);
        if (fd >= 0)
            return fd;
        if (error == -ENOENT)
            error = fd;
    }
    return error;
}

/* ---- the socket ---- */

/* /proc/self/task/TID/fd/N/NAME: the directory that was checked, whatever its path leads to by now. */
static void address_of(struct sockaddr_un *address, int directory, const char *directory_path, const char *name)
{
    struct gmr__buf buf;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    gmr__buf_init(&buf, address->sun_path, sizeof(address->sun_path));
    gmr__buf_str(&buf, "/proc/self/task/");
    gmr__buf_int(&buf, gmr__gettid());
    gmr__buf_str(&buf, "/fd/");
    gmr__buf_int(&buf, directory);
    struct stat st;
    if (GMR__SYS(SYS_newfstatat, AT_FDCWD, address->sun_path, &st, 0, 0, 0) != 0) { /* no /proc here */
        gmr__buf_init(&buf, address->sun_path, sizeof(address->sun_path));
        gmr__buf_str(&buf, directory_path);
    }
    gmr__buf_char(&buf, '/');
    gmr__buf_str(&buf, name);
}

static int new_socket(void)
{
    return (int)GMR__SYS(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
}

static bool somebody_listens(const struct sockaddr_un *address)
{
    int fd = new_socket();
    if (fd < 0)
        return true;
    long error = GMR__SYS(SYS_connect, fd, address, sizeof(*address), 0, 0, 0);
    gmr__close(fd);
    return error != -ECONNREFUSED && error != -ENOENT;
}

/* What processes left behind that ended without a word: no such pid, and nobody listens (a pid of another namespace may be alive). Those whose
 * pid is taken are not connected to: it would wake every reporter of the machine at each setup. */
static void remove_stale(int directory, const char *directory_path)
{
    _Alignas(8) char bytes[4096];
    struct entry {
        uint64_t inode;
        int64_t next;
        uint16_t bytes;
        uint8_t type;
        char name[];
    };
    long n;
    while ((n = GMR__SYS(SYS_getdents64, directory, bytes, sizeof(bytes), 0, 0, 0)) > 0) {
        for (long at = 0; at < n;) {
            const struct entry *e = (const struct entry *)(bytes + at);
            const char *end = e->name;
            uint64_t pid;
            at += e->bytes;
            if (!gmr__parse_uint(&end, &pid) || !gmr__streq(end, ".sock") || pid == 0 || pid > INT32_MAX)
                continue;
            if (GMR__SYS(SYS_kill, pid, 0, 0, 0, 0, 0) != -ESRCH)
                continue;
            struct sockaddr_un address;
            address_of(&address, directory, directory_path, e->name);
            if (!somebody_listens(&address))
                GMR__SYS(SYS_unlinkat, directory, e->name, 0, 0, 0, 0);
        }
    }
}

static int bind_and_listen(int directory, const char *directory_path, const char *name)
{
    struct sockaddr_un address;
    address_of(&address, directory, directory_path, name);
    if (somebody_listens(&address))
        return -EADDRINUSE;
    GMR__SYS(SYS_unlinkat, directory, name, 0, 0, 0, 0);
    int fd = new_socket();
    if (fd < 0)
        return fd;
    long error = GMR__SYS(SYS_bind, fd, &address, sizeof(address), 0, 0, 0);
    if (!error)
        error = GMR__SYS(SYS_fchmodat, directory, name, 0600, 0, 0, 0);
    if (!error)
        error = GMR__SYS(SYS_listen, fd, BACKLOG, 0, 0, 0, 0);
    if (error) {
        gmr__close(fd);
        return (int)error;
    }
    return fd;
}

int gmr__socket_begin(char *path, size_t cap)
{
    struct gmr__buf buf;
    char name[24], directory_path[128];
    gmr__buf_init(&buf, name, sizeof(name));
    gmr__buf_int(&buf, gmr__getpid());
    gmr__buf_str(&buf, ".sock");
    gmr__buf_init(&buf, directory_path, sizeof(directory_path));
    int directory = choose_directory(&buf);
    gmr__buf_init(&buf, path, cap);
    gmr__buf_str(&buf, directory_path);
    gmr__buf_char(&buf, '/');
    gmr__buf_str(&buf, name);
    if (directory < 0)
        return directory;
    remove_stale(directory, directory_path);
    int fd = bind_and_listen(directory, directory_path, name);
    gmr__close(directory);
    return fd;
}

void gmr__socket_end(const char *path)
{
    GMR__SYS(SYS_unlinkat, AT_FDCWD, path, 0, 0, 0, 0);
}
