/*
 * cli/hello.h - what a process that carries libgmr says of itself.
 *
 * The gmr command only.
 */
#ifndef GMR_CLI_HELLO_H
#define GMR_CLI_HELLO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct gmr__hello {
    char service[128], version[32]; /* of libgmr; "" if not told */
    char triggers[256];             /* "signal USR2, socket": what is armed */
    char log_dir[256];              /* "": standard error */
    long armed_seconds;             /* since setup; -1: not told */
};

/* Asks over fd (closed afterwards). 0, or -errno: -ETIMEDOUT, -EBADMSG, ... */
int gmr__hello_ask(int fd, uint64_t deadline_ns, struct gmr__hello *hello);

#endif
