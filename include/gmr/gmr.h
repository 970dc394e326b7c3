/*
 * gmr/gmr.h - Guru Meditation Reports for C and C++ programs on Linux.
 *
 * The one call a program needs:
 *
 *     struct gmr_options options = { .size = sizeof(options), .product = "exampled", .version = "1.4" };
 *     gmr_setup_autorun(&options);
 *
 * From then on `kill -USR2 PID` makes the process print a report of itself to its standard error: package,
 * every thread with its stack, green threads, processes, configuration and the program's own sections;
 * `gmr report PID` prints the same wherever the command is typed.
 *
 * Conventions of every function here, unless its comment says otherwise:
 *   - thread safety: may be called from any thread;
 *   - signal safety: must NOT be called from a signal handler or between fork and exec;
 *   - errors: 0 (or a positive value that the comment explains) on success, a negative errno on failure; errno itself
 *     is left alone;
 *   - ownership: strings and arrays passed in are copied, except where the comment says "borrowed";
 *   - NULL where a pointer is required yields -EINVAL, never a crash.
 *
 * Licensed under the Apache License, Version 2.0.
 */
#ifndef GMR_GMR_H
#define GMR_GMR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GMR_API __attribute__((visibility("default")))
#define GMR_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define GMR_API
#define GMR_PRINTF(format_index, first_argument)
#endif

/* The version of the headers a program was compiled with; gmr_version() tells that of the library it runs with. */
#define GMR_VERSION_MAJOR 0
#define GMR_VERSION_MINOR 1
#define GMR_VERSION_PATCH 0

/* "0.1.0" and the like: a static string. Async-signal-safe. */
GMR_API const char *gmr_version(void);

/* How a report is written. GMR_VIEW_DEFAULT is text wherever nothing else was configured. */
enum gmr_view {
    GMR_VIEW_DEFAULT = 0,
    GMR_VIEW_TEXT = 1,
    GMR_VIEW_JSON = 2,
    GMR_VIEW_XML = 3,
};

/* A setting that can be left to the default. */
enum gmr_switch {
    GMR_DEFAULT = 0,
    GMR_ON = 1,
    GMR_OFF = 2,
};

/* ------------------------------------------------------------------------------------------------ setup */

/* gmr_options.signal: no signal trigger at all. (0 means the default, SIGUSR2.) */
#define GMR_SIGNAL_NONE (-1)

/* gmr_options.flags */
#define GMR_REPLACE_HANDLER 0x1u /* arm the signal even where the program already handles it */

/* Bits of what gmr_setup_autorun() could NOT arm (its positive result), and of gmr_triggers_armed(). */
#define GMR_TRIGGER_SIGNAL 0x1
#define GMR_TRIGGER_FILE 0x2
#define GMR_TRIGGER_SOCKET 0x4
#define GMR_TRIGGER_CRASH 0x8

/*
 * What a program says of itself at setup. Zero-fill it, set size, then whatever differs from the default: every
 * zero member means the default. All strings are copied.
 *
 * Where a setting is made in several places the order is: environment variable (ignored in a set-uid or otherwise
 * AT_SECURE program), then the INI file named by config_file, then this struct, then the default.
 */
struct gmr_options {
    size_t size; /* sizeof(struct gmr_options); how the library knows which members the caller has */

    /* Package section; a missing one prints as "None" in text, as oslo.reports prints it. */
    const char *vendor;
    const char *product;
    const char *version;

    const char *service;    /* name in report files and `gmr list`; default: the executable's name   GMR_SERVICE */
    int signal;             /* default SIGUSR2; GMR_SIGNAL_NONE: none                                   GMR_SIGNAL */
    unsigned flags;         /* GMR_REPLACE_HANDLER */
    const char *log_dir;    /* a directory for report files; default: standard error                   GMR_LOG_DIR */
    const char *watch_file; /* report whenever its modification time moves; default: none           GMR_WATCH_FILE */
    unsigned watch_interval_ms; /* polling, where inotify can't see it; default 1000            GMR_WATCH_INTERVAL_MS */
    enum gmr_switch control_socket; /* default on                                                  GMR_CONTROL_SOCKET */
    enum gmr_view view;             /* default text                                                          GMR_VIEW */
    const char *config_file;        /* an INI file whose [oslo_reports] group has log_dir, file_event_handler,
                                file_event_handler_interval (seconds)                                      GMR_CONFIG */
    const char *inspector; /* path of the gmr command; default: the installed one                      GMR_INSPECTOR */

    /*
     * Where the library's few messages go ("report written to FILE", "LOGDIR can't be written: ..."). Called on a thread of the
     * library's that is given two seconds, like a section's generator; never in a crash. priority as in syslog(3). Default: standard error.
     */
    void (*log)(void *userdata, int priority, const char *message);
    void *log_userdata; /* borrowed */

    unsigned report_timeout_ms;    /* the whole report; default 30000 */
    unsigned section_timeout_ms;   /* one section of the program's own; default 2000 */
    size_t section_max_bytes;      /* one section of the program's own; default 4 MiB */
    enum gmr_switch fork_children; /* triggers in forked children as well; default on */

    /* also report on SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP; default off                          GMR_CRASH */
    enum gmr_switch crash;
    unsigned min_interval_ms; /* at most one triggered report per this time; default 500 */
    unsigned max_files;       /* report files of this service kept in log_dir; default 100 */
    uint64_t max_files_bytes; /* and their total size; default 256 MiB */
};

/*
 * Arms the triggers: the signal, the watched file and the control socket, and starts the reporter thread.
 * Call it once, early in main, before other threads are started. Calling it again replaces the options.
 * A handler that the program installs afterwards for the same signal replaces the library's, silently: install it before.
 *
 * options: may be NULL (all defaults).
 * Returns 0 when everything that was asked for is armed; a positive mask of GMR_TRIGGER_* that could not be armed
 * (the program already handles the signal, the socket's directory can't be made, ...), with the reasons in
 * gmr_setup_message(); a negative errno when nothing could be armed.
 * Never blocks for longer than a few system calls. Not async-signal-safe.
 */
GMR_API int gmr_setup_autorun(const struct gmr_options *options);

/* What the last gmr_setup_autorun() could not do, a sentence each with the next step, "" if nothing. Static storage,
 * overwritten by the next setup. */
GMR_API const char *gmr_setup_message(void);

/* Mask of GMR_TRIGGER_* that are armed in this process now. Async-signal-safe. */
GMR_API int gmr_triggers_armed(void);

/* Disarms every trigger, restores the signal's former action, stops the reporter thread, removes the socket. Waits for a
 * report that is under way, at most report_timeout_ms; -EBUSY if it does not end. For plug-ins that are unloaded; a program need not call it. */
GMR_API int gmr_shutdown(void);

/*
 * For a thread of the program's own, at its start: with options.crash, an overflow of its stack is reported, too. The report is made on another
 * stack, which this call sets up (sigaltstack) and which is freed when the thread ends; it takes 64 KiB of address space and no memory
 * until then. A thread that already has an alternative stack keeps it. The thread that calls gmr_setup_autorun() has one by that, and so
 * has, under `gmr run`, every thread.
 * Returns 0, or -ENOMEM or -EAGAIN: then the thread goes without.
 */
GMR_API int gmr_crash_stack(void);

/* ------------------------------------------------------------------------------------------------ sections */

struct gmr_writer;

/*
 * Writes a section. It runs on a thread of the library's, never in a signal handler, and may use all of libc; it should
 * not wait for long: past section_timeout_ms it is abandoned, and the report says so.
 * writer:   valid during the call only, for use on this thread only.
 * userdata: as registered, borrowed.
 * Returns 0, or a negative errno that becomes the section's status (what was written until then is kept).
 */
typedef int (*gmr_generator)(struct gmr_writer *writer, void *userdata);

/* How the generic text view lays out nested data: the parameters of oslo.reports' KeyValueView. A NULL member means
 * its default, given behind it. Strings are copied. */
struct gmr_text_style {
    const char *indent_str;  /* "  " */
    const char *key_sep;     /* " = " */
    const char *dict_sep;    /* " = " */
    const char *list_sep;    /* " = " */
    const char *anon_dict;   /* "[dict]" */
    const char *before_dict; /* none: no line before a map */
    const char *before_list; /* none: no line before a list */
};

/* gmr_section.flags */
/* Keys and list items stay in the order written, instead of sorted as oslo.reports does. */
#define GMR_SECTION_KEEP_ORDER 0x1u
#define GMR_SECTION_CRASH_SAFE 0x2u /* the generator is async-signal-safe: run it in a crash report, too */

struct gmr_section {
    size_t size;       /* sizeof(struct gmr_section) */
    const char *title; /* the banner's text; over 64 bytes it is kept whole and the banner grows */
    gmr_generator generator;
    void *userdata; /* borrowed */
    unsigned flags;
    struct gmr_text_style style;
};

/* Registers a section of the program's own, before or after setup. Sections appear in order of registration; a title may
 * be used more than once. Errors: -EINVAL (no title or generator), -ENOMEM. */
GMR_API int gmr_register_section(const char *title, gmr_generator generator, void *userdata);

/* The same with everything that can be said of a section. */
GMR_API int gmr_register_section_with(const struct gmr_section *section);

/* Removes the newest section registered with this title and generator. Does not return while that generator runs
 * (at most section_timeout_ms; then -EBUSY, and userdata must stay valid). -ENOENT if there is none. */
GMR_API int gmr_unregister_section(const char *title, gmr_generator generator);

/*
 * What a generator writes. key: the member's name inside a map, NULL inside a list (the section itself is a map). Each returns
 * 0, -EINVAL for a call that does not fit (a key in a list, an end without a begin, NULL where text is needed),
 * -EMSGSIZE past the section's byte budget, or the error of the output; after an error the remaining calls are
 * harmless and return the same. What a generator leaves open is closed for it, and the section's status says so. Text is UTF-8; other
 * bytes and control characters come out escaped, valid in every view. What looks like a secret within a text (user information of a URL,
 * "password=...", an Authorization header, a private key, a token of a known shape) prints as ***; of other secrets only the
 * program knows: gmr_put_secret.
 */
GMR_API int gmr_begin_map(struct gmr_writer *writer, const char *key);
GMR_API int gmr_end_map(struct gmr_writer *writer);
GMR_API int gmr_begin_list(struct gmr_writer *writer, const char *key);
GMR_API int gmr_end_list(struct gmr_writer *writer);
GMR_API int gmr_put_string(struct gmr_writer *writer, const char *key, const char *value); /* NULL value: null */
GMR_API int gmr_put_bytes(struct gmr_writer *writer, const char *key, const void *value, size_t value_bytes);
GMR_API int gmr_put_int(struct gmr_writer *writer, const char *key, int64_t value);
GMR_API int gmr_put_uint(struct gmr_writer *writer, const char *key, uint64_t value);
GMR_API int gmr_put_double(struct gmr_writer *writer, const char *key, double value);
GMR_API int gmr_put_bool(struct gmr_writer *writer, const char *key, bool value);
GMR_API int gmr_put_null(struct gmr_writer *writer, const char *key);
GMR_API int gmr_put_secret(struct gmr_writer *writer, const char *key); /* prints *** */
/* printf's d i u x X o c s p e f g and %%, with flags, width, precision and lengths, by the library's own hand: no locale, async-signal-safe.
 * Any other conversion ends the formatting: the rest of the format is put as it stands. */
GMR_API int gmr_put_format(struct gmr_writer *writer, const char *key, const char *format, ...) GMR_PRINTF(3, 4);
GMR_API int gmr_put_vformat(struct gmr_writer *writer, const char *key, const char *format, va_list arguments)
    GMR_PRINTF(3, 0);

/* A table of 1 to 36 columns: in text 72 columns wide with centred cells, in JSON and XML a list of maps by column name. Rows have
 * exactly column_count cells; a NULL cell is empty. */
GMR_API int gmr_begin_table(struct gmr_writer *writer, const char *key, const char *const *columns,
                            size_t column_count);
GMR_API int gmr_put_row(struct gmr_writer *writer, const char *const *cells, size_t cell_count);
GMR_API int gmr_end_table(struct gmr_writer *writer);

/* ------------------------------------------------------------------------------------------------ reports from code */

/*
 * Writes a whole report to fd and returns when it is written: for an RPC's error path or an HTTP handler. Works without
 * gmr_setup_autorun(), too. One report is made at a time; a second caller waits for the first.
 * fd:    stays the caller's. A blocking fd that nobody reads is given up after the report's deadline.
 * view:  GMR_VIEW_DEFAULT is the configured one.
 * title: NULL for all sections, else the one section to write: "Threads", "Processes", or one of the program's own.
 * Returns 0; -EDEADLK when called from a section's generator; -ENOENT for an unknown title; -ETIMEDOUT;
 * -ECANCELED when gmr_shutdown() comes first; write's error.
 */
GMR_API int gmr_report_write(int fd, enum gmr_view view);
GMR_API int gmr_report_section(int fd, enum gmr_view view, const char *title);

/* Asks for a report in the configured place and does not wait: what the signal does. Async-signal-safe. */
GMR_API int gmr_report_trigger(void);

/* ------------------------------------------------------------------------------------------------ configuration */

enum gmr_config_type {
    GMR_CONFIG_STRING = 1, /* value points at a const char * */
    GMR_CONFIG_BOOL,       /* bool */
    GMR_CONFIG_INT,        /* int */
    GMR_CONFIG_UINT,       /* unsigned */
    GMR_CONFIG_LONG,       /* long */
    GMR_CONFIG_INT64,      /* int64_t */
    GMR_CONFIG_UINT64,     /* uint64_t */
    GMR_CONFIG_SIZE,       /* size_t */
    GMR_CONFIG_DOUBLE,     /* double */
    GMR_CONFIG_LIST,       /* a NULL-terminated const char ** */
};

#define GMR_CONFIG_SECRET 0x1u     /* always *** */
#define GMR_CONFIG_NOT_SECRET 0x2u /* shown although its name looks like a secret's */

struct gmr_config_option {
    const char *name;
    enum gmr_config_type type;
    const void *value; /* borrowed: read when a report is made, so that it shows what is in force then */
    unsigned flags;
};

/*
 * Registers options of a group ("DEFAULT" prints as "default", as oslo.reports prints it). Names are copied, the values
 * stay the program's and are read, without a lock, on a thread of the library's whenever a report is made.
 * Names that look like secrets (password, passwd, secret, token, credential, private key, ...) and the user information of URLs
 * print as ***. Registering a group again adds to it.
 */
GMR_API int gmr_config_register_group(const char *group, const struct gmr_config_option *options, size_t option_count);
GMR_API int gmr_config_unregister_group(const char *group);

/* A provider walks a configuration that the program already has: for each group a gmr_begin_map(writer, group), the
 * options with gmr_put_*, gmr_end_map. Options put outside a map belong to "default". The same secrets rules apply. */
GMR_API int gmr_config_register_provider(gmr_generator provider, void *userdata);
GMR_API int gmr_config_unregister_provider(gmr_generator provider, void *userdata);

#ifdef __cplusplus
}
#endif

#endif
