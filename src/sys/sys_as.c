/*
 * sys/sys_as.c - the system calls that take more than one line.
 *
 * Both halves, any context: async-signal-safe. Never touches errno, TLS or a lock. Callers: every layer above.
 */
#include "sys/sys.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>

int gmr__poll(struct pollfd *fds, unsigned count, int timeout_ms)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = (timeout_ms % 1000) * 1000000L};
    /* ppoll rather than poll: aarch64 has no poll. It writes the remaining time back, hence the copy above. */
    return (int)GMR__SYS(SYS_ppoll, fds, count, timeout_ms < 0 ? NULL : &timeout, NULL, 0, 0);
}

void *gmr__map_memory(size_t bytes)
{
    long address = GMR__SYS(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address < 0 && address > -4096 ? NULL : (void *)address;
}

void gmr__unmap_memory(void *memory, size_t bytes)
{
    GMR__SYS(SYS_munmap, memory, bytes, 0, 0, 0, 0);
}

static uint64_t clock_ns(int clock)
{
    struct timespec now = {0};
    GMR__SYS(SYS_clock_gettime, clock, &now, 0, 0, 0, 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t gmr__now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t gmr__realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void gmr__sleep_ns(uint64_t nanoseconds)
{
    uint64_t deadline = gmr__now_ns() + nanoseconds;
    struct timespec until = {.tv_sec = (time_t)(deadline / 1000000000u), .tv_nsec = (long)(deadline % 1000000000u)};
    while (GMR__SYS(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL, 0, 0) == -EINTR) {
    }
}

ssize_t gmr__read_full(int fd, void *to, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = gmr__read(fd, (char *)to + done, bytes - done);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t gmr__read_file(const char *path, char *to, size_t cap)
{
    if (cap == 0)
        return -EINVAL;
    to[0] = '\0';
    int fd = gmr__open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fd;
    ssize_t n = gmr__read_full(fd, to, cap - 1);
    gmr__close(fd);
    to[n > 0 ? n : 0] = '\0';
    return n;
}

int gmr__futex_wait(uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    return (int)GMR__SYS(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, deadline_ns ? &until : NULL,
                         NULL, FUTEX_BITSET_MATCH_ANY);
}

int gmr__futex_wake(uint32_t *word, int count)
{
    return (int)GMR__SYS(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}
