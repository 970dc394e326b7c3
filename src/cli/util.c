/*
 * cli/util.c - what every subcommand needs: messages with a next step, and parsing of the small things on a command line.
 *
 * The gmr command only.
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/cli.h"
#include "gmr/gmr.h"

int gmr__fail(enum gmr__exit code, const char *next_step, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("gmr: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (next_step && *next_step)
        fprintf(stderr, "     %s\n", next_step);
    return (int)code;
}

void gmr__tame(char *text)
{
    unsigned char before = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool upper = before == 0xc2 && c >= 0x80 && c < 0xa0; /* U+0080 to U+009F */
        if (upper)
            text[-1] = '?';
        if (c < ' ' || c == 0x7f || upper)
            *text = '?';
        before = c;
    }
}

void gmr__note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("gmr: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int gmr__print(const char *text)
{
    if (fputs(text, stdout) == EOF || fflush(stdout) == EOF)
        return errno == EPIPE
                   ? GMR__EXIT_OUTPUT
                   : gmr__fail(GMR__EXIT_OUTPUT, NULL, "can't write to standard output: %s", strerror(errno));
    return GMR__EXIT_WHOLE;
}

/* The first line of the page is the usage line. */
int gmr__usage(const char *command)
{
    const char *page = gmr__help_page(command);
    if (page)
        fprintf(stderr, "%.*s\n     see: gmr %s --help\n", (int)strcspn(page, "\n"), page, command);
    return GMR__EXIT_USAGE;
}

int gmr__parse_view(const char *text)
{
    if (strcasecmp(text, "text") == 0)
        return GMR_VIEW_TEXT;
    if (strcasecmp(text, "json") == 0)
        return GMR_VIEW_JSON;
    if (strcasecmp(text, "xml") == 0)
        return GMR_VIEW_XML;
    return 0;
}

bool gmr__parse_number(const char *text, long low, long high, long *value)
{
    if (!isdigit((unsigned char)*text) && *text != '-')
        return false;
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || end == text || number < low || number > high)
        return false;
    *value = number;
    return true;
}

int gmr__parse_signal(const char *text)
{
    long number;
    if (strcasecmp(text, "none") == 0)
        return GMR_SIGNAL_NONE;
    if (gmr__parse_number(text, 1, SIGRTMAX, &number))
        return (int)number;
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    if (strncasecmp(text, "RTMIN+", 6) == 0 && gmr__parse_number(text + 6, 0, SIGRTMAX - SIGRTMIN, &number))
        return SIGRTMIN + (int)number;
    for (int signo = 1; signo < SIGRTMIN; signo++) {
        const char *name = sigabbrev_np(signo);
        if (name && strcasecmp(name, text) == 0)
            return signo;
    }
    return 0;
}
