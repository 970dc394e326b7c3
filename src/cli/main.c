/*
 * cli/main.c - the gmr command: picks the subcommand.
 *
 * The same binary is the inspector that libgmr starts beside a target; it is told apart by its argv[0], because libgmr
 * knows one path only and an inspector must never be taken for something a user typed. Linked statically, so that it
 * starts under a broken loader, in a chroot, and whatever LD_* says.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "gmr/gmr.h"
#include "sys/sys.h"

struct command {
    const char *name;
    gmr__command run;
};

static const struct command commands[] = {
    {"report", gmr__cmd_report},   {"run", gmr__cmd_run},     {"list", gmr__cmd_list},
    {"trigger", gmr__cmd_trigger}, {"show", gmr__cmd_show},   {"core", gmr__cmd_core},
    {"doctor", gmr__cmd_doctor},   {"scrub", gmr__cmd_scrub}, {"symbolize", gmr__cmd_symbolize},
    {"help", gmr__cmd_help},
};

/* A closed standard descriptor would be given to the next file that is opened, and the report written over it. */
static void occupy_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0 || errno != EBADF)
            continue;
        /* Opened the wrong way round, so that using it fails instead of losing bytes silently. */
        int got = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
        if (got >= 0 && got != fd)
            close(got);
    }
}

/* libdw and libc give up so when memory ends where they did not expect it. The caller is to hear of it in our words and codes. */
static void gave_up(int signal)
{
    static const char text[] = "gmr: gave up: most likely it ran out of memory\n     What was written is not whole.\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    (void)signal;
    _exit(GMR__EXIT_FAILED);
}

int gmr__cmd_help(int argc, char **argv)
{
    if (argc < 2)
        return gmr__print(gmr__help_overview());
    return gmr__command_help(argv[1]);
}

int gmr__command_help(const char *command)
{
    const char *page = gmr__help_page(command);
    if (!page)
        return gmr__fail(GMR__EXIT_USAGE, "see: gmr help", "there is no command '%s'", command);
    return gmr__print(page);
}

static int version(void)
{
    return gmr__print("gmr " GMR_BUILD_VERSION "\n");
}

int main(int argc, char **argv)
{
    if (argc < 1 || !argv[0])
        return GMR__EXIT_USAGE;
    const char *slash = strrchr(argv[0], '/');
    const char *self = slash ? slash + 1 : argv[0];
    if (strcmp(self, "gmr-inspector") == 0)
        return gmr__inspector_main(argc, argv);

    occupy_standard_descriptors();
    signal(SIGABRT, gave_up);
    signal(SIGPIPE, SIG_IGN); /* EPIPE has an exit code like any other failure to write */
    if (argc < 2) {
        fputs(gmr__help_overview(), stderr);
        return GMR__EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0 || strcmp(name, "version") == 0)
        return version();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return gmr__print(gmr__help_overview());
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        for (int a = 2; a < argc && strcmp(argv[a], "--") != 0; a++)
            if (strcmp(argv[a], "--help") == 0)
                return gmr__command_help(name);
        return commands[i].run(argc - 1, argv + 1);
    }
    return gmr__fail(GMR__EXIT_USAGE, "see: gmr help", "there is no command '%s'", name);
}
