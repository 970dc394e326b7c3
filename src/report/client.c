/*
 * report/client.c - asks a process that carries libgmr, over its control socket.
 *
 * The gmr command only. The socket is looked for where libgmr puts it; that the right process answers is told by the kernel
 * (SO_PEERCRED), not by the path: /tmp is everybody's.
 */
#include "report/client.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/buf.h"
#include "sys/pin.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define BUSY_RETRY_NS 5000000ull

static int left_ms(uint64_t deadline_ns)
{
    uint64_t now = gmr__now_ns();
    if (now >= deadline_ns)
        return 0;
    uint64_t ms = (deadline_ns - now) / 1000000 + 1;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* 0 when fd is ready for events (or broken: the next call tells), -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd pollfd = {.fd = fd, .events = events};
        int ms = left_ms(deadline_ns);
        if (ms == 0)
            return -ETIMEDOUT;
        int got = poll(&pollfd, 1, ms);
        if (got > 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return -errno;
    }
}

/* A full backlog answers EAGAIN at once instead of blocking: a non-blocking unix socket never reports EINPROGRESS. */
static int connect_until(int fd, const struct sockaddr_un *address, uint64_t deadline_ns)
{
    for (;;) {
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        if (left_ms(deadline_ns) == 0)
            return -ETIMEDOUT;
        gmr__sleep_ns(BUSY_RETRY_NS);
    }
}

int gmr__client_connect_path(const char *path, pid_t pid, uint64_t deadline_ns, pid_t *pid_found)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = connect_until(fd, &address, deadline_ns);
    if (status == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
        status = -errno;
    if (status == 0 && pid && peer.pid != pid)
        status = -ENOENT; /* left behind by an earlier process of this number, or planted */
    if (status == 0 && gmr__pinned_gone(pid, 0))
        status = -ESRCH; /* a later process of this number */
    if (status < 0) {
        close(fd);
        return status == -ECONNREFUSED ? -ENOENT : status;
    }
    if (pid_found)
        *pid_found = peer.pid;
    return fd;
}

/* ------------------------------------------------------------------------------------------------ where sockets are */

/* The pid a process has in its own namespace (the last number of NSpid) and its effective uid. */
static bool identity(pid_t pid, pid_t *own_pid, uid_t *uid)
{
    char text[4096];
    if (gmr__proc_read("/proc", pid, 0, "status", text, sizeof(text)) <= 0)
        return false;
    const char *uids = strstr(text, "\nUid:\t"), *pids = strstr(text, "\nNSpid:\t");
    unsigned real, effective;
    if (!uids || sscanf(uids + 6, "%u %u", &real, &effective) != 2)
        return false;
    *uid = effective;
    *own_pid = pid;
    if (pids) {
        const char *end = pids + 8 + strcspn(pids + 8, "\n");
        while (end > pids + 8 && end[-1] >= '0' && end[-1] <= '9')
            end--;
        *own_pid = (pid_t)strtol(end, NULL, 10);
    }
    return true;
}

/* XDG_RUNTIME_DIR as the process has it; its environment may differ from ours. */
static bool runtime_directory_of(pid_t pid, char *to, size_t cap)
{
    static const char name[] = "XDG_RUNTIME_DIR=";
    static char environment[1 << 20];
    ssize_t got = gmr__proc_read("/proc", pid, 0, "environ", environment, sizeof(environment));
    for (ssize_t at = 0; at < got; at += (ssize_t)strlen(environment + at) + 1) {
        if (strncmp(environment + at, name, sizeof(name) - 1) == 0) {
            snprintf(to, cap, "%s", environment + at + sizeof(name) - 1);
            return *to == '/';
        }
    }
    return false;
}

int gmr__client_connect(pid_t pid, uint64_t deadline_ns)
{
    pid_t own_pid;
    uid_t uid;
    char runtime[1024] = "", path[1280], directories[4][1040];
    if (!identity(pid, &own_pid, &uid))
        return -ESRCH;
    snprintf(directories[0], sizeof(directories[0]), "/run/gmr");
    directories[1][0] = '\0';
    if (runtime_directory_of(pid, runtime, sizeof(runtime)))
        snprintf(directories[1], sizeof(directories[1]), "%s/gmr", runtime);
    snprintf(directories[2], sizeof(directories[2]), "/run/user/%u/gmr", uid);
    snprintf(directories[3], sizeof(directories[3]), "/tmp/gmr-%u", uid);

    int worst = -ENOENT;
    for (size_t i = 0; i < 4; i++) {
        if (!directories[i][0])
            continue;
        /* First as the process sees it: in a container or a chroot our /run is another one. */
        for (int through_root = 1; through_root >= 0; through_root--) {
            char prefix[48] = "";
            if (through_root)
                gmr__proc_path(prefix, sizeof(prefix), "/proc", pid, 0, "root");
            if ((size_t)snprintf(path, sizeof(path), "%s%s/%d.sock", prefix, directories[i], (int)own_pid) >=
                sizeof(path))
                continue;
            int fd = gmr__client_connect_path(path, pid, deadline_ns, NULL);
            if (fd >= 0)
                return fd;
            if (fd == -ETIMEDOUT)
                return fd;
            if (fd != -ENOENT && fd != -ENOTDIR)
                worst = fd;
        }
    }
    return worst;
}

static int each_in_directory(const char *directory, int (*each)(void *, const char *, pid_t), void *userdata)
{
    char path[PATH_MAX];
    int status = 0;
    DIR *listing = opendir(directory);
    if (!listing)
        return 0;
    for (struct dirent *entry; status == 0 && (entry = readdir(listing));) {
        const char *at = entry->d_name;
        uint64_t pid;
        if (!gmr__parse_uint(&at, &pid) || pid == 0 || pid > INT_MAX || strcmp(at, ".sock") != 0)
            continue;
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) < sizeof(path))
            status = each(userdata, path, (pid_t)pid);
    }
    closedir(listing);
    return status;
}

/* parent/PREFIX*suffix for every entry of parent. */
static int each_below(const char *parent, const char *prefix, const char *suffix,
                      int (*each)(void *, const char *, pid_t), void *userdata)
{
    char path[PATH_MAX];
    int status = 0;
    DIR *listing = opendir(parent);
    if (!listing)
        return 0;
    for (struct dirent *entry; status == 0 && (entry = readdir(listing));) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        if ((size_t)snprintf(path, sizeof(path), "%s/%s%s", parent, entry->d_name, suffix) < sizeof(path))
            status = each_in_directory(path, each, userdata);
    }
    closedir(listing);
    return status;
}

int gmr__client_each_socket(int (*each)(void *userdata, const char *path, pid_t pid), void *userdata)
{
    char path[PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int status = each_in_directory("/run/gmr", each, userdata);
    if (status == 0 && runtime && *runtime == '/' && strncmp(runtime, "/run/user/", 10) != 0) {
        snprintf(path, sizeof(path), "%s/gmr", runtime);
        status = each_in_directory(path, each, userdata);
    }
    if (status == 0)
        status = each_below("/run/user", "", "/gmr", each, userdata);
    if (status == 0)
        status = each_below("/tmp", "gmr-", "", each, userdata);
    return status;
}

/* ------------------------------------------------------------------------------------------------ the conversation */

int gmr__client_send(int fd, const char *line, uint64_t deadline_ns)
{
    size_t bytes = strlen(line);
    while (bytes > 0) {
        ssize_t sent = send(fd, line, bytes, MSG_NOSIGNAL);
        if (sent > 0) {
            line += sent;
            bytes -= (size_t)sent;
        } else if (sent < 0 && errno == EAGAIN) {
            int status = wait_for(fd, POLLOUT, deadline_ns);
            if (status < 0)
                return status;
        } else if (sent < 0 && errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* At least one byte, 0 at the end, or -errno. */
static ssize_t receive(int fd, void *to, size_t cap, uint64_t deadline_ns)
{
    for (;;) {
        ssize_t got = recv(fd, to, cap, 0);
        if (got >= 0)
            return got;
        if (errno == EAGAIN) {
            int status = wait_for(fd, POLLIN, deadline_ns);
            if (status < 0)
                return status;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

ssize_t gmr__client_read(int fd, char *text, size_t cap, uint64_t deadline_ns)
{
    size_t used = 0;
    for (;;) {
        if (used + 1 >= cap)
            return -EMSGSIZE;
        ssize_t got = receive(fd, text + used, cap - used - 1, deadline_ns);
        if (got < 0)
            return got;
        used += (size_t)got;
        text[used] = '\0';
        if (got == 0)
            return (ssize_t)used;
    }
}

int gmr__client_replay(int fd, struct gmr__wire_in *in, uint64_t deadline_ns)
{
    static unsigned char bytes[1 << 16];
    for (;;) {
        ssize_t got = receive(fd, bytes, sizeof(bytes), deadline_ns);
        if (got <= 0)
            return (int)got;
        int status = gmr__wire_feed(in, bytes, (size_t)got);
        if (status < 0)
            return status;
    }
}
