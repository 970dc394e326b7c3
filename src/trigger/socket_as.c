/*
 * trigger/socket_as.c - the control socket: one per process, for the same user and root.
 *
 * Reporter thread; async-signal-safe. What comes in is hostile until proven otherwise: one short line within a second, one client at a time,
 * everybody else waits in the backlog or is turned away; nobody can make the reporter wait, or grow.
 *
 *   DIR/PID.sock, DIR the first of /run/gmr (root), $XDG_RUNTIME_DIR/gmr, /run/user/UID/gmr, /tmp/gmr-UID that is a directory of ours, mode 0700
 *   request: "gmr/1 VERB [key=value ...]\n"; VERB: hello, sections [view=text|json|xml] [names=a,b], trigger
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sys/buf.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

#define LINE_DEADLINE_NS 1000000000u
#define BACKLOG 16

/* ---- the directory ---- */

static uid_t own_uid(void)
{
    return (uid_t)GMR__SYS(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}

/* The directory, ours alone and no link, or -errno. */
static int open_directory(const char *path)
{
    GMR__SYS(SYS_mkdirat, AT_FDCWD, path, 0700, 0, 0, 0);
    int fd = gmr__open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    struct stat st;
    if (fd < 0)
        return fd;
    if (GMR__SYS(SYS_fstat, fd, &st, 0, 0, 0, 0) == 0 && st.st_uid == own_uid() && (st.st_mode & 0777) == 0700)
        return fd;
    gmr__close(fd);
    return -EACCES;
}

static int choose_directory(struct gmr__buf *path)
{
    int error = -ENOENT, fd;
    for (int choice = 0; choice < 4; choice++) {
        gmr__buf_init(path, path->text, path->cap);
        if (choice == 0 && own_uid() == 0)
            gmr__buf_str(path, "/run/gmr");
        else if (choice == 1 && gmr__runtime_directory[0]) {
            gmr__buf_str(path, gmr__runtime_directory);
            gmr__buf_str(path, "/gmr");
        } else if (choice >= 2) {
            gmr__buf_str(path, choice == 2 ? "/run/user/" : "/tmp/gmr-");
            gmr__buf_uint(path, own_uid());
            gmr__buf_str(path, choice == 2 ? "/gmr" : "");
        } else
            continue;
        fd = path->overflow ? -ENAMETOOLONG : open_directory(path->text);
        if (fd >= 0)
            return fd;
        if (error == -ENOENT)
            error = fd;
    }
    return error;
}

/* ---- the socket ---- */

/* /proc/self/task/TID/fd/N/NAME: the directory that was checked, whatever its path leads to by now. */
static void address_of(struct sockaddr_un *address, int directory, const char *directory_path, const char *name)
{
    struct gmr__buf buf;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    gmr__buf_init(&buf, address->sun_path, sizeof(address->sun_path));
    gmr__buf_str(&buf, "/proc/self/task/");
    gmr__buf_int(&buf, gmr__gettid());
    gmr__buf_str(&buf, "/fd/");
    gmr__buf_int(&buf, directory);
    struct stat st;
    if (GMR__SYS(SYS_newfstatat, AT_FDCWD, address->sun_path, &st, 0, 0, 0) != 0) { /* no /proc here */
        gmr__buf_init(&buf, address->sun_path, sizeof(address->sun_path));
        gmr__buf_str(&buf, directory_path);
    }
    gmr__buf_char(&buf, '/');
    gmr__buf_str(&buf, name);
}

static int new_socket(void)
{
    return (int)GMR__SYS(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
}

static bool somebody_listens(const struct sockaddr_un *address)
{
    int fd = new_socket();
    if (fd < 0)
        return true;
    long error = GMR__SYS(SYS_connect, fd, address, sizeof(*address), 0, 0, 0);
    gmr__close(fd);
    return error != -ECONNREFUSED && error != -ENOENT;
}

/* What processes left behind that ended without a word: no such pid, and nobody listens (a pid of another namespace may be alive). */
static void remove_stale(int directory, const char *directory_path)
{
    _Alignas(8) char bytes[4096];
    struct entry {
        uint64_t inode;
        int64_t next;
        uint16_t bytes;
        uint8_t type;
        char name[];
    };
    long n;
    while ((n = GMR__SYS(SYS_getdents64, directory, bytes, sizeof(bytes), 0, 0, 0)) > 0) {
        for (long at = 0; at < n;) {
            const struct entry *e = (const struct entry *)(bytes + at);
            const char *end = e->name;
            uint64_t pid;
            at += e->bytes;
            if (!gmr__parse_uint(&end, &pid) || !gmr__streq(end, ".sock") || pid == 0 || pid > INT32_MAX)
                continue;
            if (GMR__SYS(SYS_kill, pid, 0, 0, 0, 0, 0) != -ESRCH)
                continue;
            struct sockaddr_un address;
            address_of(&address, directory, directory_path, e->name);
            if (!somebody_listens(&address))
                GMR__SYS(SYS_unlinkat, directory, e->name, 0, 0, 0, 0);
        }
    }
}

static int bind_and_listen(int directory, const char *directory_path, const char *name)
{
    struct sockaddr_un address;
    address_of(&address, directory, directory_path, name);
    if (somebody_listens(&address))
        return -EADDRINUSE;
    GMR__SYS(SYS_unlinkat, directory, name, 0, 0, 0, 0);
    int fd = new_socket();
    if (fd < 0)
        return fd;
    long error = GMR__SYS(SYS_bind, fd, &address, sizeof(address), 0, 0, 0);
    if (!error)
        error = GMR__SYS(SYS_fchmodat, directory, name, 0600, 0, 0, 0);
    if (!error)
        error = GMR__SYS(SYS_listen, fd, BACKLOG, 0, 0, 0, 0);
    if (error) {
        gmr__close(fd);
        return (int)error;
    }
    return fd;
}

int gmr__socket_begin(char *path, size_t cap)
{
    struct gmr__buf buf;
    char name[24], directory_path[128];
    gmr__buf_init(&buf, name, sizeof(name));
    gmr__buf_int(&buf, gmr__getpid());
    gmr__buf_str(&buf, ".sock");
    gmr__buf_init(&buf, directory_path, sizeof(directory_path));
    int directory = choose_directory(&buf);
    gmr__buf_init(&buf, path, cap);
    gmr__buf_str(&buf, directory_path);
    gmr__buf_char(&buf, '/');
    gmr__buf_str(&buf, name);
    if (directory < 0)
        return directory;
    remove_stale(directory, directory_path);
    int fd = bind_and_listen(directory, directory_path, name);
    gmr__close(directory);
    return fd;
}

void gmr__socket_end(const char *path)
{
    GMR__SYS(SYS_unlinkat, AT_FDCWD, path, 0, 0, 0, 0);
}

/* ---- clients ---- */

void gmr__guest_drop(struct gmr__guest *client)
{
    if (client->fd >= 0)
        gmr__close(client->fd);
    client->fd = -1;
}

void gmr__guest_accept(struct gmr__guest *client)
{
    int fd = (int)GMR__SYS(SYS_accept4, gmr__rt.fds.listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0);
    if (fd < 0)
        return;
    struct ucred peer = {.uid = (uid_t)-1};
    uint32_t bytes = sizeof(peer);
    long error = GMR__SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes, 0);
    if (error || (peer.uid != 0 && peer.uid != own_uid())) {
        gmr__close(fd);
        return;
    }
    *client = (struct gmr__guest){.fd = fd, .deadline_ns = gmr__now_ns() + LINE_DEADLINE_NS};
}

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

enum gmr__verb gmr__guest_read(struct gmr__guest *client, struct gmr__wish *wish, char *names, size_t names_cap)
{
    ssize_t n = gmr__read(client->fd, client->line + client->used, sizeof(client->line) - 1 - client->used);
    if (n == -EAGAIN || n == -EINTR)
        return GMR__VERB_NONE;
    size_t from = client->used;
    client->used += n > 0 ? (size_t)n : 0;
    for (size_t i = from; n > 0 && i < client->used; i++) {
        if (client->line[i] != '\n')
            continue;
        client->line[i] = '\0';
        enum gmr__verb verb = parse(client->line, wish, names, names_cap);
        if (verb == GMR__VERB_NONE)
            gmr__guest_drop(client);
        return verb;
    }
    if (n <= 0 || client->used == sizeof(client->line) - 1)
        gmr__guest_drop(client);
    return GMR__VERB_NONE;
}

/* A document of one section, "hello": who this is and what is armed. */
void gmr__guest_hello(struct gmr__guest *client, struct gmr__workspace *workspace)
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
    struct gmr__sink_fd sink;
    gmr__sink_fd_init(&sink, client->fd, gmr__now_ns() + LINE_DEADLINE_NS);
    struct gmr_writer *w = gmr__workspace_writer(workspace, GMR__VIEW_WIRE, GMR_VIEW_JSON, &sink.sink);
    struct gmr__doc doc = {.service = s->service, .pid = gmr__getpid()};
    gmr__doc_begin(w, &doc);
    gmr__section_begin(w, &head);
    gmr_put_string(w, "service", s->service);
    gmr_put_string(w, "libgmr", GMR_BUILD_VERSION);
    gmr_put_int(w, "pid", gmr__getpid());
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
}
