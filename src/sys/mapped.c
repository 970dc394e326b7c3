/*
 * sys/mapped.c - mapped files that may shrink while they are read. See mapped.h.
 *
 * Inspector only, one thread; the handler runs where a byte of a mapping is read and touches only the list, which does not change then.
 */
#include "sys/mapped.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/sys.h"

static struct gmr__mapped *list;
static struct sigaction former;
static size_t page_bytes;

/* Zeros in place of the page that is gone; where the file ends before it, in place of all behind it, so that a big file does not take a mapping
 * a page. A page that is there but can't be read (a bad disk) goes alone. */
static bool cover(struct gmr__mapped *mapped, uintptr_t address)
{
    struct stat st;
    uintptr_t page = address & ~(page_bytes - 1), start = (uintptr_t)mapped->bytes;
    size_t bytes = page_bytes;
    if (fstat(mapped->fd, &st) < 0 || (uint64_t)st.st_size <= page - start)
        bytes = ((mapped->size + page_bytes - 1) & ~(page_bytes - 1)) - (page - start);
    mapped->lost = true;
    long got = GMR__SYS(SYS_mmap, page, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return got > 0 || got < -4095;
}

static void on_bus(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    uintptr_t address = (uintptr_t)info->si_addr;
    for (struct gmr__mapped *m = info->si_code > 0 ? list : NULL; m; m = m->next) {
        if (address - (uintptr_t)m->bytes < m->size && cover(m, address)) {
            errno = saved;
            return;
        }
    }
    sigaction(SIGBUS, &former, NULL); /* a fault comes again by itself */
    if (info->si_code <= 0)
        raise(number);
}

/* Looked at anew with each mapping: somebody else may have put a handler of his own in place. */
static int install(void)
{
    struct sigaction now, action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGBUS, NULL, &now) < 0)
        return -errno;
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_bus)
        return 0;
    sigemptyset(&action.sa_mask);
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    return sigaction(SIGBUS, &action, &former) < 0 ? -errno : 0;
}

int gmr__map_file(struct gmr__mapped *mapped, int fd, size_t size)
{
    int error = install();
    if (error)
        return error;
    void *bytes = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0) : MAP_FAILED;
    if (bytes == MAP_FAILED)
        return size ? -errno : -EINVAL;
    *mapped = (struct gmr__mapped){.bytes = bytes, .size = size, .fd = fd, .next = list};
    list = mapped;
    return 0;
}

void gmr__unmap_file(struct gmr__mapped *mapped)
{
    if (!mapped->bytes)
        return;
    for (struct gmr__mapped **at = &list; *at; at = &(*at)->next) {
        if (*at == mapped) {
            *at = mapped->next;
            break;
        }
    }
    munmap((void *)mapped->bytes, mapped->size);
    mapped->bytes = NULL;
}
