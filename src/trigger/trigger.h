/*
 * trigger/trigger.h - what the files of src/trigger share: the reporter thread and the things that wake it.
 *
 * The target's half only.
 */
#ifndef GMR_TRIGGER_TRIGGER_H
#define GMR_TRIGGER_TRIGGER_H

#include <signal.h>

#include "report/assemble.h"
#include "report/runtime.h"
#include "report/spool.h"
#include "sys/sys.h"

/*
 * The reporter is woken by this signal, sent to its thread alone, blocked there and read from a signalfd: that works between descriptor tables,
 * from a signal handler, without touching the program's handlers, and can wait beside sockets in one poll. Nothing in Linux sends SIGSTKFLT,
 * and a standard signal is recorded even when the user's queue of signals (RLIMIT_SIGPENDING) is full.
 */
#define GMR__WAKE_SIGNAL SIGSTKFLT

/* start.c: any thread of the program. */
int gmr__reporter_start(bool wait);
int gmr__reporter_stop(void);           /* 0, or -EBUSY: a report does not end */
void *gmr__reporter_main(void *unused); /* reporter_as.c */
int gmr__prepare_process(void);
void gmr__find_inspector(const char *given, bool secure);
extern const char *gmr__inspector_candidates[]; /* NULL-terminated */

extern _Atomic int gmr__asked_before_start;              /* signal_as.c */
int gmr__setup_quietly(int *view, unsigned *timeout_ms); /* setup.c */
void gmr__setup_forget(void);

/* signal.c: any thread of the program; signal_as.c: the handler. */
int gmr__signal_arm(int signal, bool replace);
void gmr__signal_disarm(void);
int gmr__armed_now(void); /* GMR_TRIGGER_*, as it is, not as it was set up */
void gmr__signal_handler(int signal, siginfo_t *info, void *context);

/* watch_as.c: the reporter. */
struct gmr__watch {
    int64_t modified_ns; /* 0: it was not there */
    uint64_t next_ns;    /* when to look again */
};
void gmr__watch_begin(struct gmr__watch *watch);
/* True if the file has moved since. ready: inotify says that something happened. */
bool gmr__watch_look(struct gmr__watch *watch, bool ready);

/* socket_as.c: the reporter. */
int gmr__socket_begin(char *path, size_t cap); /* the listening descriptor, or -errno */
void gmr__socket_end(const char *path);

/* guests_as.c: the reporter. */
#define GMR__GUESTS 8
enum gmr__guest_state { GMR__GUEST_ASKS = 0, GMR__GUEST_WAITS, GMR__GUEST_TAKES };
struct gmr__guest {
    int fd; /* -1: nobody */
    enum gmr__guest_state state;
    uint64_t since_ns;        /* it came, or last took a piece of its answer */
    size_t used, taken;       /* bytes of the line, of the answer */
    struct gmr__spool answer; /* while it TAKES */
    char line[1024];
};
/* What a client wants of the reporter. */
enum gmr__verb { GMR__VERB_NONE = 0, GMR__VERB_HELLO, GMR__VERB_SECTIONS, GMR__VERB_TRIGGER };
void gmr__guests_init(struct gmr__guest guests[GMR__GUESTS]);
void gmr__guests_poll(struct gmr__guest guests[GMR__GUESTS], struct pollfd *listening, struct pollfd wait[GMR__GUESTS]);
uint64_t
gmr__guests_deadline(struct gmr__guest guests[GMR__GUESTS]); /* when somebody's patience is to end; UINT64_MAX: never */
void gmr__guests_expire(struct gmr__guest guests[GMR__GUESTS], uint64_t now_ns);
struct gmr__guest *gmr__guest_accept(struct gmr__guest guests[GMR__GUESTS]); /* NULL: nobody */
void gmr__guest_drop(struct gmr__guest *guest);
/* Reads what is there; a verb once the line is whole. NONE with fd -1: it is gone. */
enum gmr__verb gmr__guest_read(struct gmr__guest *guest, struct gmr__wish *wish, char *names, size_t names_cap);
void gmr__guest_hello(struct gmr__guest *guest, struct gmr__workspace *workspace);
/* guest->answer is made; it is given to the client as fast as that takes it, by gmr__guest_take whenever it can be written to. */
void gmr__guest_answer(struct gmr__guest *guest);
void gmr__guest_take(struct gmr__guest *guest);

/* call_as.c: the reporter does what a thread of the program asks for. */
void gmr__serve_request(struct gmr__workspace *workspace);
static inline uint32_t *gmr__request_word(struct gmr__request *request)
{
    return (uint32_t *)&request->state;
}
/* call.c */
void gmr__call_forget(void); /* in the child of a fork */
void gmr__call_cancel(void); /* at shutdown */

#endif
