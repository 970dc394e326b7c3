/*
 * report/stream_as.c - writes bytes to a descriptor that belongs to the program, without ever being stuck in it.
 *
 * Reporter thread; async-signal-safe. O_NONBLOCK can't be set on the program's descriptor: the flag belongs to the open file, which the program
 * and its parents share. Pipes and terminals are opened once more through /proc, non-blocking; sockets take MSG_DONTWAIT; where
 * neither is possible, small pieces follow a poll.
 */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "report/output.h"
#include "report/runtime.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define PIECE 4096 /* PIPE_BUF: a pipe that polls writable takes it whole */
#define TERMINAL_PIECE 256
#define LOCK_WAIT_NS 5000000000u

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

struct stream {
    int fd;
    enum { PLAIN, NONBLOCKING, SOCKET, CAREFUL } how;
    size_t piece;
    uint64_t deadline_ns;
};

static int wait_writable(const struct stream *s)
{
    uint64_t now = gmr__now_ns();
    if (now >= s->deadline_ns)
        return -ETIMEDOUT;
    struct pollfd wait = {.fd = s->fd, .events = POLLOUT};
    int n = gmr__poll(&wait, 1, (int)((s->deadline_ns - now) / 1000000u) + 1);
    if (n < 0 && n != -EINTR)
        return n;
    if (n > 0 && wait.revents & POLLNVAL)
        return -EBADF;
    return 0;
}

static ssize_t put(const struct stream *s, const void *bytes, size_t count)
{
    struct iovec piece = {.iov_base = (void *)bytes, .iov_len = count};
    ssize_t n;
    switch (s->how) {
    case SOCKET:
        return GMR__SYS(SYS_sendto, s->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
    case CAREFUL:
        n = GMR__SYS(SYS_pwritev2, s->fd, &piece, 1, -1, -1, RWF_NOWAIT);
        if (n != -EOPNOTSUPP && n != -ENOSYS && n != -EPERM && n != -EINVAL)
            return n;
        /* Polled writable just before: blocks only if somebody else fills it in between. */
        return gmr__write(s->fd, bytes, count < s->piece ? count : s->piece);
    default:
        return gmr__write(s->fd, bytes, count);
    }
}

static int write_all(void *userdata, const void *bytes, size_t count)
{
    const struct stream *s = userdata;
    const char *from = bytes;
    while (count > 0) {
        if (s->how == CAREFUL) {
            int error = wait_writable(s);
            if (error)
                return error;
        }
        ssize_t n = put(s, from, count);
        if (n == -EAGAIN) {
            int error = wait_writable(s);
            if (error)
                return error;
            continue;
        }
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        from += n;
        count -= (size_t)n;
    }
    return 0;
}

static int reopen(int fd)
{
    char path[64];
    struct gmr__buf buf;
    gmr__buf_init(&buf, path, sizeof(path));
    gmr__buf_str(&buf, "/proc/self/task/"); /* not /proc/self/fd: that is the table of the process, not ours */
    gmr__buf_int(&buf, gmr__gettid());
    gmr__buf_str(&buf, "/fd/");
    gmr__buf_int(&buf, fd);
    return gmr__open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
}

/* own: a descriptor to close afterwards, or -1. */
static int prepare(struct stream *s, int fd, uint64_t deadline_ns, int *own)
{
    struct stat st;
    *own = -1;
    *s = (struct stream){.fd = fd, .how = PLAIN, .piece = PIECE, .deadline_ns = deadline_ns};
    long error = GMR__SYS(SYS_fstat, fd, &st, 0, 0, 0, 0);
    if (error)
        return (int)error;
    if (S_ISSOCK(st.st_mode)) {
        s->how = SOCKET;
    } else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        *own = reopen(fd);
        if (*own == -ENXIO)
            return -EPIPE; /* nobody reads the pipe any more */
        s->how = *own >= 0 ? NONBLOCKING : CAREFUL;
        s->fd = *own >= 0 ? *own : fd;
        s->piece = S_ISCHR(st.st_mode) ? TERMINAL_PIECE : PIECE;
    }
    return 0;
}

/*
 * A record lock belongs to a descriptor table, not to an open file: workers that share one standard error exclude each
 * other, each by its reporter's own table, and the program's own locks on that file are not disturbed. (Sharing the program's
 * table, closing our copy would release the program's locks; then there is no lock.) Whoever holds it too long is not waited for.
 */
static void lock_output(int fd, uint64_t deadline_ns)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    uint64_t until = gmr__now_ns() + LOCK_WAIT_NS;
    if (until > deadline_ns)
        until = deadline_ns;
    uint64_t pause_ns = 1000000;
    while (gmr__rt.fds.own_table) {
        long error = GMR__SYS(SYS_fcntl, fd, F_SETLK, &lock, 0, 0, 0);
        if ((error != -EAGAIN && error != -EACCES && error != -EINTR) || gmr__now_ns() >= until)
            return;
        gmr__sleep_ns(pause_ns);
        if (pause_ns < 20000000)
            pause_ns += pause_ns / 2;
    }
}

static void unlock_output(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    if (gmr__rt.fds.own_table)
        GMR__SYS(SYS_fcntl, fd, F_SETLK, &lock, 0, 0, 0);
}

int gmr__write_spool(int fd, struct gmr__spool *spool, uint64_t deadline_ns, bool lock)
{
    struct stream s;
    int own;
    int error = prepare(&s, fd, deadline_ns, &own);
    if (error)
        return error;
    if (lock)
        lock_output(fd, deadline_ns);
    error = gmr__spool_each(spool, write_all, &s);
    if (lock)
        unlock_output(fd);
    if (own >= 0)
        gmr__close(own);
    return error;
}

int gmr__write_text(int fd, const char *text, size_t count, uint64_t deadline_ns)
{
    struct stream s;
    int own;
    int error = prepare(&s, fd, deadline_ns, &own);
    if (error)
        return error;
    error = write_all(&s, text, count);
    if (own >= 0)
        gmr__close(own);
    return error;
}

/* ---- the program's descriptors ---- */

int gmr__fetch_fd(int fd)
{
    if (!gmr__rt.fds.own_table)
        return fd;
    if (gmr__rt.fds.self >= 0) {
        int got = (int)GMR__SYS(SYS_pidfd_getfd, gmr__rt.fds.self, fd, 0, 0, 0, 0);
        if (got >= 0 || got == -EBADF)
            return got;
    }
    return -EBADF;
}

void gmr__close_fetched(int fetched)
{
    if (gmr__rt.fds.own_table && fetched >= 0)
        gmr__close(fetched);
}

/*
 * A program that closed its standard error may have something else at 2 by now: a client's connection, a database. What was there at setup
 * is trusted; else it must look like an output: no network socket, no file opened for reading and writing without O_APPEND.
 */
static bool plausible_stderr(int fd)
{
    struct stat st;
    if (GMR__SYS(SYS_fstat, fd, &st, 0, 0, 0, 0) != 0)
        return false;
    long flags = GMR__SYS(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || flags & O_PATH)
        return false;
    if (gmr__rt.stderr_known && st.st_dev == gmr__rt.stderr_device && st.st_ino == gmr__rt.stderr_inode)
        return true;
    if (S_ISREG(st.st_mode))
        return (flags & O_ACCMODE) == O_WRONLY || flags & O_APPEND;
    if (!S_ISSOCK(st.st_mode))
        return S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
    int domain = 0;
    uint32_t bytes = sizeof(domain);
    GMR__SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes, 0);
    return domain == AF_UNIX;
}

int gmr__fetch_stderr(void)
{
    int fd = gmr__fetch_fd(2);
    if (fd < 0 || plausible_stderr(fd))
        return fd;
    gmr__close_fetched(fd);
    return -EBADF;
}
