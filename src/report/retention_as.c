/*
 * report/retention_as.c - keeps the number and size of the reports in log_dir within limits, so that a trigger in a loop can't fill a disk.
 *
 * Reporter thread; async-signal-safe, no memory: the directory is read again for each file that goes. Touches only regular files of our own
 * with a name that gmr gives: SERVICE_gurumeditation_14DIGITS_PID_N.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "report/output.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define MOST_REMOVALS 200 /* per report: a directory that is far over the limit is worked off over several */

struct entry { /* struct linux_dirent64, getdents64(2) */
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

struct oldest {
    unsigned count;
    uint64_t bytes;
    int64_t modified_ns;
    char name[256];
};

static bool digits(const char **at, int least, int most)
{
    int n = 0;
    while (**at >= '0' && **at <= '9') {
        (*at)++;
        n++;
    }
    return n >= least && n <= most;
}

static bool is_report(const char *name, const char *prefix)
{
    if (!gmr__starts_with(name, prefix))
        return false;
    const char *at = name + gmr__strlen(prefix);
    if (!digits(&at, 14, 14) || *at++ != '_' || !digits(&at, 1, 10) || *at++ != '_' || !digits(&at, 1, 10))
        return false;
    return *at == '\0';
}

static void look_at(int directory, const char *name, const char *keep, struct oldest *oldest)
{
    struct stat st;
    if (GMR__SYS(SYS_newfstatat, directory, name, &st, AT_SYMLINK_NOFOLLOW, 0, 0) != 0 || !S_ISREG(st.st_mode) ||
        st.st_uid != (uid_t)GMR__SYS(SYS_geteuid, 0, 0, 0, 0, 0, 0))
        return;
    oldest->count++;
    oldest->bytes += (uint64_t)st.st_size;
    int64_t modified = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    if (gmr__streq(name, keep) || (oldest->name[0] && modified >= oldest->modified_ns))
        return;
    struct gmr__buf buf;
    gmr__buf_init(&buf, oldest->name, sizeof(oldest->name));
    gmr__buf_str(&buf, name);
    oldest->modified_ns = modified;
}

static int scan(int directory, const char *prefix, const char *keep, struct oldest *oldest)
{
    _Alignas(8) char bytes[8192];
    *oldest = (struct oldest){0};
    if (GMR__SYS(SYS_lseek, directory, 0, SEEK_SET, 0, 0, 0) != 0)
        return -EIO;
    for (;;) {
        long n = GMR__SYS(SYS_getdents64, directory, bytes, sizeof(bytes), 0, 0, 0);
        if (n <= 0)
            return (int)n;
        for (long at = 0; at < n;) {
            const struct entry *entry = (const struct entry *)(bytes + at);
            if (is_report(entry->name, prefix))
                look_at(directory, entry->name, keep, oldest);
            at += entry->bytes;
        }
    }
}

void gmr__retain(int directory, const char *prefix, const char *keep, unsigned max_files, uint64_t max_bytes)
{
    struct oldest oldest;
    for (int n = 0; n < MOST_REMOVALS; n++) {
        if (scan(directory, prefix, keep, &oldest) != 0 || !oldest.name[0])
            return;
        if (oldest.count <= max_files && oldest.bytes <= max_bytes)
            return;
        if (GMR__SYS(SYS_unlinkat, directory, oldest.name, 0, 0, 0, 0) != 0)
            return;
    }
}
