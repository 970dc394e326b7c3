/*
 * cli/doctor.h - what the files of gmr doctor share: how a finding is told, and what all of them add up to.
 *
 * The gmr command only.
 */
#ifndef GMR_CLI_DOCTOR_H
#define GMR_CLI_DOCTOR_H

#include <stdbool.h>

#include "cli/process.h"
#include "sys/proc.h"

/* Each prints one finding. next_step may be NULL. */
void gmr__doctor_good(const char *format, ...) __attribute__((format(printf, 1, 2)));
void gmr__doctor_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void gmr__doctor_bad(const char *next_step, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* This machine and user. */
struct gmr__doctor_host {
    bool can_trace; /* tried on a child */
    bool capable;   /* CAP_SYS_PTRACE */
    int yama;       /* ptrace_scope; 0 where there is no Yama */
};
void gmr__doctor_host(struct gmr__doctor_host *host);

/* One process. Returns the exit code. */
int gmr__doctor_process(const struct gmr__process *process, const struct gmr__doctor_host *host);

#endif
