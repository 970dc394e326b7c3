/*
 * cli/cli.h - what the files of the gmr command share: its subcommands, its exit codes, how it speaks of failures.
 *
 * The gmr command only, an ordinary single-threaded process that may use all of libc. Nothing here runs in a target.
 */
#ifndef GMR_CLI_CLI_H
#define GMR_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* The exit codes of every subcommand; gmr(1) documents them. */
enum gmr__exit {
    GMR__EXIT_WHOLE = 0,
    GMR__EXIT_PARTIAL = 1,          /* the report came, but a section is missing or cut short: its status says why */
    GMR__EXIT_USAGE = 2,            /* wrong options or arguments */
    GMR__EXIT_NO_PROCESS = 3,       /* no process, or more than one, is meant; no such file for core and show */
    GMR__EXIT_NOT_PERMITTED = 4,    /* it belongs to another user */
    GMR__EXIT_NOT_POSSIBLE = 5,     /* a kernel thread, a zombie, it ended meanwhile, it carries no libgmr */
    GMR__EXIT_OUTPUT = 6,           /* the report can't be written: disk full, closed output */
    GMR__EXIT_FAILED = 7,           /* no memory, or a failure that none of the above names */
    GMR__EXIT_CANNOT_EXECUTE = 126, /* gmr run: as in a shell */
    GMR__EXIT_NOT_FOUND = 127,
};

/* Subcommands: argv[0] is the subcommand's name; they return an exit code. */
typedef int (*gmr__command)(int argc, char **argv);
int gmr__cmd_report(int argc, char **argv);
int gmr__cmd_run(int argc, char **argv);
int gmr__cmd_list(int argc, char **argv);
int gmr__cmd_trigger(int argc, char **argv);
int gmr__cmd_help(int argc, char **argv);
int gmr__cmd_show(int argc, char **argv);
int gmr__cmd_scrub(int argc, char **argv);
int gmr__cmd_core(int argc, char **argv);
int gmr__cmd_symbolize(int argc, char **argv);
int gmr__cmd_doctor(int argc, char **argv);
/* The inspector that libgmr starts: chosen by argv[0], not by a subcommand. */
int gmr__inspector_main(int argc, char **argv);

/* Prints "gmr: SENTENCE" on standard error and, where next_step is not NULL, the next step on a line of its own. Returns code. */
int gmr__fail(enum gmr__exit code, const char *next_step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void gmr__note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a process says of itself, for a terminal: the bytes of control characters become question marks. */
void gmr__tame(char *text);

/* Prints a help page on standard output; GMR__EXIT_OUTPUT if that fails. */
int gmr__print(const char *text);
/* Prints the usage line of a subcommand on standard error. Returns GMR__EXIT_USAGE. */
int gmr__usage(const char *command);
/* "--help" of a subcommand. */
int gmr__command_help(const char *command);
/* The page of a subcommand, NULL if there is none (help.c). */
const char *gmr__help_page(const char *command);
const char *gmr__help_overview(void);

/* Parses "text", "json", "xml" into enum gmr_view; 0 if it is none of them. */
int gmr__parse_view(const char *text);
/* A whole decimal number in [low, high]; false if it is anything else. */
bool gmr__parse_number(const char *text, long low, long high, long *value);
/* "USR2", "SIGUSR2", "12", "RTMIN+3"; 0 if it is none. "none" gives -1. */
int gmr__parse_signal(const char *text);

#endif
