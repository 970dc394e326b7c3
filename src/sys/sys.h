/*
 * sys/sys.h - system calls without libc: each returns the kernel's value, or -errno.
 *
 * Both halves. Async-signal-safe: no errno, no TLS, no cancellation points. What may be interrupted says so; callers that want a retry
 * use gmr__read_full and the like.
 */
#ifndef GMR_SYS_SYS_H
#define GMR_SYS_SYS_H

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "arch/arch.h"

#define GMR__SYS(number, a, b, c, d, e, f) \
    gmr__syscall((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Of a big variable that is seldom touched: libgmr is linked so that these stand apart, and the rest shares few pages. */
#define GMR__APART _Alignas(4096)

static inline int gmr__openat(int directory, const char *path, int flags, unsigned mode)
{
    return (int)GMR__SYS(SYS_openat, directory, path, flags | O_CLOEXEC, mode, 0, 0);
}

static inline int gmr__open(const char *path, int flags)
{
    return gmr__openat(AT_FDCWD, path, flags, 0);
}

static inline uid_t gmr__euid(void)
{
    return (uid_t)GMR__SYS(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}

static inline int gmr__close(int fd)
{
    return (int)GMR__SYS(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline ssize_t gmr__read(int fd, void *to, size_t bytes)
{
    return GMR__SYS(SYS_read, fd, to, bytes, 0, 0, 0);
}

static inline ssize_t gmr__write(int fd, const void *from, size_t bytes)
{
    return GMR__SYS(SYS_write, fd, from, bytes, 0, 0, 0);
}

static inline ssize_t gmr__pread(int fd, void *to, size_t bytes, int64_t offset)
{
    return GMR__SYS(SYS_pread64, fd, to, bytes, offset, 0, 0);
}

static inline pid_t gmr__getpid(void)
{
    return (pid_t)GMR__SYS(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

static inline pid_t gmr__gettid(void)
{
    return (pid_t)GMR__SYS(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

static inline int gmr__tgkill(pid_t pid, pid_t tid, int signal)
{
    return (int)GMR__SYS(SYS_tgkill, pid, tid, signal, 0, 0, 0);
}

/* timeout_ms < 0: for ever. May return -EINTR. */
int gmr__poll(struct pollfd *fds, unsigned count, int timeout_ms);

/* MAP_PRIVATE | MAP_ANONYMOUS memory, NULL if there is none. */
void *gmr__map_memory(size_t bytes);
void gmr__unmap_memory(void *memory, size_t bytes);

/* Nanoseconds of CLOCK_MONOTONIC / CLOCK_REALTIME. */
uint64_t gmr__now_ns(void);
uint64_t gmr__realtime_ns(void);

/* Waits without a signal mask change, through interruptions. */
void gmr__sleep_ns(uint64_t nanoseconds);

/* Reads until end of file or `bytes`; retries on -EINTR. The count, or -errno. */
ssize_t gmr__read_full(int fd, void *to, size_t bytes);
/* The start of a file, NUL-terminated. The count without the NUL, or -errno; -EFBIG never: it cuts. */
ssize_t gmr__read_file(const char *path, char *to, size_t cap);

/* *word == expected ? sleep until woken or deadline_ns (CLOCK_MONOTONIC, 0: none) : return. 0, -EAGAIN, -EINTR, -ETIMEDOUT. */
int gmr__futex_wait(uint32_t *word, uint32_t expected, uint64_t deadline_ns);
int gmr__futex_wake(uint32_t *word, int count);

#endif
