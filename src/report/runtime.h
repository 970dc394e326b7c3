/*
 * report/runtime.h - what the files of libgmr share about the one runtime of a process.
 *
 * The target's half only. Who runs what:
 *   - any thread of the program: the public functions (trigger/setup.c, report/registry.c, trigger/call.c) and the signal handler;
 *   - the reporter thread: everything in *_as.c here and in trigger/. It may not allocate, lock, or use stdio or TLS, because
 *     the thread that holds the lock may be the reason for the report;
 *   - the runner threads (report/runner.c): the program's own generators, with all of libc.
 */
#ifndef GMR_REPORT_RUNTIME_H
#define GMR_REPORT_RUNTIME_H

#include <stdatomic.h>
#include <sys/types.h>

#include "gmr/gmr.h"

/* The settings in force: env > INI > struct > default, all of it copied. Read-only once the reporter runs. */
struct gmr__settings {
    const char *vendor, *product, *version;                     /* NULL: None */
    const char *service, *file_service;                         /* as given; made fit for a file name */
    const char *log_dir, *watch_file, *config_file, *inspector; /* NULL: none; inspector: the compiled-in search */
    int signal;                                                 /* 0: none */
    unsigned flags;
    unsigned watch_interval_ms;
    bool control_socket, fork_children, crash, secure;
    int view; /* never GMR_VIEW_DEFAULT */
    void (*log)(void *userdata, int priority, const char *message);
    void *log_userdata;
    unsigned report_timeout_ms, section_timeout_ms, min_interval_ms, max_files;
    size_t section_max_bytes;
    uint64_t max_files_bytes;
    size_t block_bytes; /* of the one mapping that holds this struct and its strings */
};

/* Why a report was asked for: bits, so that several at once become one report that names them all. */
#define GMR__ASK_SIGNAL 0x1u
#define GMR__ASK_CALL 0x2u
#define GMR__ASK_FILE 0x4u
#define GMR__ASK_SOCKET 0x8u
#define GMR__ASK_CRASH 0x10u
#define GMR__ASK_STOP 0x100u  /* the reporter thread is to end */
#define GMR__ASK_WRITE 0x200u /* a thread waits in gmr_report_write() */

/* One caller of gmr_report_write() at a time hands its wish to the reporter through this. */
enum gmr__request_state {
    GMR__REQUEST_FREE = 0,
    GMR__REQUEST_ASKED,
    GMR__REQUEST_WORKING,
    GMR__REQUEST_DONE,
    GMR__REQUEST_ABANDONED, /* the caller gave up: the reporter frees what it made */
};
struct gmr__chunk;
struct gmr__request {
    _Atomic uint32_t state; /* a futex word */
    int view, result;
    bool one_section;
    char title[2048];
    uint64_t deadline_ns;
    struct gmr__chunk *chunks; /* the finished report; belongs to whoever moves the state away from DONE */
};

/* The reporter's few files, numbers in its own descriptor table. -1: none. */
struct gmr__reporter_fds {
    int wake, self, inspector, watch, listen, client, yama;
    bool own_table; /* false: the process's table is shared, because unsharing it was denied */
};

struct gmr__runtime {
    struct gmr__settings *settings;
    _Atomic int pid; /* of the process these threads belong to; 0: none runs */
    _Atomic int reporter_tid;
    _Atomic uint32_t asked;
    _Atomic int armed;
    /* What threads of the program need of the settings, which another thread may replace at any moment. */
    _Atomic int signal;
    _Atomic unsigned section_timeout_ms;
    _Atomic uint32_t started; /* futex: 1 once the reporter has armed what it could */
    _Atomic uint32_t ended;   /* futex: 1 once it is done */
    _Atomic int signal_sender, signal_sender_uid;
    _Atomic uint32_t report_count;
    uint64_t armed_ns; /* when the threads were started: at setup, or at the fork */
    struct gmr__request request;
    struct gmr__reporter_fds fds;
    uint64_t stderr_device, stderr_inode; /* what standard error was at setup */
    bool stderr_known;
    char message[1024]; /* gmr_setup_message() */
};
extern struct gmr__runtime gmr__rt;

/* settings.c: NULL without memory. options may be NULL. Appends what is wrong to gmr__rt.message. */
struct gmr__settings *gmr__settings_new(const struct gmr_options *options);
void gmr__settings_free(struct gmr__settings *settings);
/* A provider of configuration: what oslo.reports registers as its own group, with the values in force. */
int gmr__settings_provide(struct gmr_writer *writer, void *unused);
/* Does the value of an environment variable say "on"? */
bool gmr__switch_on(const char *text);

/* log_as.c: appends a sentence to gmr__rt.message. */
void gmr__setup_problem(const char *text, const char *detail, int error);

/* Wakes the reporter of this very process. 0, -ESRCH if there is none. Async-signal-safe, callable from any thread or handler. */
int gmr__ask(uint32_t bits);

/* log_as.c: a sentence for people, to the callback or standard error. Reporter thread, or the caller's during setup. */
void gmr__log(int priority, const char *a, const char *b, const char *c);

/* errno's name ("EACCES") or "error 1234" in a static place of the caller's. Async-signal-safe. */
const char *gmr__errno_text(int error, char place[32]);

/* start.c: what the inspector gets as its environment; XDG_RUNTIME_DIR as it was at setup, "" if there was none. */
extern char *gmr__inspector_environment[];
extern char gmr__runtime_directory[];

#endif
