/*
 * capture/tasks.c - the threads of a process as /proc tells them, before anything is stopped.
 *
 * Inspector only, in the capturing process. Reads /proc alone; nothing here touches the target.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture/tracer.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define PF_IO_WORKER 0x10u /* include/linux/sched.h */
#define STAT_BYTES 1024    /* 52 numbers and a name */
#define PF_USER_WORKER 0x4000u
#define PF_KTHREAD 0x200000u

static bool grow_threads(struct gmr__tracer *tracer)
{
    struct gmr__capture_state *state = tracer->state;
    if (gmr__snapshot_grow(tracer->snapshot, &state->threads, sizeof(*state->threads), &state->thread_cap,
                           state->thread_count + 1))
        return true;
    state->out_of_memory = true;
    return false;
}

bool gmr__task_hopeless(struct gmr__thread *thread, uint32_t flags)
{
    if (flags & PF_KTHREAD)
        thread->reason = "a kernel thread: it has no stack in user space";
    else if (flags & (PF_IO_WORKER | PF_USER_WORKER))
        thread->reason = "a worker thread of the kernel's (io_uring, vhost): it has no stack in user space";
    else if (thread->state == 'Z' || thread->state == 'X')
        thread->reason = "this thread has ended";
    else
        return false;
    thread->quality = GMR__THREAD_NO_STACK;
    return true;
}

bool gmr__task_ended(struct gmr__thread *thread)
{
    thread->quality = GMR__THREAD_NO_STACK;
    thread->reason = "this thread ended meanwhile";
    thread->ended = true;
    return false;
}

static void read_wchan(const struct gmr__dir *tasks, struct gmr__thread *thread)
{
    if (thread->state != 'S' && thread->state != 'D')
        return;
    if (gmr__proc_task_read(tasks, thread->tid, "wchan", thread->wchan, sizeof(thread->wchan)) < 0 ||
        gmr__streq(thread->wchan, "0"))
        thread->wchan[0] = '\0';
}

/* The call of a thread that may not stop, so that its registers can't be asked. "running" and the like: none. */
static void read_call(const struct gmr__dir *tasks, struct gmr__thread *thread)
{
    char text[128];
    const char *at = text;
    uint64_t number;
    if (thread->state == 'D' && gmr__proc_task_read(tasks, thread->tid, "syscall", text, sizeof(text)) > 0 &&
        gmr__parse_uint(&at, &number) && number < 10000)
        thread->syscall = (int64_t)number;
}

/* False: it is gone already. */
static bool describe(const struct gmr__dir *tasks, pid_t tid, struct gmr__thread *thread)
{
    char text[STAT_BYTES];
    struct gmr__proc_stat stat;
    *thread = (struct gmr__thread){.tid = tid, .syscall = -1, .state = '?'};
    ssize_t got = gmr__proc_task_read(tasks, tid, "stat", text, sizeof(text));
    if (got == 0 || got == -ENOENT || got == -ESRCH)
        return false;
    if (got < 0 || gmr__proc_parse_stat(text, &stat) < 0)
        return true; /* it is there; it can be captured without a name */
    size_t length = strnlen(stat.name, sizeof(thread->name) - 1);
    memcpy(thread->name, stat.name, length);
    thread->state = stat.state;
    thread->utime_ticks = stat.utime;
    thread->stime_ticks = stat.stime;
    thread->processor = stat.processor;
    read_wchan(tasks, thread);
    read_call(tasks, thread);
    gmr__task_hopeless(thread, stat.flags);
    return true;
}

static bool make_index(struct gmr__tracer *tracer)
{
    if (tracer->index_of)
        return true;
    void *place = mmap(NULL, (GMR__PID_LIMIT + 1) * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED)
        return false;
    tracer->index_of = place;
    return true;
}

/* Mixed, since the ids of a program's threads may all be even. */
static bool is_ours(const struct gmr__capture_share *share, pid_t tid)
{
    return (uint64_t)((uint32_t)tid * 0x9e3779b1u) * share->count >> 32 == share->which;
}

int gmr__tasks_list(struct gmr__tracer *tracer)
{
    struct gmr__dir dir;
    int tid, added = 0;
    if (!make_index(tracer)) {
        tracer->state->unlisted = true;
        return -ENOMEM;
    }
    int error = gmr__proc_tasks_open(&dir, tracer->proc, tracer->snapshot->pid);
    if (error) {
        tracer->state->unlisted = error != -ENOENT && error != -ESRCH;
        return error;
    }
    while (gmr__dir_next(&dir, &tid)) {
        if (tid <= 0 || tid > GMR__PID_LIMIT || tracer->index_of[tid] || !is_ours(tracer->share, tid))
            continue;
        if (!grow_threads(tracer))
            break;
        struct gmr__capture_state *state = tracer->state;
        if (!describe(&dir, tid, &state->threads[state->thread_count]))
            continue;
        tracer->index_of[tid] = (uint32_t)++state->thread_count;
        state->progress++;
        added++;
    }
    error = dir.error;
    gmr__dir_close(&dir);
    if (error < 0 && error != -ENOENT && error != -ESRCH) { /* these: the process has ended */
        tracer->state->unlisted = true;
        return error;
    }
    return added;
}

static void name_of(const char *proc, pid_t pid, char name[64])
{
    struct gmr__proc_stat stat;
    name[0] = '\0';
    if (gmr__proc_stat(proc, pid, 0, &stat) == 0)
        memcpy(name, stat.name, sizeof(stat.name));
}

static int yama_scope(const char *proc)
{
    char path[GMR__PROC_PATH_MAX], text[8];
    const char *at = text;
    uint64_t scope;
    gmr__proc_path(path, sizeof(path), proc, 0, 0, "sys/kernel/yama/ptrace_scope");
    if (gmr__read_file(path, text, sizeof(text)) <= 0 || !gmr__parse_uint(&at, &scope))
        return 0;
    return (int)scope;
}

const char *gmr__task_denied(struct gmr__tracer *tracer, pid_t tid, int error)
{
    char text[320], name[64];
    struct gmr__proc_status status;
    if (error == ENOSYS) {
        snprintf(text, sizeof(text), "ptrace is not available here (a seccomp filter, or a kernel without it)");
    } else if (gmr__proc_status(tracer->proc, tracer->snapshot->pid, tid, &status) < 0) {
        snprintf(text, sizeof(text), "not permitted to trace it: %s", strerror(error));
    } else if (status.tracer) {
        name_of(tracer->proc, status.tracer, name);
        snprintf(text, sizeof(text), "traced by pid %d (%s): end that first, or look there", status.tracer, name);
    } else if (status.has_ids && geteuid() != 0 && status.uids.real != (unsigned)geteuid()) {
        gmr__user_name("", status.uids.real, name, sizeof(name));
        snprintf(text, sizeof(text), "not permitted to trace a process of user %s: run gmr as that user or as root",
                 name);
    } else if (geteuid() != 0 && yama_scope(tracer->proc) > 0) {
        snprintf(text, sizeof(text), "not permitted to trace it: kernel.yama.ptrace_scope is %d; run gmr as root",
                 yama_scope(tracer->proc));
    } else {
        snprintf(text, sizeof(text),
                 "not permitted to trace it (%s): it is not dumpable, has capabilities that gmr lacks, or a security "
                 "policy forbids it; run gmr as root with CAP_SYS_PTRACE",
                 strerror(error));
    }
    const char *copy = gmr__snapshot_strdup(tracer->snapshot, text);
    return copy ? copy : "not permitted to trace it";
}
