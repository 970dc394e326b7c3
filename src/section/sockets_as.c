/*
 * section/sockets_as.c - /proc/PID/net/{tcp,udp,unix,...}: which socket has this inode?
 *
 * Both halves, any context: async-signal-safe. Caller: the Open Files section. The tables are those of the target's network namespace and may have
 * hundreds of thousands of lines: they are read once each, under the section's deadline, and no name is ever looked up. Formats: proc_net_tcp(5),
 * net/ipv4/tcp_ipv4.c, net/unix/af_unix.c.
 */
#include "section/sockets.h"

#include <arpa/inet.h>
#include <errno.h>

#include "section/note.h"
#include "sys/proc.h"

/* include/net/tcp_states.h; UDP uses 1 and 7 of them. */
static const char *const tcp_states[] = {NULL,         "established", "syn-sent",    "syn-received", "fin-wait-1",
                                         "fin-wait-2", "time-wait",   "closed",      "close-wait",   "last-ack",
                                         "listen",     "closing",     "new-syn-recv"};

static struct gmr__socket *find(struct gmr__socket *sockets, size_t count, uint64_t inode)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sockets[middle].inode < inode)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && sockets[low].inode == inode ? &sockets[low] : NULL;
}

/* The n-th word of a line (from 0), "" if there is none. */
static const char *word(const char *line, int n)
{
    for (;; n--) {
        while (*line == ' ')
            line++;
        if (n == 0 || !*line)
            return line;
        while (*line && *line != ' ')
            line++;
    }
}

static bool number_at(const char *text, uint64_t *value)
{
    return gmr__parse_uint(&text, value) && (!*text || *text == ' ');
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* Eight hex digits: a 32-bit word as the host holds it, which is network order in memory. */
static bool hex_word(const char *text, unsigned char *to)
{
    uint32_t value = 0;
    for (int i = 0; i < 8; i++) {
        int digit = hex_value(text[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    gmr__memcpy(to, &value, sizeof(value));
    return true;
}

static void put_v4(struct gmr__buf *buf, const unsigned char *bytes)
{
    for (int i = 0; i < 4; i++) {
        if (i)
            gmr__buf_char(buf, '.');
        gmr__buf_uint(buf, bytes[i]);
    }
}

/* RFC 5952: the longest run of zero groups becomes "::". */
static void put_v6(struct gmr__buf *buf, const unsigned char *bytes)
{
    unsigned group[8];
    int best = -1, best_length = 1;
    for (int i = 0; i < 8; i++)
        group[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
    for (int i = 0, n; i < 8; i += n + 1) {
        for (n = 0; i + n < 8 && group[i + n] == 0;)
            n++;
        if (n > best_length) {
            best = i;
            best_length = n;
        }
    }
    gmr__buf_char(buf, '[');
    for (int i = 0; i < 8; i++) {
        if (i == best) {
            gmr__buf_str(buf, "::");
            i += best_length - 1;
            continue;
        }
        if (i && i != best + best_length)
            gmr__buf_char(buf, ':');
        gmr__buf_hex(buf, group[i]);
    }
    gmr__buf_char(buf, ']');
}

/* "0100007F:1F90" */
static bool address(const char *text, bool v6, char *to, size_t cap)
{
    unsigned char bytes[16];
    struct gmr__buf buf;
    gmr__buf_init(&buf, to, cap);
    for (int i = 0; i < (v6 ? 4 : 1); i++, text += 8) {
        if (!hex_word(text, bytes + 4 * i))
            return false;
    }
    uint64_t port;
    if (*text++ != ':' || !gmr__parse_hex(&text, &port) || port > 65535)
        return false;
    if (v6)
        put_v6(&buf, bytes);
    else
        put_v4(&buf, bytes);
    gmr__buf_char(&buf, ':');
    gmr__buf_uint(&buf, port);
    return true;
}

/* "  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt   uid  timeout inode ..." */
static void internet_line(const char *line, bool v6, bool has_states, struct gmr__socket *socket)
{
    const char *state = word(line, 3);
    uint64_t number = 0;
    address(word(line, 1), v6, socket->local, sizeof(socket->local));
    address(word(line, 2), v6, socket->remote, sizeof(socket->remote));
    if (has_states && gmr__parse_hex(&state, &number) && number < sizeof(tcp_states) / sizeof(*tcp_states))
        socket->state = tcp_states[number];
}

/* "Num RefCount Protocol Flags Type St Inode Path" */
static const char *unix_line(const char *line, struct gmr__socket *socket)
{
    static const char *const states[] = {"free", "unconnected", "connecting", "connected", "disconnecting"};
    const char *type = word(line, 4), *state = word(line, 5), *flags = word(line, 3);
    uint64_t kind = 0, number = 0, flag = 0;
    if (gmr__parse_hex(&state, &number) && number < sizeof(states) / sizeof(*states))
        socket->state = states[number];
    if (gmr__parse_hex(&flags, &flag) && (flag & 0x10000)) /* __SO_ACCEPTCON */
        socket->state = "listen";
    struct gmr__buf path;
    const char *at = word(line, 7);
    gmr__buf_init(&path, socket->path, sizeof(socket->path));
    gmr__buf_text(&path, at, gmr__strlen(at));
    gmr__parse_hex(&type, &kind);
    return kind == 2 ? "unix datagram" : kind == 5 ? "unix seqpacket" : "unix stream";
}

static const struct table {
    const char *file, *family;
    int inode_word;
    bool internet, v6, states;
} tables[] = {
    {"net/unix", NULL, 6, false, false, false},         {"net/tcp", "tcp", 9, true, false, true},
    {"net/tcp6", "tcp6", 9, true, true, true},          {"net/udp", "udp", 9, true, false, true},
    {"net/udp6", "udp6", 9, true, true, true},          {"net/udplite", "udplite", 9, true, false, true},
    {"net/icmp", "icmp", 9, true, false, false},        {"net/raw", "raw", 9, true, false, false},
    {"net/raw6", "raw6", 9, true, true, false},         {"net/packet", "packet", 8, false, false, false},
    {"net/netlink", "netlink", 9, false, false, false},
};

/* Lines in a table: over a million costs a second. */
#define MAX_LINES 1000000

static void read_table(const struct table *table, struct gmr__socket *sockets, size_t count,
                       const struct gmr__target *target, struct gmr__section_status *status)
{
    struct gmr__lines lines;
    uint64_t inode, read = 0;
    int error = gmr__proc_lines_open(&lines, target->proc, target->pid, 0, table->file);
    if (error) {
        if (error != -ENOENT)
            gmr__section_error(status, GMR__PARTIAL, "the tables of sockets", error);
        return;
    }
    gmr__lines_next(&lines, NULL); /* the header */
    for (char *line; (line = gmr__lines_next(&lines, NULL));) {
        if (++read > MAX_LINES || (read % 1024 == 0 && gmr__target_late(target))) {
            gmr__section_note(status, GMR__PARTIAL, "a table of sockets is too long to be read in time", NULL);
            break;
        }
        struct gmr__socket *socket =
            number_at(word(line, table->inode_word), &inode) ? find(sockets, count, inode) : NULL;
        if (!socket || socket->family)
            continue;
        socket->family = table->family ? table->family : unix_line(line, socket);
        if (table->internet)
            internet_line(line, table->v6, table->states, socket);
    }
    gmr__section_unread(status, "the tables of sockets", lines.error);
    gmr__lines_close(&lines);
}

void gmr__sockets_resolve(struct gmr__socket *sockets, size_t count, const struct gmr__target *target,
                          struct gmr__section_status *status)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables) && count; i++)
        read_table(&tables[i], sockets, count, target, status);
}
