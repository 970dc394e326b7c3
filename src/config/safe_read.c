/*
 * config/safe_read.c - reads values that belong to the program, and may be gone.
 *
 * The target's half, runner thread. A program that frees an option's memory without unregistering it must not be killed by asking for a report: so
 * the kernel copies, and says EFAULT where a pointer would crash. Where it may not (a seccomp filter, a kernel without
 * CONFIG_CROSS_MEMORY_ATTACH) there is no such protection, and memory is read as it is.
 */
#include <errno.h>

#include "config/config.h"
#include "sys/buf.h"
#include "sys/sys.h"

bool gmr__safe_read(const void *from, void *to, size_t bytes)
{
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)from, bytes};
    if (!from)
        return false;
    long n = GMR__SYS(SYS_process_vm_readv, gmr__getpid(), &local, 1, &remote, 1, 0);
    if (n == (long)bytes)
        return true;
    if (n == -ENOSYS || n == -EPERM) {
        gmr__memcpy(to, from, bytes);
        return true;
    }
    return false;
}

/* Up to the end of a page at a time: the next page may not be there, and need not. */
long gmr__safe_string(const char *from, char *to, size_t cap)
{
    size_t done = 0;
    while (done + 1 < cap) {
        size_t piece = 4096 - ((uintptr_t)from + done) % 4096;
        if (piece > cap - 1 - done)
            piece = cap - 1 - done;
        if (!gmr__safe_read(from + done, to + done, piece))
            return -EFAULT;
        for (size_t i = done; i < done + piece; i++) {
            if (to[i] == '\0')
                return (long)i;
        }
        done += piece;
    }
    to[done] = '\0';
    return (long)done;
}
