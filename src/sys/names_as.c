/*
 * sys/names_as.c - user names by number and times as text, without libc's databases; the names of libgmr's threads.
 *
 * Both halves, any context: async-signal-safe. getpwuid would load NSS modules, ask the network and take locks; here only
 * the passwd file itself is read. Callers: the sections, cli.
 */
#include <errno.h>
#include <stdint.h>

#include "sys/buf.h"
#include "sys/proc.h"

bool gmr__is_own_thread(const char *name)
{
    return name && (gmr__streq(name, GMR__REPORTER_NAME) || gmr__streq(name, GMR__RUNNER_NAME));
}

void gmr__iso_time(char *to, size_t cap, uint64_t seconds)
{
    struct gmr__buf buf;
    if (seconds > 253402300799u) /* 9999-12-31T23:59:59Z */
        seconds = 253402300799u;
    /* Days to a date in the proleptic Gregorian calendar, with years that begin in March, so that the leap day is the last. */
    uint64_t days = seconds / 86400 + 719468; /* since 0000-03-01 */
    uint64_t era = days / 146097, of_era = days % 146097;
    uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t shifted = (5 * of_year + 2) / 153;
    uint64_t day = of_year - (153 * shifted + 2) / 5 + 1;
    uint64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    uint64_t year = year_of_era + era * 400 + (month <= 2);
    gmr__buf_init(&buf, to, cap);
    gmr__buf_pad(&buf, year, 4);
    gmr__buf_char(&buf, '-');
    gmr__buf_pad(&buf, month, 2);
    gmr__buf_char(&buf, '-');
    gmr__buf_pad(&buf, day, 2);
    gmr__buf_char(&buf, 'T');
    gmr__buf_pad(&buf, seconds / 3600 % 24, 2);
    gmr__buf_char(&buf, ':');
    gmr__buf_pad(&buf, seconds / 60 % 60, 2);
    gmr__buf_char(&buf, ':');
    gmr__buf_pad(&buf, seconds % 60, 2);
    gmr__buf_char(&buf, 'Z');
}

/* name:password:uid:... */
static bool line_is(char *line, unsigned uid)
{
    char *end = line;
    while (*end && *end != ':')
        end++;
    const char *at = end;
    uint64_t number;
    if (end == line || *at++ != ':')
        return false;
    while (*at && *at != ':')
        at++;
    if (*at++ != ':' || !gmr__parse_uint(&at, &number) || *at != ':' || number != uid)
        return false;
    *end = '\0';
    return true;
}

int gmr__user_name(const char *root, unsigned uid, char *to, size_t cap)
{
    struct gmr__lines lines;
    struct gmr__buf name;
    char path[GMR__PROC_PATH_MAX];
    gmr__buf_init(&name, path, sizeof(path));
    gmr__buf_str(&name, root);
    gmr__buf_str(&name, "/etc/passwd");
    bool found = false;
    int error = name.overflow ? -ENAMETOOLONG : gmr__lines_open(&lines, path);
    gmr__buf_init(&name, to, cap);
    if (!error) {
        for (char *line; !found && (line = gmr__lines_next(&lines, NULL));) {
            found = line_is(line, uid);
            if (found)
                gmr__buf_str(&name, line);
        }
        error = lines.error;
        gmr__lines_close(&lines);
    }
    if (!found)
        gmr__buf_uint(&name, uid);
    return found ? 0 : error;
}
