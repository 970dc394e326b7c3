/*
 * tests/bench/usage.c - runs a command and tells what it took: `usage FD COMMAND ARG...` writes "KiB microseconds" to the descriptor: the
 * largest resident set of its processes, and the processor time of all of them. Ends as the command did; 128 + N if signal N ended it.
 *
 * Why not the caller's own wait4: a program that Python starts begins with the largest resident set of Python itself (Linux carries the figure
 * over an exec, fs/exec.c), so that no small one could be seen. The command ends with this program.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int fd = atoi(argv[1]);
    pid_t self = getpid(), child = fork();
    if (child == 0) {
        close(fd);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != self)
            _exit(126);
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    int status;
    struct rusage usage;
    if (child < 0 || wait4(child, &status, 0, &usage) != child) {
        perror("usage");
        return 2;
    }
    long long us =
        (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    dprintf(fd, "%ld %lld\n", usage.ru_maxrss, us);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
