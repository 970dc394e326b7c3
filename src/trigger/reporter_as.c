/*
 * trigger/reporter_as.c - the reporter thread: waits for somebody to ask, makes the report, puts it where it belongs.
 *
 * A thread of the target with a descriptor table of its own; async-signal-safe throughout: no malloc, stdio, locks or TLS, because the thread
 * that holds the lock may be the reason for the report. Started by trigger/start.c. Must never wait without a deadline while it owes somebody a
 * report, and must not use the processor while nobody asks.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <syslog.h>

#include "report/crash.h"
#include "report/output.h"
#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

struct reporter {
    struct gmr__workspace *workspace;
    struct gmr__watch watch;
    uint64_t not_before_ns; /* the next triggered report: min_interval_ms */
    struct gmr__guest guests[GMR__GUESTS];
    char socket_path[160];
    char where[4352]; /* of the last report */
};

/* ---- getting ready ---- */

static void leave_descriptor_table(void)
{
    struct gmr__reporter_fds *fds = &gmr__rt.fds;
    /* Out there, the program's standard error is reached by pidfd_getfd (Linux 5.6) alone. Try it on a descriptor that is surely there. */
    int self = (int)GMR__SYS(SYS_pidfd_open, gmr__getpid(), 0, 0, 0, 0, 0);
    int again = self < 0 ? self : (int)GMR__SYS(SYS_pidfd_getfd, self, self, 0, 0, 0, 0);
    if (self >= 0)
        gmr__close(self);
    if (again < 0)
        return;
    gmr__close(again);
    long error = GMR__SYS(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE, 0, 0, 0);
    if (error) { /* before Linux 5.9 */
        error = GMR__SYS(SYS_unshare, CLONE_FILES, 0, 0, 0, 0, 0);
        for (int fd = 0; !error && fd < 65536; fd++)
            gmr__close(fd);
    }
    fds->own_table = error == 0;
    if (fds->own_table) /* 0 to 2 are taken, so that nothing of ours is ever mistaken for a standard stream */
        for (int fd = 0; fd <= 2; fd++)
            if (gmr__open("/dev/null", O_RDWR) < 0)
                gmr__open("/", O_PATH);
}

static void open_inspector(void)
{
    for (const char **path = gmr__inspector_candidates; *path; path++) {
        struct stat st;
        int fd = gmr__open(*path, O_PATH);
        if (fd < 0)
            continue;
        if (GMR__SYS(SYS_fstat, fd, &st, 0, 0, 0, 0) == 0 && S_ISREG(st.st_mode) && st.st_mode & 0111) {
            gmr__rt.fds.inspector = fd;
            return;
        }
        gmr__close(fd);
    }
}

static void open_files(struct reporter *r)
{
    struct gmr__reporter_fds *fds = &gmr__rt.fds;
    uint64_t wake = (uint64_t)1 << (GMR__WAKE_SIGNAL - 1);
    fds->wake = (int)GMR__SYS(SYS_signalfd4, -1, &wake, sizeof(wake), O_CLOEXEC | O_NONBLOCK, 0, 0);
    fds->self = (int)GMR__SYS(SYS_pidfd_open, gmr__getpid(), 0, 0, 0, 0, 0);
    open_inspector();
    char yama[4];
    fds->yama = gmr__read_file("/proc/sys/kernel/yama/ptrace_scope", yama, sizeof(yama)) > 0 && yama[0] == '1';
    int armed = 0;
    if (gmr__rt.settings->watch_file) {
        gmr__watch_begin(&r->watch);
        armed |= GMR_TRIGGER_FILE;
    }
    if (gmr__rt.settings->control_socket) {
        fds->listen = gmr__socket_begin(r->socket_path, sizeof(r->socket_path));
        if (fds->listen >= 0)
            armed |= GMR_TRIGGER_SOCKET;
        else
            gmr__setup_problem("the control socket can't be made", r->socket_path, -fds->listen);
    }
    atomic_fetch_or(&gmr__rt.armed, armed);
}

/* All but the faults, and 33, by which glibc makes setuid() reach every thread (nptl's SIGSETXID). */
static void block_signals(void)
{
    uint64_t mask = ~(uint64_t)0;
    static const int open[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS, 33};
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
        mask &= ~((uint64_t)1 << (open[i] - 1));
    GMR__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask), 0, 0);
}

/* ---- a triggered report ---- */

static void name_trigger(struct gmr__buf *buf, uint32_t why)
{
    if (why & GMR__ASK_SIGNAL) {
        gmr__buf_str(buf, "signal ");
        gmr__buf_int(buf, gmr__rt.settings->signal);
        int pid = atomic_load(&gmr__rt.signal_sender);
        if (pid) {
            gmr__buf_str(buf, " from pid ");
            gmr__buf_int(buf, pid);
            gmr__buf_str(buf, " (uid ");
            gmr__buf_int(buf, atomic_load(&gmr__rt.signal_sender_uid));
            gmr__buf_str(buf, ")");
        }
    }
    static const struct {
        uint32_t bit;
        const char *text;
    } others[] = {{GMR__ASK_FILE, "the watched file"},
                  {GMR__ASK_SOCKET, "the control socket"},
                  {GMR__ASK_CALL, "gmr_report_trigger()"}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (!(why & others[i].bit))
            continue;
        if (buf->used)
            gmr__buf_str(buf, ", ");
        gmr__buf_str(buf, others[i].text);
    }
}

static void report(struct reporter *r, uint32_t why)
{
    char trigger[160];
    struct gmr__buf buf;
    struct gmr__spool spool;
    const struct gmr__settings *s = gmr__rt.settings;
    uint64_t timeout_ns = (uint64_t)s->report_timeout_ms * 1000000u;
    bool crash = why & GMR__ASK_CRASH;
    gmr__buf_init(&buf, trigger, sizeof(trigger));
    if (crash) {
        gmr__buf_str(&buf, "crash: ");
        gmr__buf_str(&buf, gmr__crash_signal_name(gmr__crash.signal));
        gmr__buf_str(&buf, " in thread ");
        gmr__buf_int(&buf, atomic_load(&gmr__crash.tid));
    } else {
        name_trigger(&buf, why);
    }
    gmr__spool_init(&spool);
    struct gmr__wish wish = {
        .view = s->view, .trigger = trigger, .crash = crash, .deadline_ns = gmr__now_ns() + timeout_ns};
    int error = gmr__assemble(r->workspace, &wish, &spool.sink);
    if (error && spool.total == 0) {
        char place[32];
        gmr__log(LOG_ERR, "no Guru Meditation Report could be made: ", gmr__errno_text(-error, place), NULL);
    } else {
        gmr__output(&spool, wish.deadline_ns + timeout_ns / 2, r->where, sizeof(r->where));
    }
    gmr__spool_free(&spool);
    r->not_before_ns = gmr__now_ns() + (uint64_t)s->min_interval_ms * 1000000u;
}

/* ---- the control socket ---- */

static void serve_guest(struct reporter *r, struct gmr__guest *guest)
{
    char names[512];
    struct gmr__wish wish = {.view = GMR__VIEW_WIRE,
                             .final_view = GMR_VIEW_TEXT,
                             .deadline_ns = gmr__now_ns() + (uint64_t)gmr__rt.settings->report_timeout_ms * 1000000u};
    switch (gmr__guest_read(guest, &wish, names, sizeof(names))) {
    case GMR__VERB_HELLO:
        gmr__guest_hello(guest, r->workspace);
        break;
    case GMR__VERB_SECTIONS:
        gmr__spool_init(&guest->answer);
        gmr__assemble(r->workspace, &wish,
                      &guest->answer.sink); /* what it can't make is missing in the answer, with its end mark */
        gmr__guest_answer(guest);
        break;
    case GMR__VERB_TRIGGER:
        guest->state = GMR__GUEST_WAITS;
        atomic_fetch_or(&gmr__rt.asked, GMR__ASK_SOCKET);
        break;
    case GMR__VERB_NONE:
        break;
    }
}

/* All who asked for this report are told where it is. */
static void answer_triggers(struct reporter *r)
{
    for (int i = 0; i < GMR__GUESTS; i++) {
        struct gmr__guest *guest = &r->guests[i];
        if (guest->fd < 0 || guest->state != GMR__GUEST_WAITS)
            continue;
        gmr__spool_init(&guest->answer);
        guest->answer.sink.write(&guest->answer.sink, r->where, gmr__strlen(r->where));
        guest->answer.sink.write(&guest->answer.sink, "\n", 1);
        gmr__guest_answer(guest);
    }
}

/* ---- waiting ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

/* Milliseconds until something is due without anybody asking; -1: never. */
static int patience(struct reporter *r, uint32_t due)
{
    int64_t now = (int64_t)gmr__now_ns(), wait = -1;
    if (due)
        wait = earlier(wait, (int64_t)r->not_before_ns - now > 0 ? (int64_t)r->not_before_ns - now : 0);
    if (gmr__rt.settings->watch_file)
        wait = earlier(wait, (int64_t)r->watch.next_ns - now > 0 ? (int64_t)r->watch.next_ns - now : 0);
    uint64_t guest_ns = gmr__guests_deadline(r->guests);
    if (guest_ns != UINT64_MAX)
        wait = earlier(wait, (int64_t)guest_ns - now > 0 ? (int64_t)guest_ns - now : 0);
    if (gmr__rt.fds.wake < 0) /* no signalfd: look now and then */
        wait = earlier(wait, 200000000);
    return wait < 0 ? -1 : (int)((wait + 999999) / 1000000);
}

/* Is there something that must not wait for a client's wish, which may take seconds? */
static bool hurry(const struct reporter *r)
{
    uint32_t asked = atomic_load(&gmr__rt.asked);
    return asked & (GMR__ASK_CRASH | GMR__ASK_STOP | GMR__ASK_WRITE) || (asked && gmr__now_ns() >= r->not_before_ns);
}

static void wait_and_collect(struct reporter *r, uint32_t due)
{
    enum { WAKE, WATCH, LISTEN, GUESTS };
    struct gmr__reporter_fds *fds = &gmr__rt.fds;
    struct pollfd wait[GUESTS + GMR__GUESTS] = {
        [WAKE] = {.fd = fds->wake, .events = POLLIN}, [WATCH] = {.fd = fds->watch, .events = POLLIN}};
    gmr__guests_poll(r->guests, &wait[LISTEN], &wait[GUESTS]);
    int n = gmr__poll(wait, GUESTS + GMR__GUESTS, patience(r, due));
    char siginfo[128 * 8];
    if (n > 0 && wait[WAKE].revents)
        while (gmr__read(fds->wake, siginfo, sizeof(siginfo)) > 0) {
        }
    uint64_t now = gmr__now_ns();
    if (gmr__rt.settings->watch_file && (wait[WATCH].revents || now >= r->watch.next_ns))
        if (gmr__watch_look(&r->watch, wait[WATCH].revents != 0))
            atomic_fetch_or(&gmr__rt.asked, GMR__ASK_FILE);
    for (int i = 0; i < GMR__GUESTS && n > 0; i++)
        if (wait[GUESTS + i].revents && r->guests[i].state == GMR__GUEST_TAKES)
            gmr__guest_take(&r->guests[i]);
        else if (wait[GUESTS + i].revents && !hurry(r))
            serve_guest(r, &r->guests[i]);
    struct gmr__guest *guest = n > 0 && wait[LISTEN].revents ? gmr__guest_accept(r->guests) : NULL;
    if (guest && !hurry(r))
        serve_guest(r, guest); /* its line is there as a rule */
    gmr__guests_expire(r->guests, now);
}

static bool handle(struct reporter *r)
{
    uint32_t asked = atomic_load(&gmr__rt.asked);
    if (asked & GMR__ASK_STOP)
        return false;
    if (!r->workspace) /* the process was out of memory; it may not be for ever */
        r->workspace = gmr__workspace_new();
    if (asked & GMR__ASK_WRITE) {
        atomic_fetch_and(&gmr__rt.asked, ~GMR__ASK_WRITE);
        gmr__serve_request(r->workspace);
    }
    if (asked & GMR__ASK_CRASH) {
        atomic_fetch_and(&gmr__rt.asked, ~GMR__ASK_CRASH);
        report(r, GMR__ASK_CRASH);
        atomic_fetch_add(&gmr__crash.done, 1);
        gmr__futex_wake((uint32_t *)&gmr__crash.done, INT32_MAX);
        return true;
    }
    if (asked & ~GMR__ASK_WRITE && gmr__now_ns() >= r->not_before_ns) {
        atomic_fetch_and(&gmr__rt.asked, ~(asked & ~GMR__ASK_WRITE));
        report(r, asked);
        if (asked & GMR__ASK_SOCKET)
            answer_triggers(r);
    }
    return true;
}

void *gmr__reporter_main(void *unused)
{
    static struct reporter reporter;
    struct reporter *r = &reporter;
    r->watch = (struct gmr__watch){0};
    gmr__guests_init(r->guests);
    r->not_before_ns = 0;
    r->socket_path[0] = r->where[0] = '\0';
    block_signals();
    GMR__SYS(SYS_prctl, PR_SET_NAME, GMR__REPORTER_NAME, 0, 0, 0, 0);
    gmr__rt.fds = (struct gmr__reporter_fds){-1, -1, -1, -1, -1, -1, 0, false};
    leave_descriptor_table();
    r->workspace = gmr__workspace_new();
    open_files(r);
    atomic_store(&gmr__rt.reporter_tid, gmr__gettid());
    atomic_store(&gmr__rt.started, 1);
    gmr__futex_wake((uint32_t *)&gmr__rt.started, 1);
    while (handle(r))
        wait_and_collect(r, atomic_load(&gmr__rt.asked));
    for (int i = 0; i < GMR__GUESTS; i++)
        gmr__guest_drop(&r->guests[i]);
    if (gmr__rt.fds.listen >= 0)
        gmr__socket_end(r->socket_path);
    const int *fds = &gmr__rt.fds.wake;
    for (int i = 0; i < 6 && !gmr__rt.fds.own_table; i++)
        if (fds[i] >= 0)
            gmr__close(fds[i]);
    gmr__workspace_free(r->workspace);
    atomic_store(&gmr__rt.reporter_tid, 0);
    atomic_store(&gmr__rt.ended, 1);
    gmr__futex_wake((uint32_t *)&gmr__rt.ended, 8);
    return NULL;
}
