/*
 * trigger/call.c - reports asked for by the program's code.
 *
 * Any thread of the program; uses libc. The caller hands its wish over in gmr__rt.request to the reporter (call_as.c) and gets memory back,
 * which it writes itself: its descriptor is its own business.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "report/output.h"
#include "report/registry.h"
#include "sys/buf.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static struct timespec as_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

/* An earlier caller gave up: wait until the reporter is done with its wish. */
static int wait_free(struct gmr__request *request, uint64_t deadline_ns)
{
    for (;;) {
        uint32_t state = atomic_load(&request->state);
        if (state == GMR__REQUEST_FREE)
            return 0;
        if (gmr__futex_wait(gmr__request_word(request), state, deadline_ns) == -ETIMEDOUT)
            return -ETIMEDOUT;
    }
}

static int wait_done(struct gmr__request *request, uint64_t deadline_ns)
{
    for (;;) {
        uint32_t state = atomic_load(&request->state);
        if (state == GMR__REQUEST_DONE)
            return 0;
        if (gmr__futex_wait(gmr__request_word(request), state, deadline_ns) != -ETIMEDOUT)
            continue;
        if (atomic_compare_exchange_strong(&request->state, &state, GMR__REQUEST_ABANDONED))
            return -ETIMEDOUT;
    }
}

/* Called with one_at_a_time held. */
static int ask_and_wait(int view, const char *title, uint64_t deadline_ns, struct gmr__chunk **chunks)
{
    struct gmr__request *request = &gmr__rt.request;
    int error = wait_free(request, deadline_ns);
    if (error)
        return error;
    request->view = view;
    request->one_section = title != NULL;
    strcpy(request->title, title ? title : "");
    request->deadline_ns = deadline_ns;
    request->chunks = NULL;
    request->result = -ECANCELED;
    atomic_store(&request->state, GMR__REQUEST_ASKED);
    error = gmr__ask(GMR__ASK_WRITE);
    if (error) {
        /* It may have been seen all the same, by a reporter that starts just now. */
        uint32_t state = GMR__REQUEST_ASKED;
        if (atomic_compare_exchange_strong(&request->state, &state, GMR__REQUEST_FREE))
            return error;
    }
    error = wait_done(request, deadline_ns + 1000000000u);
    if (error)
        return error;
    *chunks = request->chunks;
    int result = request->result;
    atomic_store(&request->state, GMR__REQUEST_FREE);
    gmr__futex_wake(gmr__request_word(request), 1);
    return result;
}

static int write_piece(void *userdata, const void *bytes, size_t count)
{
    return gmr__write_text(*(const int *)userdata, bytes, count, ((const uint64_t *)userdata)[1]);
}

static int write_chunks(int fd, struct gmr__chunk *chunks, uint64_t deadline_ns)
{
    struct {
        int fd;
        uint64_t deadline_ns;
    } to = {fd, deadline_ns};
    /* A reader that went away is an error to return, not a signal to die of. */
    sigset_t pipe_signal, old, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
    sigpending(&pending);
    int error = 0;
    for (struct gmr__chunk *c = chunks; c && !error; c = c->next)
        error = write_piece(&to, c->bytes, c->used);
    static const struct timespec now = {0, 0};
    if (error == -EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_signal, NULL, &now) == -1 && errno == EINTR) {
        }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error;
}

static int report_to(int fd, enum gmr_view view, const char *title)
{
    int configured;
    unsigned timeout_ms;
    int error = gmr__setup_quietly(&configured, &timeout_ms);
    if (error)
        return error;
    uint64_t deadline_ns = gmr__now_ns() + (uint64_t)timeout_ms * 1000000u;
    struct timespec until = as_timespec(deadline_ns);
    if (pthread_mutex_clocklock(&one_at_a_time, CLOCK_MONOTONIC, &until) != 0)
        return -ETIMEDOUT;
    struct gmr__chunk *chunks = NULL;
    /* Its own time begins when its turn comes. */
    deadline_ns = gmr__now_ns() + (uint64_t)timeout_ms * 1000000u;
    do { /* where another thread replaces the reporter just now, its successor is asked */
        error = ask_and_wait(view == GMR_VIEW_DEFAULT ? configured : (int)view, title, deadline_ns, &chunks);
    } while (error == -ESRCH && gmr__now_ns() < deadline_ns && !gmr__setup_quietly(&configured, &timeout_ms));
    pthread_mutex_unlock(&one_at_a_time);
    int write_error = error ? 0 : write_chunks(fd, chunks, deadline_ns);
    gmr__chunks_free(chunks);
    return error ? error : write_error;
}

static int checked(int fd, enum gmr_view view, const char *title)
{
    if (fd < 0 || (int)view < GMR_VIEW_DEFAULT || view > GMR_VIEW_XML)
        return -EINVAL;
    if (title && strlen(title) >= sizeof(gmr__rt.request.title))
        return -ENOENT;
    if (gmr__runner_is_self())
        return -EDEADLK;
    int saved = errno;
    int result = report_to(fd, view, title);
    errno = saved;
    return result;
}

GMR_API int gmr_report_write(int fd, enum gmr_view view)
{
    return checked(fd, view, NULL);
}

GMR_API int gmr_report_section(int fd, enum gmr_view view, const char *title)
{
    return checked(fd, view, title);
}

GMR_API int gmr_report_trigger(void)
{
    return gmr__ask(GMR__ASK_CALL);
}

/* There is no reporter any more: who waits for one is told. */
void gmr__call_cancel(void)
{
    uint32_t state = GMR__REQUEST_ASKED;
    atomic_store(&gmr__rt.asked, 0);
    atomic_compare_exchange_strong(&gmr__rt.request.state, &state, GMR__REQUEST_DONE);
    gmr__futex_wake(gmr__request_word(&gmr__rt.request), 8);
}

/* A fork must not wait for a report, so the lock may be held by a thread that the child does not have. */
void gmr__call_forget(void)
{
    one_at_a_time = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    atomic_store(&gmr__rt.request.state, GMR__REQUEST_FREE);
}
