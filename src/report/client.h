/*
 * report/client.h - asks a process that carries libgmr, over its control socket.
 *
 * The gmr command only (may use all of libc). Every wait has a deadline, and every byte that comes is taken for hostile: the
 * process at the other end may be sick, or somebody else's.
 */
#ifndef GMR_REPORT_CLIENT_H
#define GMR_REPORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "view/writer.h"

/*
 * Connects to the control socket of pid, verifying that this very process listens there.
 * Returns the descriptor, or -ENOENT: it has none; -ETIMEDOUT: it does not accept; -EACCES; another -errno.
 */
int gmr__client_connect(pid_t pid, uint64_t deadline_ns);

/* The same by the socket's path; pid 0 accepts any process, and *pid_found tells which it is. */
int gmr__client_connect_path(const char *path, pid_t pid, uint64_t deadline_ns, pid_t *pid_found);

/* Sends one request line ("gmr/1 VERB ..." and a newline). 0 or -errno. */
int gmr__client_send(int fd, const char *line, uint64_t deadline_ns);

/* Reads the answer to its end into text[cap], NUL-terminated. The count, -ETIMEDOUT, -EMSGSIZE or another -errno. */
ssize_t gmr__client_read(int fd, char *text, size_t cap, uint64_t deadline_ns);

/* Feeds the answer, a wire stream, to `in`. 0 when it was read to its end, else -errno (the stream is not finished then). */
int gmr__client_replay(int fd, struct gmr__wire_in *in, uint64_t deadline_ns);

/* Calls each(userdata, path, pid) for every control socket in the directories where they are kept. */
int gmr__client_each_socket(int (*each)(void *userdata, const char *path, pid_t pid), void *userdata);

#endif
