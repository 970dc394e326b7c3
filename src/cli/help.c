/*
 * cli/help.c - the text of `gmr help` and of every subcommand's --help. Data only.
 *
 * The first line of a page is its usage line, which a usage error prints alone. man/gmr.1 says the same at length: change both.
 */
#include <string.h>

#include "cli/cli.h"

static const char overview[] =
    "usage: gmr COMMAND [OPTION...] [ARGUMENT...]\n"
    "\n"
    "Guru Meditation Reports: what a running process is, and what each of its threads is doing.\n"
    "\n"
    "  report PID|NAME      report of any running process, from outside\n"
    "  run -- COMMAND ...   start a program so that `kill -USR2 PID` makes it report itself\n"
    "  list                 processes that carry libgmr, and their triggers\n"
    "  trigger PID|NAME     make such a process write its report where it writes them\n"
    "  core FILE [EXE]      report from a core file\n"
    "  show FILE            a stored JSON report as text, XML or JSON\n"
    "  symbolize FILE       add function names and lines to a stored JSON report\n"
    "  scrub FILE           take secrets, addresses and names out of a stored JSON report\n"
    "  doctor [PID]         what would work here, what is missing, how to get it\n"
    "  help [COMMAND]       this, or a command's options; also gmr COMMAND --help\n"
    "  --version\n"
    "\n"
    "exit status: 0 a whole report; 1 something is missing in it, and it says why; 2 usage; 3 no such process or file, "
    "or\n"
    "several; 4 not permitted; 5 no report can be made of it; 6 the output can't be written; 7 another failure\n";

static const char report[] =
    "usage: gmr report [OPTION...] PID|NAME\n"
    "\n"
    "Prints a report of a running process: every thread and green thread with its stack, the process and its children, "
    "limits,\n"
    "open files, modules, host. Needs nothing in the process; where it carries libgmr, its package, configuration and "
    "own\n"
    "sections are in the report too. Threads are held one at a time, for some tens of microseconds each.\n"
    "\n"
    "  -f, --format text|json|xml  default text\n"
    "  -o, --output FILE           a file, mode 0600, complete or not there at all; default standard output\n"
    "      --sections LIST         only these, by comma: package findings threads green_threads stacks processes "
    "configuration\n"
    "                              own limits environment open_files modules resources cgroup host\n"
    "      --all-at-once           stop all threads together, for one consistent picture\n"
    "      --each-thread           print every stack, even those that many threads share\n"
    "      --all-frames            print an interpreter's own C functions, too, where text only counts them beside "
    "Python's\n"
    "      --green FILTER          only these green threads, by comma: state=NAME[+NAME], name=, kind=, wait=, "
    "function=PATTERN,\n"
    "                              age=10s (at least), id=5-99, top=20 (groups), each (one by one), idle (spares of "
    "pools, too)\n"
    "      --max-stack-bytes N     copy at most N bytes of one stack; default 8388608\n"
    "      --max-frames N          print at most N frames of one stack; default 1000\n"
    "      --no-lines              function names only: no file:line, no inlined functions\n"
    "      --no-cache              do not use or fill the symbol cache\n"
    "      --debuginfod[=URL]      fetch missing debug information from URL or $DEBUGINFOD_URLS; never without this "
    "option\n"
    "      --timeout SECONDS       default 30\n";

static const char run[] =
    "usage: gmr run [OPTION...] [--] COMMAND [ARGUMENT...]\n"
    "\n"
    "Starts an unmodified, dynamically linked program with libgmr in it: `kill -USR2 PID` then prints a report of it "
    "on its\n"
    "standard error.\n"
    "\n"
    "  -s, --signal SIGNAL   report on this signal (USR2, RTMIN+3, 12 ...) or on none; default USR2\n"
    "      --log-dir DIR     write reports to files in DIR\n"
    "      --service NAME    the name in those files' names and in gmr list; default: the program's\n"
    "  -f, --view text|json|xml\n"
    "      --watch-file FILE report whenever FILE is touched\n"
    "      --config FILE     an INI file with an [oslo_reports] group\n"
    "      --on-crash        report on SIGSEGV, SIGABRT and the like, too\n"
    "      --no-socket       no control socket\n"
    "      --follow          programs that it starts get libgmr, too\n"
    "\n"
    "Refused: statically linked and set-uid programs, into which nothing can be preloaded.\n"
    "exit status: COMMAND's; 126 it can't be started so; 127 there is none\n";

static const char list[] =
    "usage: gmr list\n"
    "\n"
    "Lists the processes whose libgmr answers you: pid, service, version of libgmr, its age, triggers armed.\n";

static const char trigger[] =
    "usage: gmr trigger PID|NAME\n"
    "\n"
    "Makes a process that carries libgmr write its report where it writes them (standard error or its log\n"
    "directory), waits until that is done and prints where it went.\n";

static const char core[] =
    "usage: gmr core [OPTION...] FILE [EXECUTABLE]\n"
    "\n"
    "Prints a report from a core file: threads, process, modules. Takes the format, output, frame and symbol\n"
    "options of gmr report.\n";

static const char show[] =
    "usage: gmr show [--format text|xml|json] [--all-frames] [-o FILE] FILE\n"
    "\n"
    "Converts a stored JSON report. FILE - is standard input. --all-frames: text with an interpreter's own "
    "C functions.\n";

static const char symbolize[] =
    "usage: gmr symbolize [OPTION...] FILE\n"
    "\n"
    "Adds functions, files and lines to the frames of a stored JSON report that have none, from ELF files with the "
    "same\n"
    "build ids: those named, the modules' own paths, /usr/lib/debug, a debuginfod server. FILE - is standard input.\n"
    "\n"
    "  --file ELF              a program, library or debug file; may be given more than once\n"
    "  --no-cache              do not use or fill the symbol cache\n"
    "  --debuginfod[=URL]      ask this server, or that of DEBUGINFOD_URLS\n"
    "  -f, --format FORMAT     json (default), text, xml\n"
    "  -o, --output FILE       write there instead of to standard output\n";

static const char scrub[] =
    "usage: gmr scrub [OPTION...] FILE\n"
    "\n"
    "Takes what looks like a secret out of a stored JSON report and prints the rest. FILE - is standard input.\n"
    "\n"
    "      --addresses       addresses of memory and of networks, too\n"
    "      --hosts           the host's name, hosts in URLs and network addresses, too\n"
    "  -o, --output FILE     write there\n";

static const char doctor[] = "usage: gmr doctor [PID]\n"
                             "\n"
                             "Tells which way of taking a report would work here (of PID), what is missing, and how to "
                             "get it. The process is not\n"
                             "touched: tracing is tried on a child of gmr's own.\n"
                             "\n"
                             "exit status: 0 a whole report can be taken; 1 only a part; 3, 4, 5 as for the others\n";

static const char help[] = "usage: gmr help [COMMAND]\n";

static const struct {
    const char *command, *page;
} pages[] = {
    {"report", report}, {"run", run},   {"list", list},           {"trigger", trigger},
    {"core", core},     {"show", show}, {"symbolize", symbolize}, {"scrub", scrub},
    {"doctor", doctor}, {"help", help},
};

const char *gmr__help_overview(void)
{
    return overview;
}

const char *gmr__help_page(const char *command)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        if (strcmp(pages[i].command, command) == 0)
            return pages[i].page;
    return NULL;
}
