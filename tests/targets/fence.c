/*
 * tests/targets/fence.c - runs a command behind a seccomp filter that denies the system calls that are named: fence ERRNO|kill NAME... -- COMMAND ...
 *
 * Names: see number_of(). The filter is inherited, as in a container.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int number_of(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"ptrace", SYS_ptrace},           {"process_vm_readv", SYS_process_vm_readv},
                 {"execveat", SYS_execveat},       {"pidfd_getfd", SYS_pidfd_getfd},
                 {"close_range", SYS_close_range}, {"memfd_create", SYS_memfd_create},
                 {"pidfd_open", SYS_pidfd_open},   {"unshare", SYS_unshare},
                 {"signalfd4", SYS_signalfd4}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].number;
    return -1;
}

int main(int argc, char **argv)
{
    struct sock_filter filter[64];
    unsigned short n = 0;
    if (argc < 4)
        return 2;
    unsigned denied =
        strcmp(argv[1], "kill") == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | (unsigned)atoi(argv[1]);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    int at = 2;
    for (; at < argc && strcmp(argv[at], "--") != 0 && n < 60; at++) {
        int number = number_of(argv[at]);
        if (number < 0) {
            fprintf(stderr, "fence: %s?\n", argv[at]);
            return 2;
        }
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, denied);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = n, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("fence");
        return 2;
    }
    execv(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return 127;
}
