/*
 * section/section.h - the sections that gmr itself makes.
 *
 * Those that read only /proc are async-signal-safe (files *_as.c) and run in either half: normally in the inspector, in libgmr
 * where no inspector can run. Those that need the snapshot are the inspector's. Each writes the body of a section that the
 * caller has begun, and returns the status that the caller ends it with.
 */
#ifndef GMR_SECTION_SECTION_H
#define GMR_SECTION_SECTION_H

#include <sys/types.h>

#include "section/secrets.h"
#include "view/writer.h"

struct gmr__section_status {
    enum gmr__status status;
    char reason[256]; /* "" if none */
    char next_step[160];
};

/* What the section is about: a process, by its pid as seen from here. proc: "/proc" (tests and other namespaces name another). */
struct gmr__target {
    pid_t pid;
    const char *proc;
    uint64_t deadline_ns;
};

/* A section by its JSON name; shape and title as in the report. Both halves. */
struct gmr__proc_section {
    struct gmr__section_head head;
    void (*run)(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status);
};
extern const struct gmr__proc_section
    gmr__section_processes;                                /* "processes"  "Processes"  list of maps, children nested */
extern const struct gmr__proc_section gmr__section_limits; /* "limits"     "Limits" */
extern const struct gmr__proc_section gmr__section_environment; /* "environment" "Environment": an allow-list */
extern const struct gmr__proc_section gmr__section_files;       /* "open_files" "Open Files" */
extern const struct gmr__proc_section gmr__section_modules;     /* "modules"    "Modules" */
extern const struct gmr__proc_section gmr__section_resources;   /* "resources"  "Resource Usage" */
extern const struct gmr__proc_section gmr__section_cgroup;      /* "cgroup"     "Control Group" */
extern const struct gmr__proc_section gmr__section_host;        /* "host"       "Host" */

/* Descriptors in use, and the soft limit (0: not known, or none). 0, -errno, or -ETIME past the deadline. */
int gmr__open_files(const struct gmr__target *target, uint64_t *count, uint64_t *limit);

/* Of the control group, or the group above it that is nearest to its limit; file pages that are not in use left out. max 0: no limit is known. */
struct gmr__cgroup_memory {
    uint64_t used, max;
    uint64_t oom_kills; /* of its own */
};
void gmr__cgroup_memory(const struct gmr__target *target, struct gmr__cgroup_memory *memory);

/* Package: product, vendor, version (NULL: null), executable, its build id, libgmr's version (NULL: not in the process). */
struct gmr__package {
    const char *vendor, *product, *version, *libgmr;
};
void gmr__section_package(struct gmr_writer *w, const struct gmr__target *target, const struct gmr__package *package,
                          struct gmr__section_status *status);

/* A command line as /proc/PID/cmdline holds it (NUL-separated), secrets masked, into a list of arguments on the writer. */
void gmr__put_command(struct gmr_writer *w, const char *key, const char *cmdline, size_t bytes);

#endif
