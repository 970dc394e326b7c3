/*
 * report/output_as.c - see report/output.h.
 *
 * Reporter thread; async-signal-safe. Must never follow a link, reuse a file, or lose a report because the first place did not take it.
 */
#include "report/output.h"

#include <errno.h>
#include <linux/openat2.h>
#include <syslog.h>

#include "report/assemble.h"
#include "report/runtime.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define NAME_BYTES 255

static void name_file(struct gmr__buf *buf, uint64_t realtime_ns, unsigned number)
{
    char time[GMR__TIME_TEXT];
    gmr__utc_text(realtime_ns, false, time); /* UTC, as oslo.utils' timeutils.utcnow */
    gmr__buf_str(buf, gmr__rt.settings->file_service);
    gmr__buf_str(buf, "_gurumeditation_");
    gmr__buf_str(buf, time);
    gmr__buf_char(buf, '_');
    gmr__buf_int(buf, gmr__getpid());
    gmr__buf_char(buf, '_');
    gmr__buf_uint(buf, number);
}

/* Created by nobody but us; pids repeat across containers that share a directory, hence more than one try. */
static int create_file(int directory, char *name, size_t cap)
{
    static unsigned counter;
    for (int tries = 0; tries < 100; tries++) {
        struct gmr__buf buf;
        gmr__buf_init(&buf, name, cap);
        name_file(&buf, gmr__realtime_ns(), ++counter);
        int fd = gmr__openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY, 0600);
        if (fd != -EEXIST)
            return fd;
    }
    return -EEXIST;
}

static int to_directory(struct gmr__spool *spool, uint64_t deadline_ns, const char *path, char *name, size_t cap)
{
    int directory = gmr__open(path, O_RDONLY | O_DIRECTORY);
    if (directory < 0)
        return directory;
    int fd = create_file(directory, name, cap);
    int error = fd < 0 ? fd : gmr__write_spool(fd, spool, deadline_ns, false);
    if (fd >= 0) {
        /* Some file systems tell of a full disk only here. */
        long closed = GMR__SYS(SYS_close, fd, 0, 0, 0, 0, 0);
        if (!error && closed < 0 && closed != -EINTR)
            error = (int)closed;
        if (error)
            GMR__SYS(SYS_unlinkat, directory, name, 0, 0, 0, 0); /* half a report helps nobody, and fills the disk */
    }
    if (!error) {
        char prefix[128];
        struct gmr__buf buf;
        gmr__buf_init(&buf, prefix, sizeof(prefix));
        gmr__buf_str(&buf, gmr__rt.settings->file_service);
        gmr__buf_str(&buf, "_gurumeditation_");
        gmr__retain(directory, prefix, name, gmr__rt.settings->max_files, gmr__rt.settings->max_files_bytes);
    }
    gmr__close(directory);
    return error;
}

static int to_stderr(struct gmr__spool *spool, uint64_t deadline_ns)
{
    int fd = gmr__fetch_stderr();
    if (fd < 0)
        return fd;
    int error = gmr__write_spool(fd, spool, deadline_ns, true);
    gmr__close_fetched(fd);
    return error;
}

int gmr__output(struct gmr__spool *spool, uint64_t deadline_ns, char *where, size_t where_cap)
{
    const struct gmr__settings *s = gmr__rt.settings;
    char place[32];
    struct gmr__buf buf;
    gmr__buf_init(&buf, where, where_cap);
    if (s->log_dir) {
        char name[NAME_BYTES + 1];
        int error = to_directory(spool, deadline_ns, s->log_dir, name, sizeof(name));
        gmr__buf_str(&buf, s->log_dir);
        if (!error) {
            gmr__buf_char(&buf, '/');
            gmr__buf_str(&buf, name);
            gmr__log(LOG_NOTICE, "Guru Meditation Report written to ", where, NULL);
            return 0;
        }
        gmr__log(LOG_WARNING, where,
                 " can't take the report, which follows on standard error: ", gmr__errno_text(-error, place));
        gmr__buf_init(&buf, where, where_cap);
    }
    int error = to_stderr(spool, deadline_ns);
    if (!error) {
        gmr__buf_str(&buf, "standard error");
        return 0;
    }
    gmr__buf_str(&buf, "nowhere: standard error can't be written: ");
    gmr__buf_str(&buf, gmr__errno_text(-error, place));
    if (s->log)
        gmr__log(LOG_ERR, "the Guru Meditation Report went ", where, ". Set a log_dir");
    return error;
}
