/*
 * section/lock_waits.c - which thread waits for which other one.
 *
 * Inspector only; called by the Threads section. A finding must never be wrong, so it stands on all of these: the thread was copied while it
 * stood in glibc's pthread_mutex_lock or pthread_join, within a futex call; it still stands in the very same call (/proc/PID/task/TID/syscall:
 * number, address, stack pointer) before and after the mutex is read; the mutex names the same owner before and after, its lock word and kind
 * fit each other, and the owner is a thread of this process. Mutexes that end by themselves (timed) make no deadlock.
 *
 * glibc's pthread_mutex_t, the same since 2.0 in these members (sysdeps/nptl/bits/struct_mutex.h): lock 0, count 4, owner 8, users 12, kind 16; a
 * thread waits on `lock`. pthread_join waits on the joined thread's tid field, which holds its tid until the kernel clears it.
 */
#include "section/lock_waits.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "section/analysis.h"
#include "sys/pin.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define MOST_WAITERS 1024        /* two readings of /proc each, some 10 us */
#define MOST_FOREIGN_THREADS 256 /* of a process in a pid namespace of its own: a reading each */
#define INNERMOST_FRAMES 5
#define SETTLE_NS 20000000u /* of a report: threads just let go are on their way back into their calls */
#define SETTLE_PAUSE_NS 200000u

enum { OWNER = 8, KIND = 16, MUTEX_BYTES = 20 };
enum { KIND_ROBUST = 16, KIND_PI = 32, KIND_PROTECTED = 64, KIND_ALL = 0x3ff };

struct call {
    int64_t number;
    uint64_t argument[6], sp;
};

struct mutex {
    uint32_t word, count, owner, users, kind;
};

struct waiter {
    size_t thread; /* in the snapshot */
    bool joins;
    struct call call;
    struct mutex mutex;
};

/* ---- what a thread stands in ---- */

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool of_glibc(const struct gmr__module *module)
{
    const char *slash = module && module->path ? strrchr(module->path, '/') : NULL;
    return slash && (starts(slash, "/libc.so.6") || starts(slash, "/libc-2.") || starts(slash, "/libpthread"));
}

/* "mutex" and "thread", by the innermost of glibc's public functions; NULL: neither. */
static const char *kind_of(const struct gmr__analysis *analysis, const struct gmr__stack *stack)
{
    for (uint32_t i = 0; stack && i < stack->frame_count && i < INNERMOST_FRAMES; i++) {
        const struct gmr__frame *frame = &stack->frames[i];
        const struct gmr__resolved *resolved =
            gmr__symbolize(analysis->symbolizer, frame->activation ? frame->pc : frame->pc - 1);
        if (!resolved || frame->guessed || frame->signal_frame || !of_glibc(resolved->module))
            return NULL;
        const char *name = resolved->symbols[resolved->symbol_count - 1].function;
        while (name && (*name == '_' || starts(name, "GI_")))
            name += *name == '_' ? 1 : 3;
        if (!name)
            continue;
        if (starts(name, "pthread_mutex_lock") || starts(name, "pthread_mutex_cond_lock") ||
            starts(name, "pthread_mutex_timedlock") || starts(name, "pthread_mutex_clocklock"))
            return GMR__WAITS_FOR_MUTEX;
        if (starts(name, "pthread_join") || starts(name, "pthread_clockjoin") || starts(name, "pthread_timedjoin"))
            return GMR__WAITS_FOR_THREAD;
        if (starts(name, "pthread_"))
            return NULL;
    }
    return NULL;
}

/* Waits until the deadline for a thread that runs: one just let go has not come back to its call yet, on a busy machine for a while. */
static bool read_call(const struct gmr__snapshot *snapshot, pid_t tid, uint64_t deadline_ns, struct call *call)
{
    char text[256];
    for (;;) {
        if (gmr__proc_read("/proc", snapshot->pid, tid, "syscall", text, sizeof(text)) <= 0)
            return false;
        if (!starts(text, "running") || gmr__now_ns() >= deadline_ns)
            break;
        gmr__sleep_ns(SETTLE_PAUSE_NS);
    }
    *call = (struct call){0};
    uint64_t *a = call->argument;
    return sscanf(text,
                  "%" SCNd64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64
                  " 0x%" SCNx64,
                  &call->number, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &call->sp) == 8;
}

static bool waits_on_futex(const struct call *call)
{
    unsigned operation = (unsigned)call->argument[1] & (unsigned)FUTEX_CMD_MASK;
    return call->number == SYS_futex && (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET ||
                                         operation == FUTEX_LOCK_PI || operation == 13 /* FUTEX_LOCK_PI2 */);
}

/* ---- mutexes ---- */

static bool read_mutex(pid_t pid, uint64_t address, struct mutex *mutex)
{
    struct iovec local = {mutex, sizeof(*mutex)}, remote = {(void *)(uintptr_t)address, sizeof(*mutex)};
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)sizeof(*mutex) || gmr__pinned_gone(pid, 0))
        return false;
    if (!mutex->owner || mutex->kind & ~(uint32_t)KIND_ALL || mutex->kind & KIND_PROTECTED)
        return false;
    if (mutex->kind & (KIND_ROBUST | KIND_PI))
        return (mutex->word & FUTEX_TID_MASK) == mutex->owner;
    return mutex->word == 2 && mutex->users > 0; /* 2: locked, and somebody waits */
}

/* The number that the target's own pid namespace has for it. */
static int64_t own_number(const struct gmr__snapshot *snapshot, pid_t tid)
{
    char status[4096];
    int64_t number = tid;
    bool known = gmr__proc_read("/proc", snapshot->pid, tid, "status", status, sizeof(status)) > 0;
    const char *line = known ? strstr(status, "\nNSpid:") : NULL;
    for (line = line ? line + 7 : NULL; line && *line && *line != '\n'; line += strcspn(line, "\t\n"))
        if (*line == '\t')
            number = strtoll(++line, NULL, 10);
    return number;
}

/* The thread of this process that calls itself so; 0: there is none. */
static pid_t thread_called(const struct gmr__snapshot *snapshot, bool same_namespace, int64_t number)
{
    for (size_t i = 0; i < snapshot->thread_count && (same_namespace || i < MOST_FOREIGN_THREADS); i++) {
        pid_t tid = snapshot->threads[i].tid;
        if (same_namespace ? tid == number : own_number(snapshot, tid) == number)
            return tid;
    }
    return 0;
}

/* ---- all of them ---- */

static size_t find_waiters(const struct gmr__analysis *analysis, struct waiter *waiters)
{
    const struct gmr__snapshot *snapshot = analysis->snapshot;
    uint64_t settled_ns = gmr__now_ns() + SETTLE_NS;
    size_t count = 0;
    for (size_t i = 0; i < snapshot->thread_count && count < MOST_WAITERS; i++) {
        const struct gmr__thread *thread = &snapshot->threads[i];
        struct waiter *waiter = &waiters[count];
        const char *kind = thread->syscall == SYS_futex ? kind_of(analysis, analysis->thread_stacks[i]) : NULL;
        if (!kind || !read_call(snapshot, thread->tid, settled_ns, &waiter->call) || !waits_on_futex(&waiter->call) ||
            waiter->call.sp != thread->regs.value[gmr__arch_sp])
            continue;
        waiter->thread = i;
        waiter->joins = strcmp(kind, GMR__WAITS_FOR_THREAD) == 0;
        count += waiter->joins || read_mutex(snapshot->pid, waiter->call.argument[0], &waiter->mutex);
    }
    return count;
}

static bool still_waits(const struct gmr__snapshot *snapshot, const struct waiter *waiter)
{
    struct call now;
    struct mutex mutex;
    if (!read_call(snapshot, snapshot->threads[waiter->thread].tid, 0, &now) ||
        memcmp(&now, &waiter->call, sizeof(now)) != 0)
        return false;
    return waiter->joins || (read_mutex(snapshot->pid, now.argument[0], &mutex) && mutex.owner == waiter->mutex.owner);
}

static void fill(const struct gmr__snapshot *snapshot, bool same_namespace, const struct waiter *waiter,
                 struct gmr__lock_wait *wait)
{
    const uint64_t *a = waiter->call.argument;
    int64_t number = waiter->joins ? (int64_t)(uint32_t)a[2] : (int64_t)waiter->mutex.owner;
    wait->holder = thread_called(snapshot, same_namespace, number);
    if (!wait->holder)
        return;
    wait->kind = waiter->joins ? GMR__WAITS_FOR_THREAD : GMR__WAITS_FOR_MUTEX;
    wait->address = waiter->joins ? 0 : a[0];
    wait->timed = a[3] != 0;
}

struct gmr__lock_wait *gmr__lock_waits(const struct gmr__analysis *analysis)
{
    const struct gmr__snapshot *snapshot = analysis->snapshot;
    if (!snapshot->method || strcmp(snapshot->method, "ptrace") != 0 || snapshot->thread_count == 0)
        return NULL;
    struct waiter *waiters = malloc(MOST_WAITERS * sizeof(*waiters));
    size_t count = waiters ? find_waiters(analysis, waiters) : 0;
    struct gmr__lock_wait *waits = count ? calloc(snapshot->thread_count, sizeof(*waits)) : NULL;
    bool same_namespace = waits && own_number(snapshot, snapshot->pid) == snapshot->pid;
    for (size_t i = 0; waits && i < snapshot->thread_count; i++)
        waits[i].tid = snapshot->threads[i].tid;
    for (size_t i = 0; waits && i < count; i++)
        if (still_waits(snapshot, &waiters[i]))
            fill(snapshot, same_namespace, &waiters[i], &waits[waiters[i].thread]);
    free(waiters);
    if (waits)
        gmr__lock_cycles(waits, snapshot->thread_count);
    return waits;
}

/* ---- circles ---- */

static size_t index_of(const struct gmr__lock_wait *waits, size_t count, int64_t tid)
{
    for (size_t i = 0; i < count; i++)
        if (waits[i].tid == tid)
            return i;
    return count;
}

void gmr__lock_cycles(struct gmr__lock_wait *waits, size_t count)
{
    /* A walk from each thread along its holders; who meets his own walk is in a circle. */
    unsigned walk = 0;
    for (size_t from = 0; from < count; from++) {
        size_t at = from;
        if (!waits[from].kind || waits[from].follower)
            continue;
        walk++;
        while (at < count && waits[at].kind && !waits[at].timed && !waits[at].follower) {
            waits[at].follower = walk;
            at = index_of(waits, count, waits[at].holder);
        }
        if (at >= count || waits[at].follower != walk)
            continue;
        for (size_t in = at; !waits[in].deadlock; in = index_of(waits, count, waits[in].holder))
            waits[in].deadlock = true;
    }
}
