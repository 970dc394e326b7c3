/*
 * green/memory.c - reads the target's memory for the sources of green threads: single words, and many pieces at once.
 *
 * Inspector only. A live process is read with process_vm_readv, a core through the snapshot. Nothing here trusts an address: what
 * can't be read is said so, piece by piece. Callers: sources, reader.c, phases.c.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "arch/code.h"
#include "green/set.h"
#include "sys/pin.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define AT_NUMBER_RANDOM 25

void gmr__green_memory_init(struct gmr__green *green)
{
    const char *method = green->snapshot->method;
    green->read_pid = method && strcmp(method, "core") == 0 ? 0 : green->snapshot->pid;
}

/* A leader that has ended has no memory; its living threads do. */
static bool use_living_thread(struct gmr__green *green)
{
    char path[GMR__PROC_PATH_MAX];
    DIR *tasks = opendir(gmr__proc_path(path, sizeof(path), "/proc", green->snapshot->pid, 0, "task"));
    if (!tasks)
        return false;
    char byte;
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(tasks));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        struct iovec local = {&byte, 1}, remote = {(void *)1, 1};
        /* ESRCH: no memory; EFAULT: it has some, though not there. */
        if (tid > 0 && tid != green->read_pid && process_vm_readv(tid, &local, 1, &remote, 1, 0) < 0 &&
            errno == EFAULT) {
            green->read_pid = tid;
            found = true;
        }
    }
    closedir(tasks);
    return found;
}

int gmr__green_read(struct gmr__green *green, uint64_t address, void *to, size_t bytes)
{
    green->read_bytes += bytes;
    size_t done = 0;
    while (green->read_pid && done < bytes) {
        struct iovec local = {(char *)to + done, bytes - done};
        struct iovec remote = {(void *)(uintptr_t)(address + done), bytes - done};
        ssize_t n = process_vm_readv(green->read_pid, &local, 1, &remote, 1, 0);
        if (n < 0 && errno == ESRCH && use_living_thread(green))
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done && gmr__pinned_gone(green->snapshot->pid, green->read_pid))
        return -ESRCH;
    if (done == bytes)
        return 0;
    if (green->read_pid && done)
        return -EFAULT;
    /* A core, or no right to read this way: the snapshot may know. */
    return gmr__snapshot_read(green->snapshot, NULL, address, to, bytes) == 0 ? 0 : -EFAULT;
}

int gmr__green_read_string(struct gmr__green *green, uint64_t address, char *to, size_t cap)
{
    size_t used = 0;
    if (!address || !cap)
        return -EFAULT;
    while (used < cap - 1) {
        /* Up to the page's end: the next one may not be there. */
        size_t bytes = 256 - (size_t)((address + used) & 255);
        if (bytes > cap - 1 - used)
            bytes = cap - 1 - used;
        if (gmr__green_read(green, address + used, to + used, bytes) < 0)
            return -EFAULT;
        size_t length = strnlen(to + used, bytes);
        used += length;
        if (length < bytes)
            break;
    }
    to[used] = '\0';
    return (int)used;
}

/* One call for up to IOV pieces from `first` on. Returns how many of them are settled. */
#define IOV 1024
static size_t read_batch(struct gmr__green *green, struct gmr__green_piece *pieces, size_t count)
{
    struct iovec local[IOV], remote[IOV];
    size_t n = 0;
    for (; n < count && n < IOV; n++) {
        local[n] = (struct iovec){pieces[n].to, pieces[n].bytes};
        remote[n] = (struct iovec){(void *)(uintptr_t)pieces[n].address, pieces[n].bytes};
        pieces[n].got = 0;
    }
    ssize_t got = process_vm_readv(green->read_pid, local, n, remote, n, 0);
    if (got < 0 && errno == ESRCH && use_living_thread(green))
        return 0;
    size_t left = got < 0 || gmr__pinned_gone(green->snapshot->pid, green->read_pid) ? 0 : (size_t)got;
    green->read_bytes += left;
    for (size_t i = 0; i < n; i++) {
        pieces[i].got = left < pieces[i].bytes ? (uint32_t)left : pieces[i].bytes;
        left -= pieces[i].got;
        if (pieces[i].got < pieces[i].bytes)
            return i + 1; /* the first that can't be read whole ends the call */
    }
    return n;
}

/* What is there from its start: a mapping's last page may be in its file in part only. */
static void read_from_core(struct gmr__green *green, struct gmr__green_piece *piece)
{
    piece->got = 0;
    for (uint32_t step = piece->bytes; step > 0; step = step > 65536 ? 65536 : step > 4096 ? 4096 : step / 8)
        while (piece->bytes - piece->got >= step &&
               gmr__green_read(green, piece->address + piece->got, (char *)piece->to + piece->got, step) == 0)
            piece->got += step;
}

void gmr__green_read_many(struct gmr__green *green, struct gmr__green_piece *pieces, size_t count)
{
    unsigned stuck = 0;
    for (size_t done = 0; done < count;) {
        if (!green->read_pid) {
            read_from_core(green, &pieces[done++]);
            continue;
        }
        size_t settled = read_batch(green, pieces + done, count - done);
        done += settled;
        if (!settled && ++stuck > 1000)
            return; /* OS threads that end faster than we look */
    }
}

bool gmr__green_is_code(struct gmr__green *green, uint64_t address)
{
    const struct gmr__map *map = gmr__snapshot_map(green->snapshot, address);
    return map && map->exec;
}

bool gmr__green_is_return_address(struct gmr__green *green, uint64_t address)
{
    unsigned char before[GMR__CALL_BYTES];
    uint64_t target;
    return gmr__green_is_code(green, address - 1) &&
           gmr__green_read(green, address - GMR__CALL_BYTES, before, sizeof(before)) == 0 &&
           gmr__arch_call_before(before, address, &target);
}

int gmr__green_pointer_guard(struct gmr__green *green, uint64_t *guard)
{
    uint64_t auxv[64];
    if (!green->read_pid && green->snapshot->random)
        return gmr__green_read(green, green->snapshot->random + 8, guard, sizeof(*guard));
    if (!green->read_pid)
        return -ENOTSUP;
    pid_t pid = green->snapshot->pid, tid = green->read_pid;
    ssize_t n = gmr__proc_read("/proc", pid, tid == pid ? 0 : tid, "auxv", (char *)auxv, sizeof(auxv));
    if (n < 0)
        return (int)n;
    for (ssize_t i = 0; i + 1 < n / (ssize_t)sizeof(auxv[0]); i += 2)
        if (auxv[i] == AT_NUMBER_RANDOM)
            return gmr__green_read(green, auxv[i + 1] + 8, guard,
                                   sizeof(*guard)); /* glibc: sysdeps/unix/sysv/linux/dl-osinfo.h */
    return -ENOENT;
}
