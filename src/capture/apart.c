/*
 * capture/apart.c - work done in short-lived processes of their own, watched from here.
 *
 * Inspector only, called by ptrace.c for all that may hang: reading the target's memory map, holding its threads. A process that makes no
 * progress is killed; what it wrote to shared memory until then is there. It dies with the inspector, too. The inspector itself stays
 * single-threaded: fork without exec is safe only then.
 */
#include "capture/apart.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/sys.h"

#define LOOK_MS 100
#define GRACE_NS 1000000000ULL
#define FREED_NS 50000000ULL
#define KILL_ROUNDS 200
#define KILL_PAUSE_NS 5000000

static void start(struct gmr__apart_worker *worker)
{
    pid_t parent = getpid(), child = fork();
    worker->pidfd = -1;
    worker->seen = 0;
    worker->killed = false;
    worker->ended = child < 0;
    worker->pid = child;
    worker->moved_ns = gmr__now_ns();
    if (child < 0) /* RLIMIT_NPROC, memory: a thread that never stops is then let go when the inspector ends */
        worker->work(worker->userdata);
    if (child > 0)
        worker->pidfd = (int)GMR__SYS(SYS_pidfd_open, child, 0, 0, 0, 0, 0); /* Linux 5.3 */
    if (child)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    worker->work(worker->userdata);
    _exit(0); /* not exit: buffers and atexit handlers are the inspector's */
}

static void reap_killed(struct gmr__apart_worker *worker)
{
    int status;
    kill(worker->pid, SIGKILL);
    for (int i = 0; i < KILL_ROUNDS && waitpid(worker->pid, &status, WNOHANG) == 0; i++)
        gmr__sleep_ns(KILL_PAUSE_NS);
    worker->ended = worker->killed = true;
}

static void look_at(const struct gmr__apart *apart, struct gmr__apart_worker *worker)
{
    int status;
    pid_t got = waitpid(worker->pid, &status, WNOHANG);
    if (got == worker->pid || (got < 0 && errno == ECHILD)) {
        worker->ended = true;
        worker->killed = got > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return;
    }
    uint64_t now = gmr__now_ns(), progress = __atomic_load_n(worker->progress, __ATOMIC_RELAXED);
    if (progress != worker->seen) {
        worker->seen = progress;
        worker->moved_ns = now;
    }
    /* It may have gone to a processor (placement.c) that somebody else does not give away: it may go on where this process may. */
    cpu_set_t set;
    if (apart->moving && now - worker->moved_ns > FREED_NS && sched_getaffinity(0, sizeof(set), &set) == 0)
        sched_setaffinity(worker->pid, sizeof(set), &set);
    bool late = apart->deadline_ns && now > apart->deadline_ns + GRACE_NS;
    if (late || now - worker->moved_ns > apart->stall_ns)
        reap_killed(worker);
}

/* Waits until a process ends, one asks for something, or it is time to look again. */
static void wait_and_serve(const struct gmr__apart *apart, struct gmr__apart_worker *workers, unsigned count)
{
    struct pollfd fds[2 * GMR__APART_MAX + 1];
    unsigned served = apart->serve ? GMR__APART_MAX + 1 : 0;
    bool blind = false;
    for (unsigned i = 0; i < served; i++)
        fds[i] = (struct pollfd){apart->serve_fd[i], POLLIN, 0};
    for (unsigned i = 0; i < count; i++) {
        fds[served + i] = (struct pollfd){workers[i].ended ? -1 : workers[i].pidfd, POLLIN, 0};
        blind = blind || (!workers[i].ended && workers[i].pidfd < 0);
    }
    if (gmr__poll(fds, served + count, blind ? 1 : LOOK_MS) <= 0)
        return;
    for (unsigned i = 0; i < served; i++) {
        if (!(fds[i].revents & POLLIN))
            continue;
        apart->serve(apart->serve_userdata, i);
        /* Those that waited for us meanwhile made no progress, which is not their fault. */
        for (unsigned k = 0; k < count; k++)
            workers[k].moved_ns = gmr__now_ns();
    }
}

bool gmr__apart_run(const struct gmr__apart *apart, struct gmr__apart_worker *workers, unsigned count)
{
    bool whole = true;
    for (unsigned i = 0; i < count; i++)
        start(&workers[i]);
    for (;;) {
        bool running = false;
        for (unsigned i = 0; i < count; i++) {
            if (!workers[i].ended)
                look_at(apart, &workers[i]);
            running = running || !workers[i].ended;
        }
        if (!running)
            break;
        wait_and_serve(apart, workers, count);
    }
    for (unsigned i = 0; i < count; i++) {
        if (workers[i].pidfd >= 0)
            gmr__close(workers[i].pidfd);
        whole = whole && !workers[i].killed;
    }
    return whole;
}
