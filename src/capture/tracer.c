/*
 * capture/tracer.c - the capturing process: every thread of the target, one after the other or all at once.
 *
 * Inspector only. Forked for one capture and gone right after it, because that is the one way to release a thread that accepted a stop
 * and never came to it. It dies with the inspector, too. It allocates from the snapshot's arena alone.
 *
 * A thread that does not stop in time is left for later: should it come to a stop while others are captured, it is taken then, lest it
 * stand until the end. A process with many such threads (a dead network file system) is not waited for one by one: after a few, and for
 * threads in uninterruptible sleep from the first, they are told to stop and looked at once more at the end, together. Those that merely
 * wait for a processor are waited for longer: let go before they stood, their system calls could not be healed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "arch/calls.h"
#include "capture/tracer.h"
#include "sys/grow.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define TICK_US 5000 /* how often a wait looks at its deadline */
#define PATIENCE_NS 450000000ULL
#define PATIENT_TIMEOUTS 4 /* threads waited for one by one before the rest is waited for together */
#define MAX_ROUNDS 64      /* of listing threads */
#define LATE_PATIENCE_NS 2000000000ULL
#define DISK_PATIENCE_NS \
    500000000ULL /* a busy disk's; one that hangs (a dead server's) costs the report so much, the target nothing */
#define SETTLE_PAUSE_NS 1000000u
#define USUAL_STACK (8u << 10)
#define MOST_AHEAD (16u << 20)

static void nothing(int signal)
{
    (void)signal;
}

static void start_ticking(void)
{
    struct sigaction action = {.sa_handler = nothing}; /* no SA_RESTART: waitpid is to be interrupted */
    sigaction(SIGALRM, &action, NULL);
    /* waitpid needs no signal to tell of a stop; without this each stop queues one. */
    action = (struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
    sigaction(SIGCHLD, &action, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    struct itimerval every = {{0, TICK_US}, {0, TICK_US}};
    setitimer(ITIMER_REAL, &every, NULL);
}

static bool out_of_time(struct gmr__tracer *tracer)
{
    if (tracer->options->deadline_ns && gmr__tracer_now_ns() >= tracer->options->deadline_ns)
        tracer->state->exhausted = true;
    return tracer->state->exhausted || tracer->state->out_of_memory;
}

static void set_unstoppable(struct gmr__thread *thread)
{
    thread->quality = GMR__THREAD_NO_STACK;
    const char *call = gmr__arch_call_name((long)thread->syscall);
    if (thread->state == 'D' && call && (strcmp(call, "vfork") == 0 || strncmp(call, "clone", 5) == 0))
        thread->reason =
            "it can't be stopped: it waits until the child it made with vfork starts another program or ends";
    else if (strcmp(thread->wchan, "__refrigerator") == 0)
        thread->reason =
            "it can't be stopped: it is frozen (by a cgroup's freezer, as docker pause does, or by suspending "
            "the machine)";
    else if (thread->state == 'D')
        thread->reason = "it can't be stopped: it is in an uninterruptible wait in the kernel";
    else if (thread->state == 'R')
        thread->reason = "it did not stop in time: it runs in the kernel, or gets no processor";
    else
        thread->reason = "it did not stop in time";
}

/* ---------------------------------------------------------------------------------------- threads told to stop before */

static size_t index_of(struct gmr__tracer *tracer, pid_t tid)
{
    return (size_t)tracer->index_of[tid] - 1;
}

static bool postpone(struct gmr__tracer *tracer, size_t index, uint64_t since_ns)
{
    if (!tracer->asked_ns)
        return false;
    tracer->asked_ns[index] = since_ns;
    tracer->late++;
    set_unstoppable(&tracer->state->threads[index]);
    return true;
}

/* What came to a stop, or ended, among all that were told to: -1: nothing more now. */
static ptrdiff_t next_stopped(struct gmr__tracer *tracer, int flags, int *signal, bool *stands)
{
    for (;;) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL | flags);
        if (tid <= 0)
            return -1;
        if (!tracer->index_of[tid])
            continue;
        size_t index = index_of(tracer, tid);
        *stands = WIFSTOPPED(status);
        *signal = *stands ? gmr__stop_signal(&tracer->state->threads[index], status) : 0;
        return (ptrdiff_t)index;
    }
}

static void call_stopped(struct gmr__tracer *tracer, size_t first, size_t count)
{
    if (!tracer->options->stopped)
        return;
    tracer->snapshot->threads = tracer->state->threads;
    tracer->snapshot->thread_count = tracer->state->thread_count;
    tracer->options->stopped(tracer->snapshot, first, count, tracer->options->userdata);
}

static void take_and_release(struct gmr__tracer *tracer, size_t index, int signal, uint64_t since_ns)
{
    gmr__stop_copy(tracer, index);
    if (!tracer->stop_all)
        call_stopped(tracer, index, 1);
    gmr__stop_release(tracer, index, signal, since_ns);
}

/* Late ones that have come to a stop meanwhile are taken and let go. */
static void serve_late(struct gmr__tracer *tracer, int flags)
{
    int signal;
    bool stands;
    for (ptrdiff_t index; tracer->late && (index = next_stopped(tracer, flags, &signal, &stands)) >= 0;) {
        tracer->late--;
        /* It ran until this moment: its pause begins now. */
        if (stands)
            take_and_release(tracer, (size_t)index, signal, gmr__tracer_now_ns());
        else
            gmr__task_ended(&tracer->state->threads[index]);
        tracer->asked_ns[index] = 0;
    }
}

void gmr__tracer_serve_late(struct gmr__tracer *tracer)
{
    serve_late(tracer, WNOHANG);
}

static char state_now(struct gmr__tracer *tracer, size_t index)
{
    struct gmr__proc_stat stat;
    return gmr__proc_stat(tracer->proc, tracer->snapshot->pid, tracer->state->threads[index].tid, &stat) == 0
               ? stat.state
               : '?';
}

/* Is one of the late in this state? */
static bool any_late(struct gmr__tracer *tracer, char state)
{
    for (size_t i = 0; i < tracer->state->thread_count; i++)
        if (tracer->asked_ns[i] && state_now(tracer, i) == state)
            return true;
    return false;
}

/* Those that merely lack a processor are waited for as long as it takes, those that wait for a disk for as long as a disk may take. */
static void wait_for_late(struct gmr__tracer *tracer)
{
    uint64_t now = gmr__tracer_now_ns(), deadline = now + tracer->thread_deadline_ns;
    uint64_t last = now + LATE_PATIENCE_NS, last_disk = now + DISK_PATIENCE_NS;
    size_t before = tracer->late;
    while (tracer->late && now < deadline) {
        serve_late(tracer, 0); /* the ticking timer ends the wait */
        tracer->state->progress++;
        now = gmr__tracer_now_ns();
        if (now < deadline || now >= last || !tracer->late)
            continue;
        if (tracer->late < before || any_late(tracer, 'R') || (now < last_disk && any_late(tracer, 'D')))
            deadline = now + tracer->thread_deadline_ns;
        before = tracer->late;
    }
}

/* ---------------------------------------------------------------------------------------- one after the other */

static void capture_one(struct gmr__tracer *tracer, size_t index, uint64_t since_ns)
{
    struct gmr__thread *thread = &tracer->state->threads[index];
    if (!gmr__stop_ask(tracer, index))
        return;
    bool patient = thread->state != 'D' && tracer->timeouts < PATIENT_TIMEOUTS;
    if (!patient && postpone(tracer, index, since_ns))
        return;
    int signal = 0;
    switch (gmr__stop_wait(thread, since_ns + tracer->thread_deadline_ns, &signal)) {
    case GMR__STOP_STANDS:
        take_and_release(tracer, index, signal, since_ns);
        break;
    case GMR__STOP_GONE:
        gmr__task_ended(thread);
        break;
    case GMR__STOP_TIMEOUT:
        tracer->timeouts++;
        if (!postpone(tracer, index, since_ns))
            set_unstoppable(thread);
        break;
    }
}

static void make_asked(struct gmr__tracer *tracer, size_t *cap)
{
    /* Without memory for it, those that are late already stay known to the kernel, which releases them at our end. */
    (void)GMR__GROW_ZEROED(tracer->asked_ns, *cap, tracer->state->thread_cap);
}

static void one_by_one(struct gmr__tracer *tracer)
{
    size_t done = 0, asked_cap = 0;
    for (int round = 0; !out_of_time(tracer); round++) {
        if (gmr__tasks_list(tracer) <= 0)
            break;
        if (round == MAX_ROUNDS) {
            tracer->state->unstable = true;
            break;
        }
        make_asked(tracer, &asked_cap);
        gmr__placement_sort(tracer, done);
        for (; done < tracer->state->thread_count && !out_of_time(tracer); done++) {
            gmr__copies_ahead(tracer, done);
            if (tracer->state->threads[done].quality != GMR__THREAD_NO_STACK) {
                gmr__placement_next(tracer, done);
                uint64_t since_ns = gmr__tracer_now_ns();
                capture_one(tracer, done, since_ns);
                gmr__placement_took(tracer, gmr__tracer_now_ns() - since_ns);
            }
            gmr__tracer_serve_late(tracer);
            tracer->state->progress++;
        }
        gmr__placement_end(tracer);
    }
    for (; done < tracer->state->thread_count; done++) {
        tracer->state->threads[done].quality = GMR__THREAD_NO_STACK;
        tracer->state->threads[done].reason = "not reached before the deadline";
    }
    wait_for_late(tracer);
}

/* ---------------------------------------------------------------------------------------- all at once */

/* For the copies of so many stacks, most of which are small: no page of it is to be faulted in while they stand. */
static size_t room_ahead(size_t threads)
{
    size_t bytes = threads * USUAL_STACK;
    return bytes < GMR__POPULATE_BYTES ? GMR__POPULATE_BYTES : bytes > MOST_AHEAD ? MOST_AHEAD : bytes;
}

/* Nobody need stand while one of them waits for a disk: none is told to stop before, for a while. */
static void let_settle(struct gmr__tracer *tracer)
{
    uint64_t deadline = gmr__tracer_now_ns() + tracer->thread_deadline_ns;
    for (size_t i = 0; i < tracer->state->thread_count; i++) {
        struct gmr__thread *thread = &tracer->state->threads[i];
        while (thread->state == 'D' && gmr__tracer_now_ns() < deadline) {
            gmr__sleep_ns(SETTLE_PAUSE_NS);
            tracer->state->progress++;
            thread->state = state_now(tracer, i);
        }
    }
}

/* Threads can be born until every thread that could give birth stands; hence the relisting. */
static void ask_all(struct gmr__tracer *tracer)
{
    size_t done = 0, asked_cap = 0;
    for (int round = 0; round < MAX_ROUNDS && !out_of_time(tracer); round++) {
        if (gmr__tasks_list(tracer) <= 0)
            return;
        make_asked(tracer, &asked_cap);
        if (round == 0) {
            gmr__snapshot_populate(tracer->snapshot, room_ahead(tracer->state->thread_count));
            let_settle(tracer);
        }
        for (; done < tracer->state->thread_count; done++) {
            uint64_t now = gmr__tracer_now_ns();
            if (tracer->state->threads[done].quality != GMR__THREAD_NO_STACK && done < asked_cap &&
                gmr__stop_ask(tracer, done))
                postpone(tracer, done, now);
            tracer->state->progress++;
        }
    }
    tracer->state->unstable = true;
}

/* Do those that don't stand yet all wait for a disk? The others are not to stand for as long as that takes. */
static bool only_hopeless(struct gmr__tracer *tracer, const int *signals)
{
    for (size_t i = 0; i < tracer->state->thread_count; i++)
        if (tracer->asked_ns[i] && signals[i] < 0 && state_now(tracer, i) != 'D')
            return false;
    return true;
}

static void all_at_once(struct gmr__tracer *tracer)
{
    int signal;
    bool stands;
    ask_all(tracer);
    size_t count = tracer->state->thread_count;
    int *signals = calloc(count + 1, sizeof(*signals));
    if (!signals)
        return; /* our end lets them all go */
    uint64_t deadline = gmr__tracer_now_ns() + tracer->thread_deadline_ns;
    memset(signals, 0xff, (count + 1) * sizeof(*signals)); /* -1: does not stand */
    /* While none stands, nobody pays for the wait: on a machine with more to do than it can, a thread that runs first has to get a
     * processor to stop on. */
    uint64_t patience = deadline + PATIENCE_NS;
    bool any = false;
    while (tracer->late && gmr__tracer_now_ns() < (any ? deadline : patience)) {
        ptrdiff_t index = next_stopped(tracer, 0, &signal, &stands);
        if (index < 0) {
            if (any && only_hopeless(tracer, signals))
                break;
            continue;
        }
        tracer->late--;
        any |= stands;
        if (stands) {
            signals[index] = signal;
        } else {
            gmr__task_ended(&tracer->state->threads[index]);
            tracer->asked_ns[index] = 0;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (signals[i] >= 0)
            gmr__stop_copy(tracer, i);
        tracer->state->progress++;
    }
    call_stopped(tracer, 0, count);
    for (size_t i = 0; i < count; i++) {
        if (signals[i] < 0)
            continue;
        gmr__stop_release(tracer, i, signals[i], tracer->asked_ns[i]);
        tracer->asked_ns[i] = 0;
    }
    free(signals);
    wait_for_late(tracer); /* not of the same moment as the others, but better than none */
}

void gmr__tracer_run(const struct gmr__capture_share *share, const struct gmr__capture_options *options, bool stop_all)
{
    struct gmr__tracer tracer = {
        .share = share,
        .snapshot = share->snapshot,
        .state = share->state,
        .options = options,
        .proc = options->proc ? options->proc : "/proc",
        .stack_bytes = options->stack_bytes ? options->stack_bytes : 1u << 20,
        .thread_deadline_ns = (options->thread_deadline_ms ? options->thread_deadline_ms : 50) * 1000000ULL,
        .stop_all = stop_all,
        .memory_fd = -1,
        .tasks_fd = -1,
    };
    char tasks[GMR__PROC_PATH_MAX];
    if (tracer.stack_bytes > UINT32_MAX)
        tracer.stack_bytes = UINT32_MAX;
    gmr__copies_begin(&tracer);
    tracer.tasks_fd = gmr__open(gmr__proc_path(tasks, sizeof(tasks), tracer.proc, tracer.snapshot->pid, 0, "task"),
                                O_RDONLY | O_DIRECTORY);
    gmr__placement_begin(&tracer);
    start_ticking();
    if (stop_all)
        all_at_once(&tracer);
    else
        one_by_one(&tracer);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    if (tracer.index_of)
        munmap(tracer.index_of, (GMR__PID_LIMIT + 1) * sizeof(uint32_t));
    free(tracer.asked_ns);
    if (tracer.memory_fd >= 0)
        gmr__close(tracer.memory_fd);
    if (tracer.tasks_fd >= 0)
        gmr__close(tracer.tasks_fd);
}
