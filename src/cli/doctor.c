/*
 * cli/doctor.c - gmr doctor: would a report work here, of this process; what is missing; how to get it.
 *
 * The gmr command only. It tries rather than guesses where trying does no harm: tracing is tried on a child of its own, never on the process in
 * question, whose memory is only opened, which asks the kernel the same question (ptrace_may_access) without stopping anything.
 */
#include "cli/doctor.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static void finding(const char *mark, const char *format, va_list arguments)
{
    printf("  %-8s ", mark);
    vprintf(format, arguments);
    putchar('\n');
}

void gmr__doctor_good(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    finding("ok", format, arguments);
    va_end(arguments);
}

void gmr__doctor_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    finding("note", format, arguments);
    va_end(arguments);
}

void gmr__doctor_bad(const char *next_step, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    finding("missing", format, arguments);
    va_end(arguments);
    if (next_step)
        printf("           -> %s\n", next_step);
}

int gmr__cmd_doctor(int argc, char **argv)
{
    struct gmr__doctor_host host = {0};
    struct gmr__process process;
    if (argc > 2)
        return gmr__usage("doctor");
    if (argc == 2) {
        int code = gmr__process_find(argv[1], &process);
        if (code)
            return code;
    }
    char user[64];
    gmr__user_name("", geteuid(), user, sizeof(user));
    printf("This machine, as %s:\n", user);
    gmr__doctor_host(&host);
    int code = host.can_trace ? GMR__EXIT_WHOLE : GMR__EXIT_PARTIAL;
    if (argc == 2)
        code = gmr__doctor_process(&process, &host);
    else if (host.can_trace && host.capable)
        printf("Result: `gmr report PID` works for every process, by ptrace.\n");
    else if (host.can_trace)
        printf("Result: `gmr report PID` works by ptrace for %s's processes%s.\n", user,
               host.yama ? " as far as Yama lets it" : "");
    else
        printf("Result: `gmr report PID` can't trace here. A process that carries libgmr reports of itself all the "
               "same, by signals.\n");
    return fflush(stdout) == EOF ? gmr__fail(GMR__EXIT_OUTPUT, NULL, "can't write to standard output") : code;
}
