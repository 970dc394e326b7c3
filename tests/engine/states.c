/*
 * tests/engine/states.c - processes in states that are awkward to capture: states MODE. Prints "ready"; ends with its standard input,
 * and says "done" if its threads then came to their end by themselves.
 *
 *     vfork         a thread waits for a child made with vfork
 *     zombieleader  the first thread has ended, others live
 *     churn         threads are born and end all the time
 *     exec          executes itself anew again and again
 *     uring         has worker threads of the kernel's
 *     tracer PID    traces every thread of another process
 */
#include <dirent.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int gate[2];
static atomic_int done;

static void ready(void)
{
    printf("ready\n");
    fflush(stdout);
}

static void wait_for_end(void)
{
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
}

static void *vforker(void *argument)
{
    char byte;
    prctl(PR_SET_NAME, "vforker");
    pid_t child = vfork();
    if (child == 0) {
        /* Nothing but system calls: the parent's memory is shared. */
        syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* not left behind by a test that fails */
        syscall(SYS_read, gate[0], &byte, 1);
        syscall(SYS_exit_group, 0);
    }
    waitpid(child, NULL, 0);
    done = 1;
    return argument;
}

static void *sleeper(void *argument)
{
    prctl(PR_SET_NAME, "sleeper");
    wait_for_end();
    printf("done\n");
    fflush(stdout);
    exit(0);
    return argument;
}

static void *short_life(void *argument)
{
    usleep(500);
    return argument;
}

static void *parent_of_many(void *argument)
{
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, short_life, NULL) == 0)
            pthread_detach(thread);
        usleep(20);
    }
    return argument;
}

/* A read from an empty pipe, told to be done by a worker. */
static int start_uring(void)
{
    struct io_uring_params parameters = {0};
    int fd = (int)syscall(SYS_io_uring_setup, 4, &parameters), fds[2];
    if (fd < 0 || pipe(fds) != 0)
        return -1;
    size_t ring_bytes = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
    char *ring = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    struct io_uring_sqe *entries =
        mmap(NULL, parameters.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
    static char byte;
    entries[0] = (struct io_uring_sqe){.opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = fds[0], .len = 1};
    entries[0].addr = (unsigned long)&byte;
    ((unsigned *)(void *)(ring + parameters.sq_off.array))[0] = 0;
    ++*(unsigned *)(void *)(ring + parameters.sq_off.tail);
    return syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0) == 1 ? 0 : -1;
}

static int trace(const char *pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%s/task", pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (atoi(entry->d_name) > 0 && ptrace(PTRACE_SEIZE, atoi(entry->d_name), NULL, NULL) != 0)
            return 1;
    ready();
    wait_for_end();
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    pthread_t thread;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(mode, "tracer") == 0)
        return trace(argv[2]);
    if (pipe(gate) != 0)
        return 1;
    if (strcmp(mode, "vfork") == 0) {
        pthread_create(&thread, NULL, vforker, NULL);
        ready();
        wait_for_end();
        if (write(gate[1], "x", 1) == 1)
            pthread_join(thread, NULL);
        printf("done\n");
        return 0;
    }
    if (strcmp(mode, "zombieleader") == 0) {
        pthread_create(&thread, NULL, sleeper, NULL);
        ready();
        pthread_exit(NULL);
    }
    if (strcmp(mode, "churn") == 0) {
        for (int i = 0; i < 3; i++)
            pthread_create(&thread, NULL, parent_of_many, NULL);
        ready();
        wait_for_end();
        printf("done\n");
        return 0;
    }
    if (strcmp(mode, "exec") == 0) {
        if (argc < 3)
            ready();
        pthread_create(&thread, NULL, short_life, NULL);
        usleep(3000);
        execl("/proc/self/exe", argv[0], "exec", "again", (char *)NULL);
        return 1;
    }
    if (strcmp(mode, "uring") == 0) {
        if (start_uring() != 0)
            printf("no io_uring\n");
        ready();
        wait_for_end();
        return 0;
    }
    return 2;
}
