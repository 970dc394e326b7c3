/*
 * trigger/start.c - starts and stops the reporter thread, in the process that called setup and in its children.
 *
 * Any thread of the program; uses libc. After fork the child has a memory of threads it does not have: everything of theirs is reset here and
 * started anew.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "capture/self.h"
#include "config/config.h"
#include "report/crash.h"
#include "report/registry.h"
#include "report/thread.h"
#include "sys/buf.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

#define REPORTER_STACK_BYTES (256u << 10)
#define START_DEADLINE_NS 2000000000u

struct gmr__runtime gmr__rt;
char gmr__runtime_directory[96];

/* ---- what the reporter needs to know and can't find out itself ---- */

static GMR__APART char candidate_text[3 * 4096]; /* one behind the other: a page is touched as a rule */
const char *gmr__inspector_candidates[6];
static char environment_text[2048];
char *gmr__inspector_environment[12];

/* Given by name, else beside the library (a build tree, or lib beside bin), else where it was installed. Never from PATH. */
void gmr__find_inspector(const char *given, bool secure)
{
    int n = 0;
    size_t used = 0;
    Dl_info info;
    if (given)
        gmr__inspector_candidates[n++] = given;
    if (!given && !secure && dladdr((void *)gmr__find_inspector, &info) && info.dli_fname && info.dli_fname[0] == '/') {
        static const char *const beside[3] = {"gmr", "../bin/gmr", "../../bin/gmr"};
        const char *slash = strrchr(info.dli_fname, '/');
        for (int i = 0; i < 3; i++) {
            size_t room = sizeof(candidate_text) - used;
            int length = snprintf(candidate_text + used, room, "%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname,
                                  beside[i]);
            if (length < 0 || (size_t)length >= room)
                continue;
            gmr__inspector_candidates[n++] = candidate_text + used;
            used += (size_t)length + 1;
        }
    }
    if (!given)
        gmr__inspector_candidates[n++] = GMR_INSPECTOR_PATH;
    gmr__inspector_candidates[n] = NULL;
}

/* The inspector gets nothing of the program's environment but this. */
static void keep_environment(bool secure)
{
    static const char *const names[] = {
        "HOME",         "XDG_CACHE_HOME", "DEBUGINFOD_URLS", "TZ", "LANG", "LC_ALL",
#ifdef GMR_SANITIZED
        "ASAN_OPTIONS", "UBSAN_OPTIONS",  "TSAN_OPTIONS", /* where a finding is written */
#endif
    };
    size_t used = 0;
    int n = 0;
    gmr__inspector_environment[n++] = (char *)"PATH=/usr/bin:/bin";
    for (size_t i = 0; !secure && i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        if (!value)
            continue;
        int length = snprintf(environment_text + used, sizeof(environment_text) - used, "%s=%s", names[i], value);
        if (length < 0 || (size_t)length >= sizeof(environment_text) - used)
            continue;
        gmr__inspector_environment[n++] = environment_text + used;
        used += (size_t)length + 1;
    }
    gmr__inspector_environment[n] = NULL;
    const char *directory = secure ? NULL : getenv("XDG_RUNTIME_DIR");
    bool fits = directory && directory[0] == '/' && strlen(directory) < sizeof(gmr__runtime_directory);
    strcpy(gmr__runtime_directory, fits ? directory : "");
}

static void remember_stderr(void)
{
    struct stat st;
    int saved = errno;
    gmr__rt.stderr_known = fstat(2, &st) == 0;
    if (gmr__rt.stderr_known) {
        gmr__rt.stderr_device = st.st_dev;
        gmr__rt.stderr_inode = st.st_ino;
    }
    errno = saved;
}

/* ---- start and stop ---- */

int gmr__reporter_start(bool wait)
{
    atomic_store(&gmr__rt.started, 0);
    atomic_store(&gmr__rt.ended, 0);
    atomic_store(&gmr__rt.reporter_tid, 0);
    atomic_store(&gmr__rt.pid, gmr__getpid());
    gmr__rt.armed_ns = gmr__now_ns();
    int error = gmr__thread_start(gmr__reporter_main, NULL, REPORTER_STACK_BYTES);
    if (error) {
        atomic_store(&gmr__rt.pid, 0);
        return error;
    }
    error = gmr__runner_start();
    uint64_t deadline_ns = gmr__now_ns() + START_DEADLINE_NS;
    while (wait && !atomic_load(&gmr__rt.started) && gmr__now_ns() < deadline_ns)
        gmr__futex_wait((uint32_t *)&gmr__rt.started, 0, deadline_ns);
    return error;
}

/* What is asked for meanwhile stays asked for: the next reporter looks there first. */
int gmr__reporter_stop(void)
{
    if (atomic_load(&gmr__rt.pid) != gmr__getpid())
        return 0;
    uint64_t deadline_ns = gmr__now_ns() + (uint64_t)gmr__rt.settings->report_timeout_ms * 1000000u;
    gmr__ask(GMR__ASK_STOP);
    while (!atomic_load(&gmr__rt.ended) && gmr__now_ns() < deadline_ns)
        gmr__futex_wait((uint32_t *)&gmr__rt.ended, 0, deadline_ns);
    atomic_store(&gmr__rt.armed, 0);
    if (!atomic_load(&gmr__rt.ended))
        return -EBUSY; /* it uses what another would use, too */
    atomic_store(&gmr__rt.pid, 0);
    atomic_fetch_and(&gmr__rt.asked, ~(GMR__ASK_STOP | GMR__ASK_SOCKET));
    return 0;
}

/* ---- fork ---- */

static void before_fork(void)
{
    gmr__registry_lock();
    gmr__config_lock();
}

static void after_fork_in_parent(void)
{
    gmr__config_unlock();
    gmr__registry_unlock();
}

static void after_fork_in_child(void)
{
    gmr__config_forget_running();
    gmr__config_unlock();
    gmr__registry_forget_running();
    gmr__registry_unlock();
    gmr__call_forget();
    gmr__setup_forget();
    gmr__runner_forget();
    bool was_running = atomic_load(&gmr__rt.pid) != 0;
    const int *fds = &gmr__rt.fds.wake;
    for (int i = 0; was_running && !gmr__rt.fds.own_table && i < 6; i++)
        if (fds[i] >= 0)
            gmr__close(fds[i]); /* the parent's, which we have only because the table is shared there */
    gmr__rt.fds = (struct gmr__reporter_fds){-1, -1, -1, -1, -1, -1, 0, false};
    atomic_store(&gmr__rt.asked, atomic_load(&gmr__asked_before_start) == gmr__getpid() ? GMR__ASK_SIGNAL : 0);
    atomic_store(&gmr__rt.pid, 0);
    atomic_store(&gmr__rt.armed, atomic_load(&gmr__rt.armed) & (GMR_TRIGGER_SIGNAL | GMR_TRIGGER_CRASH));
    if (was_running && gmr__rt.settings && gmr__rt.settings->fork_children)
        gmr__reporter_start(false);
}

int gmr__prepare_process(void)
{
    static bool once;
    if (!once && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        return -ENOMEM;
    if (!once)
        gmr_config_register_provider(gmr__settings_provide, NULL); /* without memory: a group less in the report */
    once = true;
    keep_environment(gmr__rt.settings->secure);
    gmr__find_inspector(gmr__rt.settings->inspector, gmr__rt.settings->secure);
    remember_stderr();
    gmr__self_modules_remember();
    gmr__abort_message = dlsym(RTLD_DEFAULT, "__abort_msg");
    gmr__capture_signal_arm();
    return 0;
}
