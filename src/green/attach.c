/*
 * green/attach.c - copies green threads while the capturing process holds the OS threads.
 *
 * Inspector only. Two processes meet here: `stopped` runs in the capturing one, asks through a pipe and waits for the answer with a
 * deadline; `serve` runs in the inspector, which reads the target's memory by itself (that needs no tracer) and keeps what it
 * copied. Should either die or hang, the other goes on: a missing answer only means that the threads run on.
 */
#include "green/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/sys.h"

#define GRACE_NS 200000000u

struct request {
    uint64_t first, count;
};

struct gmr__green_attach {
    struct gmr__green_options options;
    struct gmr__green *green;
    enum gmr__green_stop stop;
    struct request request;
    int ask[2], answer[2];
    uint64_t budget_ns;
};

static void close_all(struct gmr__green_attach *attach)
{
    for (int i = 0; i < 2; i++) {
        if (attach->ask[i] >= 0)
            gmr__close(attach->ask[i]);
        if (attach->answer[i] >= 0)
            gmr__close(attach->answer[i]);
    }
}

static enum gmr__capture_stop before(struct gmr__snapshot *snapshot, void *userdata)
{
    struct gmr__green_attach *attach = userdata;
    attach->green = gmr__green_new(snapshot, NULL, &attach->options);
    if (attach->green)
        attach->stop = gmr__green_prepare(attach->green);
    if (attach->stop == GMR__GREEN_STOP_TOGETHER)
        return GMR__CAPTURE_TOGETHER;
    /* Those found without a stop may yet be on the stacks of OS threads, which must stay then. */
    return attach->green && gmr__green_any(attach->green) ? GMR__CAPTURE_EACH : GMR__CAPTURE_PLAIN;
}

/* The capturing process. */
static void stopped(struct gmr__snapshot *snapshot, size_t first, size_t count, void *userdata)
{
    struct gmr__green_attach *attach = userdata;
    struct request request = {first, count};
    char byte;
    if (attach->stop == GMR__GREEN_STOP_EACH && count == 1 &&
        !gmr__green_concerns(attach->green, snapshot->threads[first].tid))
        return;
    if (attach->stop == GMR__GREEN_STOP_NONE || gmr__write(attach->ask[1], &request, sizeof(request)) < 0)
        return;
    uint64_t deadline = gmr__now_ns() + attach->budget_ns + GRACE_NS;
    struct pollfd fd = {attach->answer[0], POLLIN, 0};
    for (uint64_t now; (now = gmr__now_ns()) < deadline;) {
        int ready = gmr__poll(&fd, 1, (int)((deadline - now) / 1000000) + 1);
        if (ready == -EINTR)
            continue;
        if (ready > 0)
            gmr__read(attach->answer[0], &byte, 1);
        return;
    }
}

/* The capturing process. */
static uint64_t stack_end(uint64_t sp, void *userdata)
{
    struct gmr__green_attach *attach = userdata;
    return attach->green ? gmr__green_stack_end(attach->green, sp) : 0;
}

/* The inspector, when `ask` is readable. */
static void serve(struct gmr__snapshot *snapshot, const struct gmr__thread *threads, void *userdata)
{
    struct gmr__green_attach *attach = userdata;
    struct request *request = &attach->request;
    if (gmr__read(attach->ask[0], request, sizeof(*request)) != (ssize_t)sizeof(*request))
        return;
    if (attach->green)
        gmr__green_collect(attach->green, threads + request->first, request->count);
    gmr__write(attach->answer[1], "", 1);
}

struct gmr__green_attach *gmr__green_attach(struct gmr__capture_options *options,
                                            const struct gmr__green_options *green_options)
{
    struct gmr__green_attach *attach = calloc(1, sizeof(*attach));
    if (!attach)
        return NULL;
    attach->ask[0] = attach->ask[1] = attach->answer[0] = attach->answer[1] = -1;
    if (pipe2(attach->ask, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(attach->answer, O_CLOEXEC | O_NONBLOCK) < 0) {
        close_all(attach);
        free(attach);
        return NULL;
    }
    if (green_options)
        attach->options = *green_options;
    attach->budget_ns = attach->options.stop_budget_ns ? attach->options.stop_budget_ns : 50000000u;
    options->before = before;
    options->stopped = stopped;
    options->stack_end = stack_end;
    options->serve = serve;
    options->serve_fd = attach->ask[0];
    options->userdata = attach;
    return attach;
}

struct gmr__green *gmr__green_take(struct gmr__green_attach *attach, struct gmr__snapshot *snapshot)
{
    if (!attach)
        return NULL;
    struct gmr__green *green = attach->green;
    /* Without a snapshot the one that the set refers to is gone. */
    if (green && snapshot) {
        gmr__green_finish(green);
    } else {
        gmr__green_free(green);
        green = NULL;
    }
    close_all(attach);
    free(attach);
    return green;
}
