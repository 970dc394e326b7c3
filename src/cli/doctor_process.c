/*
 * cli/doctor_process.c - gmr doctor's look at one process: can it be traced from here, can it report of itself, and by which way.
 *
 * The gmr command only. Touches the process no more than ps does: its /proc files are read, its memory opened but not read, and its control
 * socket, if it has one, asked for a greeting.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/hello.h"
#include "report/client.h"
#include "sys/buf.h"
#include "sys/pin.h"
#include "sys/sys.h"

#define HELLO_NS 1000000000u
#define CAP_SYS_PTRACE_BIT 19
#define MAX_THREADS 2000

struct patient {
    const struct gmr__process *process;
    const struct gmr__doctor_host *host;
    struct gmr__proc_status status;
    bool traced, readable, dumpable, libgmr;
};

static bool same_link(pid_t pid, const char *name)
{
    char theirs[256], ours[256];
    ssize_t n = gmr__proc_readlink("/proc", pid, 0, name, theirs, sizeof(theirs));
    return n <= 0 || gmr__proc_readlink("/proc", getpid(), 0, name, ours, sizeof(ours)) <= 0 ||
           strcmp(theirs, ours) == 0;
}

static void look_at_tracer(struct patient *patient)
{
    char name[64];
    if (!patient->status.tracer)
        return;
    patient->traced = true;
    gmr__process_name(patient->status.tracer, name, sizeof(name));
    gmr__tame(name);
    gmr__doctor_bad("end the tracer, or use its own means; a process with libgmr still reports of itself by signals",
                    "it is being traced by process %d (%s): there can be only one tracer", (int)patient->status.tracer,
                    name);
}

/* A process that is not dumpable has /proc files owned by root (fs/proc/base.c, task_dump_owner). */
static void look_at_dumpable(struct patient *patient)
{
    char path[GMR__PROC_PATH_MAX];
    struct stat st;
    gmr__proc_path(path, sizeof(path), "/proc", patient->process->pid, 0, "stat");
    uid_t uid = patient->status.uids.effective;
    patient->dumpable = stat(path, &st) < 0 || uid == 0 || st.st_uid == uid;
    if (!patient->dumpable && patient->host->capable)
        gmr__doctor_note("it is not dumpable (it changed its user, or asked for that): only CAP_SYS_PTRACE may trace "
                         "it, which we have");
    else if (!patient->dumpable)
        gmr__doctor_bad(
            "run as root; or let the program call prctl(PR_SET_DUMPABLE, 1) after it has changed its user",
            "it is not dumpable (it changed its user, or asked for that): only CAP_SYS_PTRACE may trace it");
}

/* Opening mem asks the kernel for PTRACE_MODE_ATTACH, Yama and other security modules included, and does nothing else. */
static void look_at_access(struct patient *patient)
{
    char path[GMR__PROC_PATH_MAX];
    int fd = gmr__open(gmr__proc_path(path, sizeof(path), "/proc", patient->process->pid, 0, "mem"), O_RDONLY);
    patient->readable = fd >= 0;
    if (fd >= 0)
        gmr__close(fd);
    if (patient->readable)
        gmr__doctor_good("the kernel would let us trace it");
    else
        gmr__doctor_bad(
            "as root: a security module (Yama, SELinux, AppArmor: see dmesg), or its user namespace, forbids it",
            "the kernel would not let us trace it: %s", strerror(-fd));
}

static void look_at_state(const struct patient *patient)
{
    struct gmr__dir dir;
    struct gmr__proc_stat stat;
    int tid, seen = 0, stuck = 0;
    if (gmr__proc_tasks_open(&dir, "/proc", patient->process->pid))
        return;
    while (seen < MAX_THREADS && gmr__dir_next(&dir, &tid)) {
        seen++;
        stuck += gmr__proc_stat("/proc", patient->process->pid, tid, &stat) == 0 && stat.state == 'D';
    }
    gmr__dir_close(&dir);
    if (patient->process->state == 'T')
        gmr__doctor_note("it is stopped (SIGSTOP): reports work, and leave it stopped");
    if (stuck)
        gmr__doctor_note(
            "%d of its threads are in uninterruptible sleep just now: of such the report has the state, not the stack",
            stuck);
}

static void look_at_namespaces(const struct patient *patient)
{
    char root[512];
    pid_t pid = patient->process->pid;
    if (!same_link(pid, "ns/user"))
        gmr__doctor_note("it is in a user namespace of its own");
    if (patient->status.ns_pid && patient->status.ns_pid != pid)
        gmr__doctor_note("it is in a pid namespace of its own, where it is process %d", (int)patient->status.ns_pid);
    if (!same_link(pid, "ns/mnt"))
        gmr__doctor_note("it is in a mount namespace of its own: its files are read through /proc/%d/root", (int)pid);
    if (gmr__proc_readlink("/proc", pid, 0, "root", root, sizeof(root)) > 0 && strcmp(root, "/") != 0)
        gmr__doctor_note("it is in a chroot: %s", root);
}

/* ------------------------------------------------------------------------------------------------ from within */

/* Crash signals that are not caught any more: a handler was taken away since setup. One put in our place can't be told from ours; of the
 * trigger's signal libgmr looks itself. */
static void look_at_handlers(const struct patient *patient, const char *triggers)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
    for (size_t i = 0; strstr(triggers, "crash") && i < sizeof(crashes) / sizeof(*crashes); i++)
        if (!(patient->status.sig_caught >> (crashes[i] - 1) & 1))
            gmr__doctor_bad("call gmr_setup_autorun after the program has set its handlers",
                            "SIG%s, armed for crash reports, is not caught any more", sigabbrev_np(crashes[i]));
}

static bool asks(struct patient *patient)
{
    struct gmr__hello hello = {.log_dir = ""};
    uint64_t until = gmr__now_ns() + HELLO_NS;
    int fd = gmr__client_connect(patient->process->pid, until);
    if (fd == -ENOENT || fd == -EACCES || fd == -EPERM)
        return false; /* none, or none that we may see */
    int error = fd < 0 ? fd : gmr__hello_ask(fd, until, &hello);
    if (error)
        gmr__doctor_bad("its own sections can't be had now; `gmr report` still shows its threads",
                        "its control socket does not answer: %s", strerror(-error));
    else
        gmr__doctor_good("it carries libgmr %s as %s; armed: %s", hello.version, hello.service,
                         hello.triggers[0] ? hello.triggers : "nothing");
    if (!error)
        look_at_handlers(patient, hello.triggers);
    return true;
}

static bool maps_libgmr(pid_t pid)
{
    struct gmr__lines lines;
    struct gmr__proc_map map;
    bool found = false;
    if (gmr__proc_lines_open(&lines, "/proc", pid, 0, "maps"))
        return false;
    while (!found && gmr__proc_maps_next(&lines, &map)) {
        const char *slash = strrchr(map.path, '/');
        found = slash && (gmr__starts_with(slash, "/libgmr.so") || gmr__starts_with(slash, "/libgmr-preload.so"));
    }
    gmr__lines_close(&lines);
    return found;
}

static bool in_its_root(pid_t pid, const char *file)
{
    char root[GMR__PROC_PATH_MAX], path[1024];
    snprintf(path, sizeof(path), "%s%s", gmr__proc_path(root, sizeof(root), "/proc", pid, 0, "root"), file);
    return access(path, F_OK) == 0;
}

/* What its own inspector, started by itself when the signal comes, will meet there. */
static void look_from_within(const struct patient *patient)
{
    char self[512];
    pid_t pid = patient->process->pid;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    bool capable = patient->status.cap_effective >> CAP_SYS_PTRACE_BIT & 1;
    if (patient->status.seccomp > 0)
        gmr__doctor_note("it has a seccomp %s, which its own inspector inherits: where that denies ptrace, "
                         "process_vm_readv or execve, it falls back to signals; where it kills for process_vm_readv, "
                         "clone or execveat, a report of itself ends it: take it with `gmr report` from outside",
                         patient->status.seccomp == 1 ? "strict mode" : "filter");
    if (!patient->dumpable && !capable)
        gmr__doctor_bad("`gmr report` as root is whole; or prctl(PR_SET_DUMPABLE, 1) in the program, if its user may "
                        "read its memory",
                        "its own inspector may not trace it (it is not dumpable): kill -USR2 falls back to signals");
    if (patient->readable && !in_its_root(pid, "/proc/self"))
        gmr__doctor_bad("mount /proc there, or take the report from outside with `gmr report`",
                        "there is no /proc where it lives: kill -USR2 tells less");
    if (patient->readable && self[0] && !in_its_root(pid, self))
        gmr__doctor_note("%s is not to be seen where it lives: fine if libgmr opened it before the chroot, else it "
                         "falls back to signals",
                         self);
}

static int conclude(const struct patient *patient)
{
    pid_t pid = patient->process->pid;
    if (gmr__pinned_gone(pid, 0))
        return gmr__fail(GMR__EXIT_NO_PROCESS, NULL, "process %d (%s) has ended meanwhile", (int)pid,
                         patient->process->comm);
    if (patient->readable && patient->host->can_trace && !patient->traced) {
        printf("Result: `gmr report %d` works: by ptrace, every thread%s.\n", (int)pid,
               patient->libgmr ? ", and its own sections" : "; no sections of its own, since it carries no libgmr");
        return GMR__EXIT_WHOLE;
    }
    if (patient->libgmr) {
        printf("Result: `gmr report %d` shows what it tells of itself, its threads by signals.\n", (int)pid);
        return GMR__EXIT_PARTIAL;
    }
    printf("Result: `gmr report %d` shows what /proc tells, without stacks. What is missing stands above.\n", (int)pid);
    return GMR__EXIT_PARTIAL;
}

int gmr__doctor_process(const struct gmr__process *process, const struct gmr__doctor_host *host)
{
    struct patient patient = {.process = process, .host = host};
    printf("Process %d (%s), uid %u:\n", (int)process->pid, process->comm, process->uid);
    fflush(stdout);
    int code = gmr__process_check(process);
    if (code)
        return code;
    int error = gmr__proc_status("/proc", process->pid, 0, &patient.status);
    if (error)
        return gmr__fail(GMR__EXIT_NO_PROCESS, NULL, "process %d: %s", (int)process->pid, strerror(-error));
    look_at_tracer(&patient);
    look_at_dumpable(&patient);
    look_at_access(&patient);
    look_at_state(&patient);
    look_at_namespaces(&patient);
    patient.libgmr = asks(&patient);
    if (!patient.libgmr && maps_libgmr(process->pid)) {
        patient.libgmr = true;
        gmr__doctor_bad("gmr_setup_autorun() has not been called, has no place for its socket (see above), or is told "
                        "not to have one",
                        "it carries libgmr, but has no control socket");
    }
    if (patient.libgmr)
        look_from_within(&patient);
    else
        gmr__doctor_note("it carries no libgmr: only what can be seen from outside. `gmr run -- COMMAND` would start "
                         "it with libgmr");
    return conclude(&patient);
}
