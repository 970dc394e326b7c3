/*
 * cli/process.h - which process the user means, and whether a report of it can be made at all.
 *
 * The gmr command only.
 */
#ifndef GMR_CLI_PROCESS_H
#define GMR_CLI_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct gmr__process {
    pid_t pid, parent;
    uid_t uid; /* real */
    char comm[64];
    char state;
    unsigned threads;
    bool kernel_thread;
    unsigned long long start_ticks; /* since boot: tells a pid that was reused from the one meant */
};

/* 0, -ENOENT if there is no such process (or it ended meanwhile). */
int gmr__process_read(pid_t pid, struct gmr__process *process);

/* Calls each(userdata, pid) for every process, until it returns other than 0. */
int gmr__process_each(int (*each)(void *userdata, pid_t pid), void *userdata);

/*
 * PID or NAME as typed -> *process, which is pinned (sys/pin.h). Names match the executable's name, argv[0]'s or the thread name of the process. Says on standard error what
 * is wrong, with the next step. Returns GMR__EXIT_WHOLE or the exit code to end with.
 */
int gmr__process_find(const char *text, struct gmr__process *process);

/* Can a report of it be made by this user? Says why not, as above. */
int gmr__process_check(const struct gmr__process *process);

/* The process's name for people: executable's base name or comm. */
void gmr__process_name(pid_t pid, char *to, size_t cap);

/* Has this process capability number `capability` (effective)? */
bool gmr__capable(int capability);

#endif
