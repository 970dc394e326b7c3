/*
 * section/note_as.c - statuses, errors in words, and text for the sections' own layouts.
 *
 * Both halves, any context: async-signal-safe. Callers: src/section only.
 */
#include "section/note.h"

#include <errno.h>

#include "sys/sys.h"

void gmr__section_note(struct gmr__section_status *status, enum gmr__status level, const char *reason,
                       const char *next_step)
{
    struct gmr__buf buf;
    if (status->status < level)
        status->status = level;
    if (reason && !status->reason[0]) {
        gmr__buf_init(&buf, status->reason, sizeof(status->reason));
        gmr__buf_str(&buf, reason);
        gmr__buf_init(&buf, status->next_step, sizeof(status->next_step));
        gmr__buf_str(&buf, next_step);
    }
}

const char *gmr__error_text(int error)
{
    switch (error < 0 ? -error : error) {
    case EACCES:
    case EPERM:
        return "permission denied";
    case ENOENT:
        return "not there";
    case ESRCH:
        return "no such process";
    case EMFILE:
    case ENFILE:
        return "out of file descriptors";
    case ENOMEM:
        return "out of memory";
    case EBADMSG:
        return "not in the expected form";
    case ETIMEDOUT:
        return "out of time";
    case ENOSYS:
        return "not in this kernel";
    default:
        return "can't be read";
    }
}

static const char *next_step_for(int error)
{
    switch (-error) {
    case EACCES:
    case EPERM:
        return "run gmr as root or as the process' user";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files";
    default:
        return NULL;
    }
}

void gmr__section_error(struct gmr__section_status *status, enum gmr__status level, const char *what, int error)
{
    char reason[sizeof(status->reason)];
    struct gmr__buf buf;
    gmr__buf_init(&buf, reason, sizeof(reason));
    gmr__buf_str(&buf, what);
    gmr__buf_str(&buf, ": ");
    gmr__buf_str(&buf, gmr__error_text(error));
    gmr__section_note(status, level, reason, next_step_for(error));
}

void gmr__section_unread(struct gmr__section_status *status, const char *what, int error)
{
    if (error < 0 && error != -ENOENT && error != -ESRCH && error != -ENODEV)
        gmr__section_error(status, GMR__PARTIAL, what, error);
}

void gmr__section_count(struct gmr__section_status *status, enum gmr__status level, uint64_t count, const char *what)
{
    char reason[sizeof(status->reason)];
    struct gmr__buf buf;
    gmr__buf_init(&buf, reason, sizeof(reason));
    gmr__buf_uint(&buf, count);
    gmr__buf_char(&buf, ' ');
    gmr__buf_str(&buf, what);
    gmr__section_note(status, level, reason, NULL);
}

bool gmr__target_late(const struct gmr__target *target)
{
    return target->deadline_ns && gmr__now_ns() > target->deadline_ns;
}

/* How many bytes of a valid UTF-8 character above ASCII begin at text; 0: none. */
static size_t utf8_length(const unsigned char *text, size_t left)
{
    size_t n = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool beyond = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || beyond ? 0 : n;
}

void gmr__buf_text(struct gmr__buf *buf, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count;) {
        unsigned char c = (unsigned char)bytes[i];
        size_t n = c >= 0x80 ? utf8_length((const unsigned char *)bytes + i, count - i) : c >= ' ' && c != 0x7f;
        if (n == 2 && c == 0xc2 && (unsigned char)bytes[i + 1] < 0xa0) { /* U+0080 to U+009F */
            c = (unsigned char)bytes[++i];
            n = 0;
        }
        if (n) {
            gmr__buf_bytes(buf, bytes + i, n);
            i += n;
            continue;
        }
        gmr__buf_str(buf, "\\x");
        gmr__buf_char(buf, "0123456789abcdef"[c >> 4]);
        gmr__buf_char(buf, "0123456789abcdef"[c & 15]);
        i++;
    }
}

void gmr__buf_size(struct gmr__buf *buf, uint64_t bytes)
{
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    unsigned unit = 0;
    uint64_t whole = bytes, rest = 0;
    for (; whole >= 1024 && unit < 6; unit++) {
        rest = whole % 1024;
        whole /= 1024;
    }
    gmr__buf_uint(buf, whole);
    if (unit) {
        gmr__buf_char(buf, '.');
        gmr__buf_uint(buf, rest * 10 / 1024);
    }
    gmr__buf_str(buf, units[unit]);
}

void gmr__buf_column(struct gmr__buf *buf, size_t column)
{
    do {
        gmr__buf_char(buf, ' ');
    } while (buf->used < column && !buf->overflow);
}
