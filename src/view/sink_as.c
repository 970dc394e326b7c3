/*
 * view/sink_as.c - where a writer's bytes go: a file descriptor with a deadline, or memory; and the writer's buffer.
 *
 * Both halves, async-signal-safe. A descriptor is never waited for past its deadline, whether it is blocking or not: the
 * process that is asked for a report must not hang on a stderr that nobody reads. Callers: the views; whoever makes a writer.
 */
#include <asm/ioctls.h>
#include <errno.h>
#include <sys/socket.h>

#include "sys/sys.h"
#include "view/view.h"

#define PIPE_PIECE 4096 /* POLLOUT of a pipe promises room for that much (pipe(7), PIPE_BUF) */
#define TTY_PIECE 256   /* POLLOUT of a terminal: the line discipline's WAKEUP_CHARS */

enum { KIND_UNKNOWN, KIND_FILE, KIND_PIPE, KIND_SOCKET, KIND_TTY, KIND_OTHER };

static int kind_of(int fd)
{
    struct stat st;
    if (GMR__SYS(SYS_fstat, fd, &st, 0, 0, 0, 0) < 0)
        return KIND_OTHER;
    if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
        return KIND_FILE;
    if (S_ISFIFO(st.st_mode))
        return KIND_PIPE;
    if (S_ISSOCK(st.st_mode))
        return KIND_SOCKET;
    /* the kernel's own struct termios, smaller than libc's */
    char termios[128];
    return GMR__SYS(SYS_ioctl, fd, TCGETS, termios, 0, 0, 0) == 0 ? KIND_TTY : KIND_OTHER;
}

/* One attempt that does not block where the kernel has a way to say so. */
static ssize_t write_some(struct gmr__sink_fd *to, const char *bytes, size_t count)
{
    if (to->kind == KIND_FILE)
        return gmr__write(to->fd, bytes, count);
    if (to->kind == KIND_SOCKET)
        return GMR__SYS(SYS_sendto, to->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
    size_t piece = to->kind == KIND_TTY ? TTY_PIECE : PIPE_PIECE;
    if (count > piece)
        count = piece;
    /* Another writer may fill the pipe between poll and write, so say "don't wait" as well. Pipes take it since Linux 6.4,
     * terminals never: what is left there is poll's promise. */
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    ssize_t n = GMR__SYS(SYS_pwritev2, to->fd, &part, 1, -1, -1, RWF_NOWAIT);
    return n == -EOPNOTSUPP || n == -ENOSYS || n == -EINVAL || n == -ESPIPE ? gmr__write(to->fd, bytes, count) : n;
}

/* 0 when the descriptor takes bytes, -ETIMEDOUT at the deadline. */
static int wait_writable(const struct gmr__sink_fd *to)
{
    for (;;) {
        int timeout_ms = -1;
        if (to->deadline_ns) {
            uint64_t now = gmr__now_ns();
            if (now >= to->deadline_ns)
                return -ETIMEDOUT;
            uint64_t left_ms = (to->deadline_ns - now + 999999) / 1000000;
            timeout_ms = left_ms > 60000 ? 60000 : (int)left_ms;
        }
        struct pollfd fd = {.fd = to->fd, .events = POLLOUT};
        int r = gmr__poll(&fd, 1, timeout_ms);
        if (r > 0)
            return fd.revents & POLLNVAL ? -EBADF : 0;
        if (r < 0 && r != -EINTR)
            return r;
    }
}

static int fd_write(struct gmr__sink *sink, const void *bytes, size_t count)
{
    struct gmr__sink_fd *to = (struct gmr__sink_fd *)sink;
    const char *at = bytes;
    if (to->kind == KIND_UNKNOWN)
        to->kind = kind_of(to->fd);
    while (count) {
        if (to->kind != KIND_FILE) {
            int r = wait_writable(to);
            if (r)
                return r;
        } else if (to->deadline_ns && gmr__now_ns() >= to->deadline_ns) {
            return -ETIMEDOUT;
        }
        ssize_t n = write_some(to, at, count);
        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n < 0)
            return (int)n;
        at += n;
        count -= (size_t)n;
    }
    return 0;
}

void gmr__sink_fd_init(struct gmr__sink_fd *sink, int fd, uint64_t deadline_ns)
{
    *sink = (struct gmr__sink_fd){.sink.write = fd_write, .fd = fd, .deadline_ns = deadline_ns};
}

static int mem_write(struct gmr__sink *sink, const void *bytes, size_t count)
{
    struct gmr__sink_mem *to = (struct gmr__sink_mem *)sink;
    size_t used = to->used, room = to->cap - used;
    size_t fits = count < room ? count : room;
    gmr__memcpy(to->base + used, bytes, fits);
    /* Another thread may read what is there while a stuck generator holds the writer. */
    __atomic_store_n(&to->used, used + fits, __ATOMIC_RELEASE);
    return fits < count ? -EMSGSIZE : 0;
}

void gmr__sink_mem_init(struct gmr__sink_mem *sink, void *base, size_t cap)
{
    *sink = (struct gmr__sink_mem){.sink = {.write = mem_write, .direct = true}, .base = base, .cap = cap};
}

int gmr__writer_flush(struct gmr_writer *w)
{
    if (w->used && !w->error) {
        int r = w->sink->write(w->sink, w->buffer, w->used);
        if (r)
            w->error = r;
    }
    w->used = 0;
    return w->error;
}

void gmr__out(struct gmr_writer *w, const char *bytes, size_t count)
{
    while (count && !w->error) {
        size_t room = sizeof(w->buffer) - w->used;
        size_t piece = count < room ? count : room;
        gmr__memcpy(w->buffer + w->used, bytes, piece);
        w->used += (unsigned)piece;
        bytes += piece;
        count -= piece;
        if (w->used == sizeof(w->buffer))
            gmr__writer_flush(w);
    }
}

void gmr__out_str(struct gmr_writer *w, const char *text)
{
    gmr__out(w, text, gmr__strlen(text));
}

void gmr__out_uint(struct gmr_writer *w, uint64_t value)
{
    char text[24];
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_uint(&buf, value);
    gmr__out(w, text, buf.used);
}

void gmr__out_int(struct gmr_writer *w, int64_t value)
{
    char text[24];
    struct gmr__buf buf;
    gmr__buf_init(&buf, text, sizeof(text));
    gmr__buf_int(&buf, value);
    gmr__out(w, text, buf.used);
}

void gmr__out_event(struct gmr_writer *w)
{
    if (w->sink->direct)
        gmr__writer_flush(w);
}
