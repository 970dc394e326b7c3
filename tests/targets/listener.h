/*
 * tests/targets/listener.h - a seccomp filter that asks a supervisor (tests/faults/inject.c) about each system call made from a part of memory.
 *
 * Unlike a tracer it leaves ptrace free, so that a process behind it can be captured as ever; threads, forks and executed programs inherit it.
 */
#ifndef TESTS_LISTENER_H
#define TESTS_LISTENER_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The listener's descriptor, or -errno. [from, to) may not cross a multiple of 4 GiB; to 0: all calls. */
static inline int install_listener(uint64_t from, uint64_t to)
{
    const unsigned ip = offsetof(struct seccomp_data, instruction_pointer);
    struct sock_filter inside[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(from >> 32), 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)from, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)to, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
    struct sock_fprog program = {.len = to ? sizeof(inside) / sizeof(inside[0]) : 1, .filter = to ? inside : all};
    if (to && from >> 32 != to >> 32)
        return -ERANGE;
    /* Where CAP_SYS_ADMIN allows the filter without it, set-uid programs stay what they are. */
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    return fd < 0 ? -errno : fd;
}

#endif
