/*
 * sys/proc.h - reading /proc: a process' state, memory map, threads, descriptors, limits, and the host's figures.
 *
 * Both halves. Async-signal-safe: raw system calls, the caller's memory, no allocation. Everything read is taken for hostile: lines may be cut,
 * endless, hold NULs or nonsense; what does not parse is left 0 and, where that matters, reported as -EBADMSG. Nothing blocks but the
 * kernel itself (/proc/PID/maps and cmdline wait for the target's mmap lock), so callers that can't afford that run
 * in the inspector, which may be killed.
 *
 * `proc` is where procfs is mounted: "/proc", or another tree in tests and for other namespaces.
 * Formats: proc(5) and Linux' Documentation/filesystems/proc.rst, fs/proc/array.c, fs/proc/task_mmu.c.
 */
#ifndef GMR_SYS_PROC_H
#define GMR_SYS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GMR__PROC_PATH_MAX 512
#define GMR__PROC_LINE_MAX 4608 /* PATH_MAX and the columns before it */

/*
 * "PROC/PID/NAME", or with tid > 0 "PROC/PID/task/TID/NAME"; pid 0: "PROC/NAME"; name NULL: the directory itself.
 * Returns `to`; a path that does not fit becomes "" (opening that fails with -ENOENT).
 */
const char *gmr__proc_path(char *to, size_t cap, const char *proc, pid_t pid, pid_t tid, const char *name);

/* The start of such a file, NUL-terminated at the count returned (there may be NULs before). The count, or -errno. */
ssize_t gmr__proc_read(const char *proc, pid_t pid, pid_t tid, const char *name, char *to, size_t cap);
/* The same for a symbolic link (exe, cwd, root, fd/N): its text, NUL-terminated, cut to cap. The count, or -errno. */
ssize_t gmr__proc_readlink(const char *proc, pid_t pid, pid_t tid, const char *name, char *to, size_t cap);

/* ------------------------------------------------------------------------------------------------ lines */

/* A file line by line, in constant memory. */
struct gmr__lines {
    int fd;
    int error; /* why it ended early: -errno of read, else 0 */
    bool cut;  /* the line that was just returned was longer than the buffer; its rest is skipped */
    bool skip; /* the rest of such a line is still to come */
    bool eof;
    size_t at, used;
    char text[GMR__PROC_LINE_MAX];
};
int gmr__lines_open(struct gmr__lines *lines, const char *path); /* 0 or -errno; never blocks on a FIFO */
int gmr__proc_lines_open(struct gmr__lines *lines, const char *proc, pid_t pid, pid_t tid, const char *name);
/* The next line without its '\n', NUL-terminated, in lines' own memory, valid until the next call; NULL: no more. NULs inside become '?'. */
char *gmr__lines_next(struct gmr__lines *lines, size_t *length);
void gmr__lines_close(struct gmr__lines *lines);

/* ------------------------------------------------------------------------------------------------ directories */

/* The numbers that name the entries of a directory: processes in PROC, threads in PROC/PID/task, descriptors in PROC/PID/fd. */
struct gmr__dir {
    int fd;
    int error; /* why it ended early: -errno of getdents64, else 0 */
    size_t at, used;
    char buffer[2048] __attribute__((aligned(8)));
};
int gmr__dir_open(struct gmr__dir *dir, const char *path);
int gmr__proc_tasks_open(struct gmr__dir *dir, const char *proc, pid_t pid); /* every thread */
int gmr__proc_fds_open(struct gmr__dir *dir, const char *proc, pid_t pid);   /* every open descriptor */
int gmr__proc_pids_open(struct gmr__dir *dir, const char *proc);             /* every process */
/* False at the end. Entries that are not numbers up to INT_MAX are passed over. */
bool gmr__dir_next(struct gmr__dir *dir, int *number);
/* A file of the thread `tid` within gmr__proc_tasks_open's directory, for files that the kernel hands out in one piece (stat, wchan, syscall: those
 * of fs/proc/base.c's ONE): one read. NUL-terminated. The count, or -errno. For many threads; else gmr__proc_read. */
ssize_t gmr__proc_task_read(const struct gmr__dir *tasks, pid_t tid, const char *name, char *to, size_t cap);
void gmr__dir_close(struct gmr__dir *dir);

/* ------------------------------------------------------------------------------------------------ a process or thread */

/* /proc/PID/stat. Times in ticks of 1/100 s (USER_HZ, the same on every architecture since Linux 2.6). */
struct gmr__proc_stat {
    pid_t pid, ppid, pgrp, session;
    char name[64];  /* comm: any bytes but NUL, spaces, parentheses and newlines included */
    char state;     /* R S D T t Z X I ... */
    uint32_t flags; /* PF_*: 0x200000 kernel thread, 0x4 exiting, 0x10 io worker (see gmr__proc_is_kernel) */
    uint64_t minor_faults, major_faults, children_minor_faults, children_major_faults;
    uint64_t utime, stime, children_utime, children_stime;
    int64_t priority, nice;
    uint64_t threads;
    uint64_t start_ticks; /* since boot */
    uint64_t virtual_bytes, rss_pages;
    int processor;
    unsigned rt_priority, policy;
};
/* tid 0: the process (its leader). 0, -ENOENT/-ESRCH: gone, -EBADMSG: not a stat line. */
int gmr__proc_stat(const char *proc, pid_t pid, pid_t tid, struct gmr__proc_stat *stat);
int gmr__proc_parse_stat(const char *text, struct gmr__proc_stat *stat); /* text: NUL-terminated */
bool gmr__proc_is_kernel(const struct gmr__proc_stat *stat);             /* a kernel thread: no user space at all */
const char *gmr__proc_state_name(char state); /* as psutil names it: "sleeping", "disk-sleep", "zombie" ...; "?" */

/* /proc/PID/status: what stat doesn't tell. has: which were there. */
struct gmr__proc_ids {
    unsigned real, effective, saved;
};
struct gmr__proc_status {
    struct gmr__proc_ids uids, gids;
    pid_t tgid, tracer; /* tracer 0: none */
    pid_t ns_pid;       /* its pid in its own innermost pid namespace; 0: unknown */
    uint64_t threads;
    uint64_t vm_peak_kb, vm_size_kb, vm_lck_kb, vm_pin_kb, vm_hwm_kb, vm_rss_kb, rss_anon_kb, rss_file_kb, rss_shmem_kb;
    uint64_t vm_data_kb, vm_stk_kb, vm_exe_kb, vm_lib_kb, vm_pte_kb, vm_swap_kb;
    uint64_t voluntary_switches, involuntary_switches;
    uint64_t sig_pending, shared_pending, sig_blocked, sig_ignored, sig_caught; /* bit n-1: signal n */
    uint64_t cap_permitted, cap_effective, cap_bounding;
    int no_new_privs, seccomp; /* -1: the kernel does not say; seccomp 0 off, 1 strict, 2 filter */
    int core_dumping;
    bool has_ids, has_memory;
};
int gmr__proc_status(const char *proc, pid_t pid, pid_t tid, struct gmr__proc_status *status);

/* ------------------------------------------------------------------------------------------------ memory map */

struct gmr__proc_map {
    uint64_t start, end, offset, inode;
    uint32_t dev_major, dev_minor;
    bool read, write, exec, shared;
    bool deleted;     /* " (deleted)" stood behind the path; it is cut off here */
    const char *path; /* "" if anonymous; valid until the next call. The kernel writes a newline in it as \012 */
};
/* Parses one line of maps in place. False: not such a line (hostile or cut), or start >= end. */
bool gmr__proc_parse_map(char *line, struct gmr__proc_map *map);
/*
 * /proc/PID/maps. A process whose leader has exited shows an empty file: then pass the tid of a live thread.
 *     struct gmr__lines lines; struct gmr__proc_map map;
 *     if (gmr__proc_lines_open(&lines, "/proc", pid, 0, "maps") == 0) {
 *         while (gmr__proc_maps_next(&lines, &map)) ...
 *         gmr__lines_close(&lines);
 *     }
 */
bool gmr__proc_maps_next(struct gmr__lines *lines, struct gmr__proc_map *map);

/* ------------------------------------------------------------------------------------------------ the host */

struct gmr__proc_memory { /* bytes; 0: not told */
    uint64_t total, free, available, swap_total, swap_free;
};
int gmr__proc_memory(const char *proc, struct gmr__proc_memory *memory);
/* Seconds since the epoch at which the machine booted (btime of PROC/stat), 0: unknown. 0, or why it can't be read: -errno. */
int gmr__proc_boot_time(const char *proc, uint64_t *seconds);

/* "2026-11-23T18:40:00Z" from seconds since the epoch; years past 9999 are cut to that. to: at least 21 bytes. */
void gmr__iso_time(char *to, size_t cap, uint64_t seconds);

/* The name of a uid as the files say: read directly, never through NSS or a network. The number as text where there
 * is none. root: prefix of the file's path, "" for this file system. 0, or why the file can't be read: -errno. */
int gmr__user_name(const char *root, unsigned uid, char *to, size_t cap);

/* The names of libgmr's own threads, and whether a thread (NULL: not known) has one of them. */
#define GMR__REPORTER_NAME "gmr-reporter"
#define GMR__RUNNER_NAME "gmr-runner"
bool gmr__is_own_thread(const char *name);

#endif
