/*
 * symbol/debuginfod.c - fetches a debug file by build id, only when the user asked for it, never without a time limit.
 *
 * Inspector only. Runs the program debuginfod-find (elfutils) from a fixed place: gmr is linked statically and can't load
 * libdebuginfod. The child is killed when its time is over, and all files together have a limit, too. The network is never touched without
 * `debuginfod_urls`.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "symbol/internal.h"
#include "sys/sys.h"

#define MAX_VALUE 4096

static pid_t start(struct gmr__modules *modules, const char *build_id, int output)
{
    char urls[MAX_VALUE], timeout[64], cache[MAX_VALUE], home[MAX_VALUE];
    const char *directory = getenv("DEBUGINFOD_CACHE_PATH"), *xdg = getenv("HOME");
    unsigned seconds = (modules->debuginfod_timeout_ms + 999) / 1000;
    if (snprintf(urls, sizeof(urls), "DEBUGINFOD_URLS=%s", modules->debuginfod_urls) >= (int)sizeof(urls))
        return -E2BIG;
    snprintf(timeout, sizeof(timeout), "DEBUGINFOD_TIMEOUT=%u", seconds ? seconds : 1);
    snprintf(cache, sizeof(cache), "DEBUGINFOD_CACHE_PATH=%s", directory ? directory : "");
    snprintf(home, sizeof(home), "HOME=%s", xdg ? xdg : "/");
    char *environment[] = {urls, timeout, home, directory ? cache : NULL, NULL};
    char *arguments[] = {(char *)"debuginfod-find", (char *)"debuginfo", (char *)build_id, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int error = posix_spawn(&pid, "/usr/bin/debuginfod-find", &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    return error ? -error : pid;
}

/* The path that debuginfod-find prints, until its end of output or the deadline. */
static ssize_t read_answer(int fd, uint64_t deadline_ns, char *text, size_t cap)
{
    size_t used = 0;
    while (used + 1 < cap) {
        uint64_t now = gmr__now_ns();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (now >= deadline_ns)
            return -ETIMEDOUT;
        int ready = gmr__poll(&poll_fd, 1, (int)((deadline_ns - now) / 1000000 + 1));
        if (ready < 0 && ready != -EINTR)
            return ready;
        if (ready <= 0)
            continue;
        ssize_t got = gmr__read(fd, text + used, cap - used - 1);
        if (got == 0)
            break;
        if (got < 0 && got != -EINTR)
            return got;
        used += got > 0 ? (size_t)got : 0;
    }
    text[used] = 0;
    return (ssize_t)used;
}

int gmr__debuginfod_open(struct gmr__modules *modules, const char *build_id, char *path, size_t path_cap)
{
    int ends[2], status;
    uint64_t now_ns = gmr__now_ns(), limit_ns = (uint64_t)modules->debuginfod_timeout_ms * 1000000;
    if (limit_ns > modules->debuginfod_left_ns)
        limit_ns = modules->debuginfod_left_ns;
    if (!modules->debuginfod_urls || !modules->debuginfod_urls[0] || modules->debuginfod_spent)
        return -ENOENT;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = start(modules, build_id, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return pid;
    }
    path[0] = 0;
    ssize_t got = read_answer(ends[0], now_ns + limit_ns, path, path_cap);
    close(ends[0]);
    kill(pid, SIGKILL); /* also of one that has said all it has to say and does not end */
    uint64_t took_ns = gmr__now_ns() - now_ns;
    modules->debuginfod_left_ns -= took_ns < modules->debuginfod_left_ns ? took_ns : modules->debuginfod_left_ns;
    /* A server that does not answer is asked once, not once a module; one that is slow only as long as there is time. */
    modules->debuginfod_spent = got < 0 || modules->debuginfod_left_ns == 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (got > 0)
        path[strcspn(path, "\n")] = 0;
    return got > 0 && path[0] == '/' ? gmr__open_here(path) : -ENOENT;
}
