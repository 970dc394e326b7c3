/*
 * capture/self_as.c - reads the process's own memory where it may not be there.
 *
 * Any thread of the target, signal handlers, a crash; async-signal-safe. A pointer that leads nowhere yields a short count, never a fault.
 */
#include <errno.h>

#include "capture/self.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define PAGE 4096u

/* The kernel looks at the set before it looks at `how` (kernel/signal.c, rt_sigprocmask): -EFAULT if it can't be read, else -EINVAL. Where
 * process_vm_readv is filtered, this never is. */
static bool readable(uint64_t address)
{
    return GMR__SYS(SYS_rt_sigprocmask, ~0, address & ~(uint64_t)7, NULL, 8, 0, 0) != -EFAULT;
}

/* Of what other functions keep on the stack, too, and between it: what AddressSanitizer forbids to each of them. */
__attribute__((no_sanitize("address"))) static void copy(char *to, uint64_t address, size_t bytes)
{
    const volatile char *from = (const volatile char *)(uintptr_t)address;
    while (bytes--)
        *to++ = *from++;
}

static size_t read_by_probe(uint64_t address, char *to, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        size_t part = PAGE - ((address + done) & (PAGE - 1));
        if (part > bytes - done)
            part = bytes - done;
        if (!readable(address + done))
            break;
        copy(to + done, address + done, part);
        done += part;
    }
    return done;
}

size_t gmr__self_read(uint64_t address, void *to, size_t bytes)
{
    size_t done = 0;
    if (address + bytes < address)
        return 0;
    while (done < bytes) {
        struct iovec local = {.iov_base = (char *)to + done, .iov_len = bytes - done};
        struct iovec remote = {.iov_base = (void *)(uintptr_t)(address + done), .iov_len = bytes - done};
        long n = GMR__SYS(SYS_process_vm_readv, gmr__getpid(), &local, 1, &remote, 1, 0);
        if (n == -EPERM || n == -ENOSYS || n == -EACCES)
            return done + read_by_probe(address + done, (char *)to + done, bytes - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

bool gmr__peek(struct gmr__peek *peek, uint64_t address, void *to, size_t bytes)
{
    unsigned char *out = to;
    while (bytes > 0) {
        uint64_t page = address & ~(uint64_t)(PAGE - 1);
        unsigned place = (unsigned)(page / PAGE) % GMR__PEEK_PAGES;
        if (peek->page[place] != page + 1) {
            peek->valid[place] = (uint32_t)gmr__self_read(page, peek->bytes[place], PAGE);
            peek->page[place] = page + 1;
        }
        size_t from = address - page, part = PAGE - from;
        if (part > bytes)
            part = bytes;
        if (from + part > peek->valid[place])
            return false;
        gmr__memcpy(out, peek->bytes[place] + from, part);
        out += part;
        address += part;
        bytes -= part;
    }
    return true;
}
