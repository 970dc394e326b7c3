/*
 * trigger/setup.c - gmr_setup_autorun() and its counterparts.
 *
 * Any thread of the program; uses libc. Called by the program, by preload.c, and by call.c for a report without setup.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "capture/self.h"
#include "report/crash.h"
#include "sys/buf.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

static pthread_mutex_t setup_lock = PTHREAD_MUTEX_INITIALIZER;

GMR_API const char *gmr_version(void)
{
    return GMR_BUILD_VERSION;
}

GMR_API const char *gmr_setup_message(void)
{
    return gmr__rt.message;
}

GMR_API int gmr_triggers_armed(void)
{
    return gmr__armed_now();
}

static void arm_signal(void)
{
    const struct gmr__settings *s = gmr__rt.settings;
    if (!s->signal)
        return;
    int error = gmr__signal_arm(s->signal, s->flags & GMR_REPLACE_HANDLER);
    if (error == 0) {
        atomic_fetch_or(&gmr__rt.armed, GMR_TRIGGER_SIGNAL);
    } else if (error == -EEXIST) {
        char text[160];
        snprintf(text, sizeof(text),
                 "the program already handles signal %d, which is left to it; choose another with "
                 "options.signal or GMR_SIGNAL, or set GMR_REPLACE_HANDLER",
                 s->signal);
        gmr__setup_problem(text, NULL, 0);
    } else {
        gmr__setup_problem("the signal can't be armed", NULL, -error);
    }
}

static int wanted_triggers(const struct gmr__settings *s)
{
    return (s->signal ? GMR_TRIGGER_SIGNAL : 0) | (s->watch_file ? GMR_TRIGGER_FILE : 0) |
           (s->control_socket ? GMR_TRIGGER_SOCKET : 0) | (s->crash ? GMR_TRIGGER_CRASH : 0);
}

static int setup(const struct gmr_options *options)
{
    gmr__rt.message[0] = '\0';
    struct gmr__settings *settings = gmr__settings_new(options);
    if (!settings) {
        gmr__setup_problem("there is no memory for the settings", NULL, ENOMEM);
        return -ENOMEM;
    }
    int error = 0;
    if (atomic_load(&gmr__rt.pid) == gmr__getpid()) {
        gmr__crash_disarm();
        gmr__signal_disarm();
        error = gmr__reporter_stop();
    }
    if (error) {
        gmr__settings_free(settings);
        gmr__setup_problem("the report that is being made does not end", NULL, -error);
        return error;
    }
    struct gmr__settings *old = gmr__rt.settings;
    gmr__rt.settings = settings;
    gmr__settings_free(old);
    atomic_store(&gmr__rt.signal, settings->signal);
    atomic_store(&gmr__rt.section_timeout_ms, settings->section_timeout_ms);
    error = gmr__prepare_process();
    if (!error)
        error = gmr__reporter_start(true);
    if (error) {
        gmr__setup_problem("the reporter thread can't be started", NULL, -error);
        return error;
    }
    arm_signal();
    if (settings->crash) {
        gmr__crash_stack();
        error = gmr__crash_arm() ? 0 : -errno;
        if (error)
            gmr__setup_problem("the crash signals can't be armed", NULL, -error);
        else
            atomic_fetch_or(&gmr__rt.armed, GMR_TRIGGER_CRASH);
    }
    return wanted_triggers(settings) & ~atomic_load(&gmr__rt.armed);
}

GMR_API int gmr_setup_autorun(const struct gmr_options *options)
{
    if (options && options->size < offsetof(struct gmr_options, vendor))
        return -EINVAL;
    int saved = errno;
    pthread_mutex_lock(&setup_lock);
    int result = setup(options);
    pthread_mutex_unlock(&setup_lock);
    errno = saved;
    return result;
}

/* For a report without setup: a reporter, but nothing armed. And what the caller needs of the settings, which it may not look at. */
int gmr__setup_quietly(int *view, unsigned *timeout_ms)
{
    static const struct gmr_options quiet = {
        .size = sizeof(quiet), .signal = GMR_SIGNAL_NONE, .control_socket = GMR_OFF};
    int saved = errno, result = 0;
    pthread_mutex_lock(&setup_lock);
    if (atomic_load(&gmr__rt.pid) != gmr__getpid() || atomic_load(&gmr__rt.ended)) {
        if (gmr__rt.settings) /* a forked child with fork_children off: the settings are here, the threads are not */
            result = gmr__reporter_start(true);
        else
            result = setup(&quiet);
    }
    if (result >= 0) {
        *view = gmr__rt.settings->view;
        *timeout_ms = gmr__rt.settings->report_timeout_ms;
    }
    pthread_mutex_unlock(&setup_lock);
    errno = saved;
    return result < 0 ? result : 0;
}

GMR_API int gmr_shutdown(void)
{
    int saved = errno, error = 0;
    pthread_mutex_lock(&setup_lock);
    bool running = atomic_load(&gmr__rt.pid) == gmr__getpid();
    if (running) {
        gmr__crash_disarm();
        gmr__signal_disarm();
        error = gmr__reporter_stop();
        gmr__capture_signal_disarm();
        if (!error)
            gmr__call_cancel();
    }
    pthread_mutex_unlock(&setup_lock);
    errno = saved;
    return error;
}

void gmr__setup_forget(void)
{
    setup_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
