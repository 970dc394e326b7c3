/*
 * capture/ptrace.c - the snapshot of a live process.
 *
 * Inspector only. Two forked processes do the work: the first reads the memory map (which may wait for the target's mmap lock), the
 * second holds threads (tracer.c). Both write into the snapshot's arena, are watched for progress, and are killed when there is none; a killed
 * one leaves what it had. The inspector itself stays single-threaded: fork without exec is safe only then.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/tracer.h"
#include "sys/proc.h"
#include "sys/sys.h"

struct job {
    struct gmr__snapshot *snapshot;
    struct gmr__capture_state *state;
    const struct gmr__capture_options *options;
    const char *proc;
    bool stop_all;
    uint64_t mapped_bytes; /* just before the map was read */
};

/* ---------------------------------------------------------------------------------------- processes of our own */

/* Waits for its end as long as progress moves. False: it had to be killed. */
static bool watch(pid_t child, struct job *job)
{
    uint64_t stall_ns = (job->options->stall_ms ? job->options->stall_ms : 3000) * 1000000ULL;
    uint64_t seen = 0, moved_ns = gmr__now_ns(), pause_ns = 50000;
    int pidfd = (int)GMR__SYS(SYS_pidfd_open, child, 0, 0, 0, 0, 0); /* Linux 5.3 */
    bool ended = false;
    for (;;) {
        int status;
        pid_t got = waitpid(child, &status, WNOHANG);
        if (got == child || (got < 0 && errno == ECHILD)) {
            ended = got < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
            break;
        }
        uint64_t now = gmr__now_ns(), progress = __atomic_load_n(&job->state->progress, __ATOMIC_RELAXED);
        if (progress != seen) {
            seen = progress;
            moved_ns = now;
        }
        /* Past the deadline it stops by itself; a second more is for a hang. */
        bool late = job->options->deadline_ns && now > job->options->deadline_ns + 1000000000ULL;
        if (late || now - moved_ns > stall_ns) {
            kill(child, SIGKILL);
            for (int i = 0; i < 200 && waitpid(child, &status, WNOHANG) == 0; i++)
                gmr__sleep_ns(5000000);
            break;
        }
        if (pidfd >= 0) {
            struct pollfd fds[2] = {{pidfd, POLLIN, 0}, {job->options->serve_fd, POLLIN, 0}};
            int ready = gmr__poll(fds, job->options->serve ? 2 : 1, 100);
            if (ready > 0 && fds[1].revents & POLLIN)
                job->options->serve(job->snapshot, job->state->threads, job->options->userdata);
        } else {
            gmr__sleep_ns(pause_ns);
            pause_ns = pause_ns < 5000000 ? pause_ns * 2 : pause_ns;
        }
    }
    if (pidfd >= 0)
        gmr__close(pidfd);
    return ended;
}

static int run_apart(struct job *job, void (*work)(struct job *))
{
    pid_t parent = getpid(), child = fork();
    if (child < 0) { /* RLIMIT_NPROC, memory: done here, a thread that never stops is let go when the inspector ends */
        work(job);
        return 0;
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        work(job);
        _exit(0); /* not exit: buffers and atexit handlers are the inspector's */
    }
    return watch(child, job) ? 0 : -ETIMEDOUT;
}

/* ---------------------------------------------------------------------------------------- memory of the live target */

static int read_live(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    const pid_t *tid = snapshot->read_live_data;
    const struct gmr__map *map = gmr__snapshot_map(snapshot, address);
    /* What can be written has changed since the copy was made: better nothing than a mix of two moments. */
    if (!map || map->write || !map->read)
        return -EFAULT;
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)address, bytes};
    ssize_t got = GMR__SYS(SYS_process_vm_readv, *tid, &local, 1, &remote, 1, 0);
    return got == (ssize_t)bytes ? 0 : -EFAULT;
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
        if (!place || GMR__SYS(SYS_process_vm_readv, tid, &local, 1, &remote, 1, 0) != (long)segment.bytes)
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

static void read_maps(struct job *job)
{
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
    return gmr__proc_stat(job->proc, job->snapshot->pid, job->state->live_tid, &stat) == 0 ? stat.virtual_bytes : 0;
}

static void hold_threads(struct job *job)
{
    gmr__tracer_run(job->snapshot, job->state, job->options, job->stop_all);
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

static const char *problem_of(struct job *job, int error)
{
    const struct gmr__capture_state *state = job->state;
    const struct gmr__snapshot *snapshot = job->snapshot;
    if (state->denied)
        return state->denied;
    if (error == -ETIMEDOUT)
        return "the capture hung and was given up: the target's memory is probably locked by a thread that hangs in "
               "the "
               "kernel; see the threads in state D";
    if (state->out_of_memory)
        return "gmr ran out of memory for the copy; a lower limit of bytes for each stack helps";
    if (state->exhausted)
        return "not every thread was reached before the deadline; a later deadline helps";
    if (state->unstable)
        return "threads came and went faster than they could be listed: some are missing";
    if (state->maps_error && !snapshot->map_count)
        return "its memory map can't be read: run gmr as its user or as root";
    if (snapshot->thread_count == 1 && snapshot->threads[0].quality == GMR__THREAD_NO_STACK)
        return snapshot->threads[0].reason;
    return NULL;
}

static void finish(struct job *job, int error)
{
    struct gmr__snapshot *snapshot = job->snapshot;
    struct gmr__capture_state *state = job->state;
    snapshot->threads = state->threads;
    snapshot->thread_count = state->thread_count;
    sorting_leader = snapshot->pid;
    if (snapshot->thread_count)
        qsort(snapshot->threads, snapshot->thread_count, sizeof(*snapshot->threads), by_tid);
    measure_pauses(snapshot);
    /* Threads ran while others were captured: what they mapped meanwhile is to be known, too. */
    if (state->maps_stale || mapped_bytes(job) != job->mapped_bytes)
        run_apart(job, read_maps);
    gmr__snapshot_add_extra(snapshot, state->extra, state->extra_count);
    copy_vdso(snapshot, state->live_tid);
    snapshot->problem = problem_of(job, error);
}

int gmr__capture_ptrace(pid_t pid, const struct gmr__capture_options *options, struct gmr__snapshot **out)
{
    static const struct gmr__capture_options defaults;
    if (!out || pid <= 0)
        return -EINVAL;
    *out = NULL;
    options = options ? options : &defaults;
    struct job job = {
        .options = options, .proc = options->proc ? options->proc : "/proc", .stop_all = options->stop_all};
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
    job.snapshot->method = "ptrace";
    job.state->live_tid = pid;
    job.snapshot->read_live = read_live;
    job.snapshot->read_live_data = &job.state->live_tid;
    describe_files(job.snapshot, job.proc);
    job.mapped_bytes = mapped_bytes(&job);
    run_apart(&job, read_maps);
    if (options->before && options->before(job.snapshot, options->userdata))
        job.stop_all = true;
    int error = run_apart(&job, hold_threads);
    if (!job.state->thread_count && gmr__proc_status(job.proc, pid, 0, &status) < 0) {
        gmr__snapshot_free(job.snapshot);
        return -ESRCH;
    }
    finish(&job, error);
    *out = job.snapshot;
    return 0;
}
