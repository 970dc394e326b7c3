/*
 * sys/pin_as.c - one process, held on to: when it ends and its number is given to another one, /proc shows nothing rather than the other one.
 *
 * Both halves link it; only the gmr command and the inspector pin (libgmr looks at its own process alone). A directory of procfs belongs to
 * the process it was opened for, not to its number (fs/proc/base.c: its inode keeps the struct pid), so all paths of that process lead
 * through the open directory. What takes a number - ptrace, process_vm_readv - is followed by a look whether the process is still there:
 * if it is, the number was its own all the time. Processes forked from here inherit the descriptor.
 */
#include "sys/pin.h"

#include <errno.h>

#include "sys/buf.h"
#include "sys/proc.h"
#include "sys/sys.h"

static struct {
    pid_t pid; /* 0: none */
    int fd;
    char path[32];
} pinned;

static bool is_there(int directory, const char *name)
{
    struct stat status;
    return GMR__SYS(SYS_newfstatat, directory, name, &status, 0, 0, 0) == 0;
}

void gmr__unpin(void)
{
    if (pinned.pid)
        gmr__close(pinned.fd);
    pinned.pid = 0;
}

int gmr__pin(pid_t pid)
{
    char path[GMR__PROC_PATH_MAX];
    struct gmr__buf text;
    gmr__unpin();
    if (pid <= 0)
        return -ESRCH;
    int fd = gmr__open(gmr__proc_path(path, sizeof(path), "/proc", pid, 0, NULL), O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOENT ? -ESRCH : fd;
    gmr__buf_init(&text, pinned.path, sizeof(pinned.path));
    gmr__buf_str(&text, "/proc/self/fd/");
    gmr__buf_uint(&text, (uint64_t)fd);
    pinned.pid = pid;
    pinned.fd = fd;
    if (is_there(AT_FDCWD, gmr__proc_path(path, sizeof(path), "/proc", pid, 0, "stat")))
        return 0;
    /* Ended in this moment; or no way leads through /proc/self: a /proc of another pid namespace. */
    gmr__unpin();
    return is_there(AT_FDCWD, gmr__proc_path(path, sizeof(path), "/proc", pid, 0, "stat")) ? -ENOTSUP : -ESRCH;
}

const char *gmr__pinned_path(const char *proc, pid_t pid)
{
    return pid > 0 && pid == pinned.pid && gmr__streq(proc, "/proc") ? pinned.path : NULL;
}

bool gmr__pinned_gone(pid_t pid, pid_t tid)
{
    char thread[32];
    struct gmr__buf name;
    if (pid <= 0 || pid != pinned.pid)
        return false;
    gmr__buf_init(&name, thread, sizeof(thread));
    if (tid > 0 && tid != pid) {
        gmr__buf_str(&name, "task/");
        gmr__buf_uint(&name, (uint64_t)tid);
        gmr__buf_char(&name, '/');
    }
    gmr__buf_str(&name, "stat");
    return !is_there(pinned.fd, thread);
}
