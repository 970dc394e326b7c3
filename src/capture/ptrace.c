/*
 * capture/ptrace.c - the snapshot of a live process.
 *
 * Inspector only. Processes of their own do the work (apart.c): the first reads the memory map, which may wait for the target's mmap lock; then
 * one, or two where there are many threads, hold threads (tracer.c). They write into the arenas of snapshots; a killed one leaves what it
 * had. While they run, this one takes the stacks that they hand over, if the caller wants them so.
 */
#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "capture/apart.h"
#include "capture/tracer.h"
#include "sys/pin.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define MANY_THREADS 128 /* fewer take less time than a second process is worth */

struct job;
struct work {
    struct job *job;
    struct gmr__capture_share share;
};

struct job {
    struct gmr__snapshot *snapshot;
    struct gmr__capture_state *state; /* of the first share */
    const struct gmr__capture_options *options;
    const char *proc;
    enum gmr__capture_stop stop;
    struct work works[GMR__APART_MAX];
    unsigned count;
    uint64_t mapped_bytes; /* just before the map was read */
    uint64_t threads;      /* then */
    bool moving;           /* the processes may choose their processors */
};

/* ---------------------------------------------------------------------------------------- processes of our own */

/* The inspector: takes a batch. */
static void drain(struct job *job, struct gmr__capture_share *share)
{
    struct gmr__capture_state *state = share->state;
    uint64_t count, one = 1;
    gmr__read(share->ask_fd, &count, sizeof(count));
    if (__atomic_load_n(&state->handed, __ATOMIC_ACQUIRE) == state->drained || state->keep)
        return;
    struct gmr__batch batch = state->batch;
    for (size_t i = batch.first; i < batch.end && !state->keep; i++)
        if (batch.threads[i].stack.data >= batch.low && batch.threads[i].stack.data < batch.high &&
            !job->options->drain(job->snapshot, &batch.threads[i], job->options->drain_userdata))
            __atomic_store_n(&state->keep, true, __ATOMIC_RELEASE);
    if (!state->keep) {
        state->drained_end = batch.end;
        __atomic_store_n(&state->drained, state->drained + 1, __ATOMIC_RELEASE);
    }
    gmr__write(share->answer_fd, &one, sizeof(one));
}

static void hold_threads(void *userdata)
{
    struct work *work = userdata;
    struct job *job = work->job;
    gmr__tracer_run(&work->share, job->options, job->stop == GMR__CAPTURE_TOGETHER);
}

static void serve(void *userdata, unsigned which)
{
    struct job *job = userdata;
    if (which < GMR__APART_MAX)
        drain(job, &job->works[which].share);
    else
        job->options->serve(job->snapshot, job->state->threads, job->options->userdata);
}

static bool run_apart(struct job *job, void (*work)(void *), unsigned count)
{
    struct gmr__apart apart = {
        .moving = work == hold_threads && job->moving,
        .stall_ns = (job->options->stall_ms ? job->options->stall_ms : 3000) * 1000000ULL,
        .deadline_ns = job->options->deadline_ns,
        .serve = serve,
        .serve_userdata = job,
    };
    struct gmr__apart_worker workers[GMR__APART_MAX];
    for (unsigned i = 0; i < GMR__APART_MAX; i++) {
        apart.serve_fd[i] = job->works[i].share.ask_fd;
        workers[i] = (struct gmr__apart_worker){
            .work = work, .userdata = &job->works[i], .progress = &job->works[i < count ? i : 0].share.state->progress};
    }
    apart.serve_fd[GMR__APART_MAX] = job->options->serve ? job->options->serve_fd : -1;
    return gmr__apart_run(&apart, workers, count);
}

/* ---------------------------------------------------------------------------------------- memory of the live target */

static int read_memory(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    const pid_t *tid = snapshot->read_live_data;
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)address, bytes};
    ssize_t got = GMR__SYS(SYS_process_vm_readv, *tid, &local, 1, &remote, 1, 0);
    return got == (ssize_t)bytes && !gmr__pinned_gone(snapshot->pid, *tid) ? 0 : -EFAULT;
}

static int read_live(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    const struct gmr__map *map = gmr__snapshot_map(snapshot, address);
    /* What can be written has changed since the copy was made: better nothing than a mix of two moments. */
    return map && !map->write && map->read ? read_memory(snapshot, address, to, bytes) : -EFAULT;
}

static int read_code(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    const struct gmr__map *map = gmr__snapshot_map(snapshot, address);
    return map && map->exec && map->read ? read_memory(snapshot, address, to, bytes) : -EFAULT;
}

static void copy_vdso(struct gmr__snapshot *snapshot, pid_t tid)
{
    for (size_t i = 0; i < snapshot->map_count; i++) {
        const struct gmr__map *map = &snapshot->maps[i];
        if (strcmp(map->path, "[vdso]") != 0)
            continue;
        struct gmr__segment segment = {.address = map->start, .bytes = (uint32_t)(map->end - map->start)};
        void *place = gmr__snapshot_alloc(snapshot, segment.bytes);
        struct iovec local = {place, segment.bytes}, remote = {(void *)(uintptr_t)map->start, segment.bytes};
        if (!place || GMR__SYS(SYS_process_vm_readv, tid, &local, 1, &remote, 1, 0) != (long)segment.bytes ||
            gmr__pinned_gone(snapshot->pid, tid))
            return;
        segment.data = place;
        gmr__snapshot_add_extra(snapshot, &segment, 1);
    }
}

/* ---------------------------------------------------------------------------------------- before and after */

/* A thread other than the leader that lives, for what /proc tells only of the living. */
static pid_t living_thread(const char *proc, pid_t pid)
{
    struct gmr__dir dir;
    int tid;
    pid_t found = 0;
    if (gmr__proc_tasks_open(&dir, proc, pid))
        return 0;
    while (!found && gmr__dir_next(&dir, &tid)) {
        struct gmr__proc_stat stat;
        if (tid != pid && gmr__proc_stat(proc, pid, tid, &stat) == 0 && stat.state != 'Z' && stat.state != 'X')
            found = tid;
    }
    gmr__dir_close(&dir);
    return found;
}

static void read_maps(void *userdata)
{
    struct job *job = ((struct work *)userdata)->job;
    job->state->live_tid = job->snapshot->pid;
    job->state->maps_error = gmr__snapshot_read_maps(job->snapshot, job->proc, 0);
    if (job->snapshot->map_count)
        return;
    pid_t tid = living_thread(job->proc, job->snapshot->pid);
    if (!tid)
        return;
    job->state->live_tid = tid;
    job->state->maps_error = gmr__snapshot_read_maps(job->snapshot, job->proc, tid);
}

static uint64_t mapped_bytes(struct job *job)
{
    struct gmr__proc_stat stat;
    if (gmr__proc_stat(job->proc, job->snapshot->pid, job->state->live_tid, &stat) != 0)
        return 0;
    job->threads = stat.threads;
    return stat.virtual_bytes;
}

/* ---------------------------------------------------------------------------------------- shares */

static bool several_processors(void)
{
    cpu_set_t set; /* more processors than it has room for: EINVAL */
    return sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) > 1;
}

/* Two processes take half the time, where nobody has to see the threads stand. */
static void share_out(struct job *job)
{
    struct gmr__snapshot *second = NULL;
    struct gmr__capture_state *state = NULL;
    struct gmr__proc_status own;
    job->count = 1;
    /* A seccomp filter inherited from the target may kill for an unusual call. */
    job->moving = gmr__proc_status("/proc", getpid(), 0, &own) == 0 && own.seccomp <= 0;
    job->works[0].share.moving = job->moving;
    if (job->stop != GMR__CAPTURE_PLAIN)
        return;
    if (job->threads >= MANY_THREADS && several_processors())
        second = gmr__snapshot_new(job->snapshot->pid);
    if (second) {
        gmr__snapshot_adopt(job->snapshot, second);
        state = gmr__snapshot_alloc(second, sizeof(*state));
    }
    if (state) {
        second->maps = job->snapshot->maps;
        second->map_count = job->snapshot->map_count;
        state->live_tid = job->snapshot->pid;
        job->works[1].share.snapshot = second;
        job->works[1].share.state = state;
        job->count = 2;
    }
    for (unsigned i = 0; i < job->count; i++) {
        struct gmr__capture_share *share = &job->works[i].share;
        share->which = i;
        share->count = job->count;
        share->moving = job->moving;
        if (!job->options->drain)
            continue;
        share->ask_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        share->answer_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (share->answer_fd < 0 && share->ask_fd >= 0) {
            gmr__close(share->ask_fd);
            share->ask_fd = -1;
        }
    }
}

static void close_eventfds(struct job *job)
{
    for (unsigned i = 0; i < GMR__APART_MAX; i++) {
        struct gmr__capture_share *share = &job->works[i].share;
        if (share->ask_fd >= 0)
            gmr__close(share->ask_fd);
        if (share->answer_fd >= 0)
            gmr__close(share->answer_fd);
        share->ask_fd = share->answer_fd = -1;
    }
}

/* Copies that were handed over are gone, whoever took them knows what they were. */
static void forget_drained(const struct gmr__capture_state *state)
{
    for (size_t i = 0; i < state->drained_end && i < state->thread_count; i++)
        if (state->threads[i].stack.data >= state->area && state->threads[i].stack.data < state->area_end)
            state->threads[i].stack.data = NULL;
}

static void join_threads(struct job *job)
{
    struct gmr__snapshot *snapshot = job->snapshot;
    size_t count = 0, at = 0;
    for (unsigned i = 0; i < job->count; i++) {
        forget_drained(job->works[i].share.state);
        count += job->works[i].share.state->thread_count;
    }
    struct gmr__thread *threads = job->count > 1 ? gmr__snapshot_alloc(snapshot, (count + 1) * sizeof(*threads)) : NULL;
    if (!threads) {
        snapshot->threads = job->state->threads;
        snapshot->thread_count = job->state->thread_count;
        job->state->out_of_memory |= job->count > 1;
        return;
    }
    for (unsigned i = 0; i < job->count; i++) {
        const struct gmr__capture_state *state = job->works[i].share.state;
        if (state->thread_count)
            memcpy(threads + at, state->threads, state->thread_count * sizeof(*threads));
        at += state->thread_count;
    }
    snapshot->threads = threads;
    snapshot->thread_count = count;
}

/* Into the first state, what the others found out. */
static void join_states(struct job *job)
{
    for (unsigned i = 1; i < job->count; i++) {
        const struct gmr__capture_state *state = job->works[i].share.state;
        if (job->state->live_tid == job->snapshot->pid)
            job->state->live_tid = state->live_tid;
        job->state->maps_stale |= state->maps_stale;
        job->state->unlisted |= state->unlisted;
        job->state->unstable |= state->unstable;
        job->state->out_of_memory |= state->out_of_memory;
        job->state->exhausted |= state->exhausted;
        if (!job->state->denied)
            job->state->denied = state->denied;
        job->snapshot->copied_bytes += job->works[i].share.snapshot->copied_bytes;
    }
}

static void describe_files(struct gmr__snapshot *snapshot, const char *proc)
{
    char text[4200];
    if (gmr__proc_readlink(proc, snapshot->pid, 0, "exe", text, sizeof(text)) > 0) {
        const char *copy = gmr__snapshot_strdup(snapshot, text);
        snapshot->exe = copy ? copy : "";
    }
    uint64_t auxv[64];
    ssize_t got = gmr__proc_read(proc, snapshot->pid, 0, "auxv", (char *)auxv, sizeof(auxv));
    for (ssize_t i = 0; i + 1 < got / (ssize_t)sizeof(*auxv); i += 2)
        if (auxv[i] == AT_ENTRY)
            snapshot->entry = auxv[i + 1];
    gmr__proc_path(text, sizeof(text), proc, snapshot->pid, 0, "root");
    const char *copy = gmr__snapshot_strdup(snapshot, text);
    snapshot->root = copy ? copy : "";
}

static pid_t sorting_leader;

static int by_tid(const void *a, const void *b)
{
    const struct gmr__thread *x = a, *y = b;
    if ((x->tid == sorting_leader) != (y->tid == sorting_leader))
        return x->tid == sorting_leader ? -1 : 1;
    return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void measure_pauses(struct gmr__snapshot *snapshot)
{
    uint64_t *pauses = malloc((snapshot->thread_count + 1) * sizeof(*pauses));
    size_t count = 0;
    for (size_t i = 0; pauses && i < snapshot->thread_count; i++)
        if (snapshot->threads[i].pause_ns)
            pauses[count++] = snapshot->threads[i].pause_ns;
    if (count) {
        qsort(pauses, count, sizeof(*pauses), by_value);
        snapshot->pause_median_ns = pauses[count / 2];
        snapshot->pause_max_ns = pauses[count - 1];
    }
    free(pauses);
}

static const char *problem_of(struct job *job, bool hung)
{
    const struct gmr__capture_state *state = job->state;
    const struct gmr__snapshot *snapshot = job->snapshot;
    if (state->denied)
        return state->denied;
    if (hung)
        return "the capture hung and was given up: the target's memory is probably locked by a thread that hangs in "
               "the "
               "kernel; see the threads in state D";
    if (state->out_of_memory)
        return "gmr ran out of memory for the copy; a lower limit of bytes for each stack helps";
    if (state->exhausted)
        return "not every thread was reached before the deadline; a later deadline helps";
    if (state->unlisted)
        return "its threads could not all be listed: some are missing";
    if (state->unstable)
        return "threads came and went faster than they could be listed: some are missing";
    if (state->maps_error && !snapshot->map_count)
        return "its memory map can't be read: run gmr as its user or as root";
    if (snapshot->thread_count == 1 && snapshot->threads[0].quality == GMR__THREAD_NO_STACK)
        return snapshot->threads[0].reason;
    return NULL;
}

static void finish(struct job *job, bool hung)
{
    struct gmr__snapshot *snapshot = job->snapshot;
    struct gmr__capture_state *state = job->state;
    join_threads(job);
    join_states(job);
    sorting_leader = snapshot->pid;
    if (snapshot->thread_count)
        qsort(snapshot->threads, snapshot->thread_count, sizeof(*snapshot->threads), by_tid);
    measure_pauses(snapshot);
    /* Threads ran while others were captured: what they mapped meanwhile is to be known, too. */
    if (state->maps_stale || mapped_bytes(job) != job->mapped_bytes)
        run_apart(job, read_maps, 1);
    for (unsigned i = 0; i < job->count; i++)
        gmr__snapshot_add_extra(snapshot, job->works[i].share.state->extra, job->works[i].share.state->extra_count);
    copy_vdso(snapshot, state->live_tid);
    snapshot->problem = problem_of(job, hung);
}

/* Who asks for something while threads are held, and how they are to stand. */
static void prepare(struct job *job)
{
    const struct gmr__capture_options *options = job->options;
    enum gmr__capture_stop wanted = GMR__CAPTURE_PLAIN;
    if (options->before)
        wanted = options->before(job->snapshot, options->userdata);
    else if (options->stopped)
        wanted = GMR__CAPTURE_EACH;
    job->stop = options->stop_all ? GMR__CAPTURE_TOGETHER : wanted;
    share_out(job);
}

int gmr__capture_ptrace(pid_t pid, const struct gmr__capture_options *options, struct gmr__snapshot **out)
{
    static const struct gmr__capture_options defaults;
    if (!out || pid <= 0)
        return -EINVAL;
    *out = NULL;
    options = options ? options : &defaults;
    struct job job = {.options = options, .proc = options->proc ? options->proc : "/proc"};
    struct gmr__proc_status status;
    if (gmr__proc_status(job.proc, pid, 0, &status) < 0)
        return -ESRCH;
    if (status.tgid > 0)
        pid = status.tgid; /* a thread's id names its process */
    job.snapshot = gmr__snapshot_new(pid);
    job.state = job.snapshot ? gmr__snapshot_alloc(job.snapshot, sizeof(*job.state)) : NULL;
    if (!job.state) {
        gmr__snapshot_free(job.snapshot);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < GMR__APART_MAX; i++)
        job.works[i] = (struct work){&job, {job.snapshot, job.state, 0, 1, false, -1, -1}};
    job.snapshot->method = "ptrace";
    job.state->live_tid = pid;
    job.snapshot->read_live = read_live;
    job.snapshot->read_code = read_code;
    job.snapshot->read_live_data = &job.state->live_tid;
    describe_files(job.snapshot, job.proc);
    job.mapped_bytes = mapped_bytes(&job);
    run_apart(&job, read_maps, 1);
    prepare(&job);
    bool hung = !run_apart(&job, hold_threads, job.count);
    close_eventfds(&job);
    if (!job.state->thread_count && gmr__proc_status(job.proc, pid, 0, &status) < 0) {
        gmr__snapshot_free(job.snapshot);
        return -ESRCH;
    }
    finish(&job, hung);
    *out = job.snapshot;
    return 0;
}
