/*
 * trigger/guests_as.c - those who connect to the control socket: a few at a time, none of whom the reporter ever waits for.
 *
 * Reporter thread; async-signal-safe. What comes in is hostile until proven otherwise: one short line within a second. An answer is made whole and then
 * taken by the client as fast as it likes, within bounds, while the reporter does other things. When all places are taken patience is shorter, so
 * that neither half-open connections nor slow readers keep others out for long; those wait in the backlog.
 *
 *   request: "gmr/1 VERB [key=value ...]\n"; VERB: hello, sections [view=text|json|xml] [names=a,b], trigger
 */
#include <errno.h>
#include <sys/socket.h>

#include "sys/buf.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

#define ASK_NS 1000000000u        /* from the connection to the end of the line */
#define TAKE_NS 10000000000u      /* between two pieces of the answer */
#define CROWDED_ASK_NS 100000000u /* the same while all places are taken */
#define CROWDED_TAKE_NS 1000000000u

/* ---- who is there ---- */

void gmr__guests_init(struct gmr__guest guests[GMR__GUESTS])
{
    for (int i = 0; i < GMR__GUESTS; i++)
        guests[i].fd = -1;
}

void gmr__guest_drop(struct gmr__guest *guest)
{
    if (guest->fd < 0)
        return;
    gmr__close(guest->fd);
    guest->fd = -1;
    if (guest->state == GMR__GUEST_TAKES)
        gmr__spool_free(&guest->answer);
}

static struct gmr__guest *free_place(struct gmr__guest guests[GMR__GUESTS])
{
    for (int i = 0; i < GMR__GUESTS; i++)
        if (guests[i].fd < 0)
            return &guests[i];
    return NULL;
}

/* UINT64_MAX: it waits for us. */
static uint64_t deadline_ns(const struct gmr__guest *guest, bool crowded)
{
    if (guest->fd < 0 || guest->state == GMR__GUEST_WAITS)
        return UINT64_MAX;
    if (guest->state == GMR__GUEST_ASKS)
        return guest->since_ns + (crowded ? CROWDED_ASK_NS : ASK_NS);
    return guest->since_ns + (crowded ? CROWDED_TAKE_NS : TAKE_NS);
}

uint64_t gmr__guests_deadline(struct gmr__guest guests[GMR__GUESTS])
{
    uint64_t first = UINT64_MAX;
    bool crowded = !free_place(guests);
    for (int i = 0; i < GMR__GUESTS; i++) {
        uint64_t one = deadline_ns(&guests[i], crowded);
        first = one < first ? one : first;
    }
    return first;
}

void gmr__guests_expire(struct gmr__guest guests[GMR__GUESTS], uint64_t now_ns)
{
    for (int i = 0; i < GMR__GUESTS; i++)
        if (now_ns >= deadline_ns(&guests[i], !free_place(guests)))
            gmr__guest_drop(&guests[i]);
}

void gmr__guests_poll(struct gmr__guest guests[GMR__GUESTS], struct pollfd *listening, struct pollfd wait[GMR__GUESTS])
{
    *listening = (struct pollfd){.fd = free_place(guests) ? gmr__rt.fds.listen : -1, .events = POLLIN};
    for (int i = 0; i < GMR__GUESTS; i++)
        wait[i] = (struct pollfd){.fd = guests[i].state == GMR__GUEST_WAITS ? -1 : guests[i].fd,
                                  .events = guests[i].state == GMR__GUEST_TAKES ? POLLOUT : POLLIN};
}

struct gmr__guest *gmr__guest_accept(struct gmr__guest guests[GMR__GUESTS])
{
    struct gmr__guest *guest = free_place(guests);
    int fd =
        guest ? (int)GMR__SYS(SYS_accept4, gmr__rt.fds.listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0) : -1;
    if (fd < 0)
        return NULL;
    struct ucred peer = {.uid = (uid_t)-1};
    uint32_t bytes = sizeof(peer);
    long error = GMR__SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes, 0);
    if (error || (peer.uid != 0 && peer.uid != gmr__euid())) {
        gmr__close(fd);
        return NULL;
    }
    guest->fd = fd;
    guest->state = GMR__GUEST_ASKS;
    guest->since_ns = gmr__now_ns();
    guest->used = 0;
    return guest;
}

/* ---- what it asks ---- */

/* Cuts the next word off *at. */
static char *word(char **at)
{
    while (**at == ' ')
        (*at)++;
    char *start = *at;
    while (**at && **at != ' ')
        (*at)++;
    if (**at)
        *(*at)++ = '\0';
    return start;
}

static enum gmr__verb parse(char *line, struct gmr__wish *wish, char *names, size_t names_cap)
{
    char *at = line;
    if (!gmr__streq(word(&at), "gmr/1"))
        return GMR__VERB_NONE;
    const char *verb = word(&at);
    while (*at) {
        const char *argument = word(&at);
        if (gmr__streq(argument, "view=json"))
            wish->final_view = GMR_VIEW_JSON;
        else if (gmr__streq(argument, "view=xml"))
            wish->final_view = GMR_VIEW_XML;
        else if (gmr__starts_with(argument, "names=")) {
            struct gmr__buf buf;
            gmr__buf_init(&buf, names, names_cap);
            gmr__buf_str(&buf, argument + 6);
            wish->only_names = names;
        }
    }
    return gmr__streq(verb, "hello")      ? GMR__VERB_HELLO
           : gmr__streq(verb, "sections") ? GMR__VERB_SECTIONS
           : gmr__streq(verb, "trigger")  ? GMR__VERB_TRIGGER
                                          : GMR__VERB_NONE;
}

enum gmr__verb gmr__guest_read(struct gmr__guest *guest, struct gmr__wish *wish, char *names, size_t names_cap)
{
    ssize_t n = gmr__read(guest->fd, guest->line + guest->used, sizeof(guest->line) - 1 - guest->used);
    if (n == -EAGAIN || n == -EINTR)
        return GMR__VERB_NONE;
    size_t from = guest->used;
    guest->used += n > 0 ? (size_t)n : 0;
    for (size_t i = from; n > 0 && i < guest->used; i++) {
        if (guest->line[i] != '\n')
            continue;
        guest->line[i] = '\0';
        enum gmr__verb verb = parse(guest->line, wish, names, names_cap);
        if (verb == GMR__VERB_NONE)
            gmr__guest_drop(guest);
        return verb;
    }
    if (n <= 0 || guest->used == sizeof(guest->line) - 1)
        gmr__guest_drop(guest);
    return GMR__VERB_NONE;
}

/* ---- what it is told ---- */

struct taking {
    struct gmr__guest *guest;
    size_t at; /* of the bytes that come next */
};

/* 1: it takes no more at the moment. */
static int take_some(void *userdata, const void *bytes, size_t count)
{
    struct taking *taking = userdata;
    struct gmr__guest *guest = taking->guest;
    size_t end = taking->at + count;
    while (guest->taken < end) {
        const char *from = (const char *)bytes + (guest->taken - taking->at);
        ssize_t n = GMR__SYS(SYS_sendto, guest->fd, from, end - guest->taken, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n == -EAGAIN ? 1 : n < 0 ? (int)n : -EIO;
        guest->taken += (size_t)n;
        guest->since_ns = gmr__now_ns();
    }
    taking->at = end;
    return 0;
}

void gmr__guest_take(struct gmr__guest *guest)
{
    struct taking taking = {.guest = guest};
    if (gmr__spool_each(&guest->answer, take_some, &taking) != 1)
        gmr__guest_drop(guest); /* it has all of it, or has gone */
}

void gmr__guest_answer(struct gmr__guest *guest)
{
    guest->state = GMR__GUEST_TAKES;
    guest->since_ns = gmr__now_ns();
    guest->taken = 0;
    gmr__guest_take(guest);
}

/* A document of one section, "hello": who this is and what is armed. */
void gmr__guest_hello(struct gmr__guest *guest, struct gmr__workspace *workspace)
{
    static const struct gmr__section_head head = {.name = "hello", .title = "Hello", .shape = GMR__SHAPE_MAP};
    static const struct {
        int bit;
        const char *name;
    } triggers[] = {{GMR_TRIGGER_SIGNAL, "signal"},
                    {GMR_TRIGGER_FILE, "file"},
                    {GMR_TRIGGER_SOCKET, "socket"},
                    {GMR_TRIGGER_CRASH, "crash"}};
    const struct gmr__settings *s = gmr__rt.settings;
    int armed = gmr__armed_now();
    gmr__spool_init(&guest->answer);
    struct gmr_writer *w = gmr__workspace_writer(workspace, GMR__VIEW_WIRE, GMR_VIEW_JSON, &guest->answer.sink);
    struct gmr__doc doc = {.service = s->service, .pid = gmr__getpid()};
    gmr__doc_begin(w, &doc);
    gmr__section_begin(w, &head);
    gmr_put_string(w, "service", s->service);
    gmr_put_string(w, "libgmr", GMR_BUILD_VERSION);
    gmr_put_int(w, "pid", gmr__getpid());
    gmr_put_uint(w, "armed_seconds", (gmr__now_ns() - gmr__rt.armed_ns) / 1000000000u);
    if (armed & GMR_TRIGGER_SIGNAL)
        gmr_put_int(w, "signal", s->signal);
    if (s->watch_file)
        gmr_put_string(w, "watch_file", s->watch_file);
    if (s->log_dir)
        gmr_put_string(w, "log_dir", s->log_dir);
    gmr_begin_list(w, "triggers");
    for (size_t i = 0; i < sizeof(triggers) / sizeof(triggers[0]); i++)
        if (armed & triggers[i].bit)
            gmr_put_string(w, NULL, triggers[i].name);
    gmr_end_list(w);
    gmr__section_end(w, GMR__OK, NULL, NULL);
    gmr__doc_end(w, &doc, NULL);
    gmr__guest_answer(guest);
}
