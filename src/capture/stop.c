/*
 * capture/stop.c - one thread: stop it, copy its registers and the used part of its stack, let it go.
 *
 * Inspector only, in the capturing process. Everything between gmr__stop_ask and gmr__stop_release is the target's pause:
 * no allocation but the arena's pointer, no file, no wait but for the stop itself.
 *
 * Any ptrace stop will do to read from (ptrace(2)): the one that INTERRUPT makes, a group stop, or a signal about to be
 * delivered, which is then handed on unchanged by detaching with its number. A thread that accepted INTERRUPT and does not stop
 * (a vfork parent, uninterruptible sleep) can't be detached; it is released when this process ends.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "arch/trace.h"
#include "capture/tracer.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define PTRACE_STOP_EVENT 128 /* PTRACE_EVENT_STOP, linux/ptrace.h */
#define GAP (1u << 20) /* a stack pointer may be so far below its stack: an overflow ran through the guard page */
#define SCAN_BYTES (64u << 10) /* searched for signal frames */
#define MAX_OTHER_STACKS 8
#define TRACED_PAUSE_NS 500000u /* between two tries on a thread that somebody else traces just now */
#define REFUSALS 10
#define TRACED_PAUSES 100 /* of a capture: 50 ms */
#define INTERRUPTIONS 100

static bool fail(struct gmr__thread *thread, const char *reason)
{
    thread->quality = GMR__THREAD_NO_STACK;
    thread->reason = reason;
    return false;
}

/*
 * 0 or the error. A thread can have one tracer only: a second report of the same process holds it for a few microseconds, and may be gone
 * before /proc is asked who it was. So a refusal stands when it came often with no tracer to be seen, or when the tracer stays.
 */
static int seize(struct gmr__tracer *tracer, pid_t tid)
{
    for (int refusals = 0, interruptions = 0;;) {
        if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0)
            return 0;
        struct gmr__proc_status status;
        int error = errno;
        /* A supervisor of system calls (a container's) that is asked about this one lets the ticking timer interrupt it. */
        if (error == EINTR && ++interruptions < INTERRUPTIONS)
            continue;
        if (error != EPERM || tracer->state->denied ||
            gmr__proc_status(tracer->proc, tracer->snapshot->pid, tid, &status) < 0)
            return error;
        if (status.tracer == 0) {
            if (++refusals == REFUSALS)
                return error;
            continue;
        }
        /* Threads that stand already, where all are stopped together, wait for nobody. */
        if (tracer->stop_all || tracer->traced_pauses >= TRACED_PAUSES)
            return error;
        tracer->traced_pauses++;
        gmr__sleep_ns(TRACED_PAUSE_NS);
    }
}

/* Between the list of threads and now it ended, and its number became another process's. */
static bool is_a_stranger(const struct gmr__tracer *tracer, pid_t tid)
{
    char name[16];
    struct gmr__buf text;
    struct stat status;
    gmr__buf_init(&text, name, sizeof(name));
    gmr__buf_uint(&text, (uint64_t)tid);
    long error = GMR__SYS(SYS_newfstatat, tracer->tasks_fd, name, &status, AT_SYMLINK_NOFOLLOW, 0, 0);
    return tracer->tasks_fd >= 0 && (error == -ENOENT || error == -ESRCH);
}

/* It feels as little of us as a thread that is copied. Should it not stop in time, our end lets it go. */
static void let_go(struct gmr__tracer *tracer, struct gmr__thread *thread)
{
    struct gmr__stopped stopped;
    int signal = 0;
    tracer->index_of[thread->tid] = 0;
    if (ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) != 0 ||
        gmr__stop_wait(thread, gmr__tracer_now_ns() + tracer->thread_deadline_ns, &signal) != GMR__STOP_STANDS)
        return;
    gmr__arch_stopped(thread->tid, &stopped); /* heals its system call */
    ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(long)signal);
}

bool gmr__stop_ask(struct gmr__tracer *tracer, size_t index)
{
    struct gmr__thread *thread = &tracer->state->threads[index];
    int error = seize(tracer, thread->tid);
    if (error != 0) {
        struct gmr__proc_stat stat;
        if (error == ESRCH || gmr__proc_stat(tracer->proc, tracer->snapshot->pid, thread->tid, &stat) < 0)
            return gmr__task_ended(thread);
        thread->state = stat.state;
        if (gmr__task_hopeless(thread, stat.flags))
            return false;
        /* One look at why is enough: with 10,000 threads the answer would be the same each time. */
        if (!tracer->state->denied)
            tracer->state->denied = gmr__task_denied(tracer, thread->tid, error);
        return fail(thread, tracer->state->denied);
    }
    if (is_a_stranger(tracer, thread->tid)) {
        let_go(tracer, thread);
        return gmr__task_ended(thread);
    }
    if (ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) != 0)
        return gmr__task_ended(thread);
    return true;
}

int gmr__stop_signal(struct gmr__thread *thread, int status)
{
    if (status >> 16 != PTRACE_STOP_EVENT)
        return WSTOPSIG(status);
    /* A group stop (SIGSTOP): released, it goes back into it; a look at /proc in that moment shows it running. */
    if (WSTOPSIG(status) != SIGTRAP)
        thread->state = 'T';
    return 0;
}

enum gmr__stop gmr__stop_wait(struct gmr__thread *thread, uint64_t deadline_ns, int *signal)
{
    for (;;) {
        int status;
        pid_t got = waitpid(thread->tid, &status, __WALL); /* the tracer's ticking timer interrupts it */
        if (got == thread->tid) {
            if (!WIFSTOPPED(status))
                return GMR__STOP_GONE;
            *signal = gmr__stop_signal(thread, status);
            return GMR__STOP_STANDS;
        }
        if (got < 0 && errno != EINTR)
            return GMR__STOP_GONE;
        if (gmr__tracer_now_ns() >= deadline_ns)
            return GMR__STOP_TIMEOUT;
    }
}

/* From the target's memory into the arena; how many bytes could be read from the start on. */
static size_t read_memory(struct gmr__tracer *tracer, pid_t tid, uint64_t address, void *to, size_t bytes)
{
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)address, bytes};
    if (tracer->memory_fd == -1) {
        ssize_t got = GMR__SYS(SYS_process_vm_readv, tid, &local, 1, &remote, 1, 0);
        if (got >= 0)
            return (size_t)got;
        if (got != -EPERM && got != -ENOSYS)
            return 0;
        char path[GMR__PROC_PATH_MAX]; /* a seccomp filter of a container's: the file does the same */
        tracer->memory_fd =
            gmr__open(gmr__proc_path(path, sizeof(path), tracer->proc, tracer->snapshot->pid, tid, "mem"), O_RDONLY);
        if (tracer->memory_fd < 0)
            tracer->memory_fd = -2;
    }
    if (tracer->memory_fd < 0)
        return 0;
    ssize_t got = gmr__pread(tracer->memory_fd, to, bytes, (int64_t)address);
    return got > 0 ? (size_t)got : 0;
}

/* The part of memory that a stack with this stack pointer takes: [*from, *end). False: there is none. */
static bool stack_range(const struct gmr__snapshot *snapshot, uint64_t sp, uint64_t *from, uint64_t *end)
{
    *from = sp - gmr__arch_red_zone;
    const struct gmr__map *map = gmr__snapshot_map(snapshot, sp), *last = snapshot->maps + snapshot->map_count;
    if (!map || !map->read) {
        /* In a guard page or just below the stack. */
        const struct gmr__map *next = map ? map + 1 : NULL;
        for (size_t low = 0, high = snapshot->map_count; !map && low <= high;) {
            size_t middle = low + (high - low) / 2;
            next = snapshot->maps + middle;
            if (low == high)
                break;
            if (next->start < sp)
                low = middle + 1;
            else
                high = middle;
        }
        if (next >= last || next->start - sp > GAP || !next->read)
            return false;
        map = next;
    }
    if (*from < map->start || *from > sp)
        *from = map->start;
    *end = map->end;
    return true;
}

static struct gmr__segment copy_range(struct gmr__tracer *tracer, struct gmr__thread *thread, uint64_t from,
                                      uint64_t end, bool lasting)
{
    struct gmr__segment segment = {.address = from};
    size_t bytes = end - from < tracer->stack_bytes ? (size_t)(end - from) : tracer->stack_bytes;
    unsigned char *room = gmr__copies_room(tracer, bytes, lasting);
    if (!room) {
        tracer->state->out_of_memory = true;
        thread->reason = "gmr ran out of memory for the copy of its stack";
        thread->quality = GMR__THREAD_TRUNCATED;
        return segment;
    }
    size_t got = read_memory(tracer, thread->tid, from, room, bytes);
    gmr__copies_claim(tracer, room, got, bytes);
    segment.data = room;
    segment.bytes = (uint32_t)got;
    tracer->snapshot->copied_bytes += got;
    return segment;
}

static bool add_extra(struct gmr__tracer *tracer, struct gmr__segment segment)
{
    struct gmr__capture_state *state = tracer->state;
    if (!gmr__snapshot_grow(tracer->snapshot, &state->extra, sizeof(*state->extra), &state->extra_cap,
                            state->extra_count + 1))
        return false;
    state->extra[state->extra_count++] = segment;
    return true;
}

static bool holds(const struct gmr__segment *segment, uint64_t address)
{
    return address >= segment->address && address - segment->address < segment->bytes;
}

/* A handler on an alternate stack: the stack it interrupted is copied, too; it may have been on one itself. */
static void copy_interrupted(struct gmr__tracer *tracer, struct gmr__thread *thread, struct gmr__segment piece)
{
    struct gmr__segment pieces[MAX_OTHER_STACKS + 1] = {piece};
    size_t count = 1;
    for (size_t i = 0; i < count; i++) {
        size_t scan = pieces[i].bytes < SCAN_BYTES ? pieces[i].bytes : SCAN_BYTES;
        uint64_t sp, pc, from, end;
        for (ptrdiff_t at = 0; count <= MAX_OTHER_STACKS; at += 16) {
            at = gmr__arch_find_signal_frame(pieces[i].data, scan, (size_t)at, pieces[i].address, &sp, &pc);
            if (at < 0)
                break;
            bool known = false;
            for (size_t k = 0; k < count; k++)
                known = known || holds(&pieces[k], sp);
            if (known || !stack_range(tracer->snapshot, sp, &from, &end))
                continue;
            for (size_t k = 0; k < count; k++) /* the alternate stack lies further up in the same memory */
                if (pieces[k].address > from && pieces[k].address < end)
                    end = pieces[k].address;
            struct gmr__segment other = copy_range(tracer, thread, from, end, true);
            if (other.bytes && add_extra(tracer, other))
                pieces[count++] = other;
        }
    }
}

/* The thread control block is the upper end of the stack that a thread library made; nothing above it is a frame. A green thread's stack may lie in
 * a mapping with thousands of others, which would be copied along. */
static uint64_t own_end(struct gmr__tracer *tracer, uint64_t sp, uint64_t end, uint64_t thread_pointer)
{
    const struct gmr__capture_options *options = tracer->options;
    if (thread_pointer > sp && thread_pointer < end)
        return thread_pointer;
    const struct gmr__map *map = options->stack_end ? gmr__snapshot_map(tracer->snapshot, sp) : NULL;
    uint64_t own = map && strcmp(map->path, "[stack]") != 0 ? options->stack_end(sp, options->userdata) : 0;
    return own > sp && own < end ? own : end;
}

static void copy_stack(struct gmr__tracer *tracer, size_t index, uint64_t thread_pointer)
{
    struct gmr__thread *thread = &tracer->state->threads[index];
    uint64_t sp = thread->regs.value[gmr__arch_sp], from, end;
    if (!stack_range(tracer->snapshot, sp, &from, &end)) {
        /* Mapped since the map was read, most likely: a thread born meanwhile. The copy ends at the first hole. */
        tracer->state->maps_stale = true;
        from = sp - gmr__arch_red_zone;
        end = from + (256u << 10);
    } else {
        thread->stack_limit = end;
    }
    end = own_end(tracer, sp, end, thread_pointer);
    thread->stack = copy_range(tracer, thread, from, end, tracer->asked_ns && tracer->asked_ns[index]);
    if (thread->stack.bytes < end - from && !thread->reason && (thread->stack_limit || !thread->stack.bytes)) {
        thread->quality = GMR__THREAD_TRUNCATED;
        thread->reason = !thread->stack.bytes ? "the memory its stack pointer names can't be read"
                         : thread->stack.bytes == tracer->stack_bytes ? "only the limit's part of its stack was copied"
                                                                      : "a part of its stack can't be read";
    }
    if (thread->stack.bytes)
        copy_interrupted(tracer, thread, thread->stack);
}

void gmr__stop_copy(struct gmr__tracer *tracer, size_t index)
{
    struct gmr__thread *thread = &tracer->state->threads[index];
    struct gmr__stopped stopped;
    if (gmr__arch_stopped(thread->tid, &stopped) != 0) {
        gmr__task_ended(thread);
        return;
    }
    thread->quality = GMR__THREAD_WHOLE;
    thread->reason = NULL;
    if (stopped.foreign) { /* its numbers of calls are others, too */
        fail(thread, "it runs 32-bit code, whose stacks gmr does not read");
        return;
    }
    thread->syscall = stopped.syscall;
    thread->regs = stopped.regs;
    copy_stack(tracer, index, stopped.thread_pointer);
    if (thread->stack.bytes)
        tracer->state->live_tid = thread->tid;
}

void gmr__stop_release(struct gmr__tracer *tracer, size_t index, int signal, uint64_t since_ns)
{
    struct gmr__thread *thread = &tracer->state->threads[index];
    ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(long)signal);
    thread->pause_ns = gmr__tracer_now_ns() - since_ns;
}
