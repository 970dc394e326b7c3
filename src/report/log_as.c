/*
 * report/log_as.c - the library's few sentences to people, and names for error numbers.
 *
 * Any thread of libgmr's; async-signal-safe. The program's log callback is the program's code, so it runs on a runner with a deadline, like a
 * generator; without one the sentence goes to standard error.
 */
#include <errno.h>

#include "report/crash.h"
#include "report/output.h"
#include "report/registry.h"
#include "report/runtime.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define LOG_DEADLINE_NS 2000000000u

void gmr__log(int priority, const char *a, const char *b, const char *c)
{
    char line[5120];
    struct gmr__buf buf;
    const struct gmr__settings *s = gmr__rt.settings;
    bool callback = s && s->log && !atomic_load(&gmr__crash.tid); /* of a crashed program no code is run */
    gmr__buf_init(&buf, line, sizeof(line) - 1);
    if (!callback)
        gmr__buf_str(&buf, "gmr: ");
    gmr__buf_str(&buf, a);
    gmr__buf_str(&buf, b);
    gmr__buf_str(&buf, c);
    uint64_t deadline_ns = gmr__now_ns() + LOG_DEADLINE_NS;
    if (callback) {
        gmr__runner_log(priority, line, deadline_ns);
        return;
    }
    line[buf.used++] = '\n';
    int fd = gmr__fetch_stderr();
    if (fd < 0)
        return;
    gmr__write_text(fd, line, buf.used, deadline_ns);
    gmr__close_fetched(fd);
}

const char *gmr__errno_text(int error, char place[32])
{
    static const struct {
        int error;
        const char *text;
    } known[] = {
        {EPERM, "not permitted (EPERM)"},
        {ENOENT, "no such file or directory (ENOENT)"},
        {ESRCH, "no such process (ESRCH)"},
        {EINTR, "interrupted (EINTR)"},
        {EIO, "input/output error (EIO)"},
        {EBADF, "it is closed (EBADF)"},
        {EAGAIN, "no resources at the moment (EAGAIN)"},
        {ENOMEM, "no memory (ENOMEM)"},
        {EACCES, "permission denied (EACCES)"},
        {EEXIST, "it exists (EEXIST)"},
        {ENOTDIR, "not a directory (ENOTDIR)"},
        {EINVAL, "invalid (EINVAL)"},
        {EMFILE, "out of file descriptors (EMFILE)"},
        {ENFILE, "the system is out of file descriptors (ENFILE)"},
        {EFBIG, "larger than the file size limit (EFBIG)"},
        {ENOSPC, "no space left on device (ENOSPC)"},
        {EROFS, "read-only file system (EROFS)"},
        {EPIPE, "nobody reads it (EPIPE)"},
        {ENAMETOOLONG, "name too long (ENAMETOOLONG)"},
        {ENOSYS, "not in this kernel, or filtered (ENOSYS)"},
        {ELOOP, "too many symbolic links (ELOOP)"},
        {EDQUOT, "over quota (EDQUOT)"},
        {ETIMEDOUT, "nobody reads it fast enough (ETIMEDOUT)"},
        {ENOEXEC, "not an executable (ENOEXEC)"},
        {EADDRINUSE, "address in use (EADDRINUSE)"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].error == error)
            return known[i].text;
    struct gmr__buf buf;
    gmr__buf_init(&buf, place, 32);
    gmr__buf_str(&buf, "error ");
    gmr__buf_int(&buf, error);
    return place;
}

void gmr__setup_problem(const char *text, const char *detail, int error)
{
    char place[32];
    struct gmr__buf buf = {
        .text = gmr__rt.message, .cap = sizeof(gmr__rt.message), .used = gmr__strlen(gmr__rt.message)};
    if (buf.used)
        gmr__buf_char(&buf, ' ');
    gmr__buf_str(&buf, text);
    if (detail && detail[0]) {
        gmr__buf_str(&buf, " (");
        gmr__buf_str(&buf, detail);
        gmr__buf_char(&buf, ')');
    }
    if (error) {
        gmr__buf_str(&buf, ": ");
        gmr__buf_str(&buf, gmr__errno_text(error, place));
    }
    gmr__buf_char(&buf, '.');
}
