/*
 * section/environment_as.c - the Environment section: the variables that explain a program's behaviour, and no others.
 *
 * Both halves, any context: async-signal-safe. Called through gmr__report_order. An environment is where secrets are handed over, under names that
 * nobody can know; so there is a list of what is shown, and the rest is counted. Even what is shown goes through the masks. From /proc/PID/environ: as
 * it was when the program was started (the memory may have been overwritten by the program).
 */
#include <errno.h>

#include "section/note.h"
#include "sys/proc.h"
#include "sys/sys.h"

#define PIECE 4096
#define MAX_SHOWN 200
#define MAX_BYTES (8u << 20)

/* A name, or the beginning of names ("LC_*"). */
static const char *const allowed[] = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "TERM",
    "TZ",
    "TMPDIR",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "HOSTNAME",
    "CONTAINER",
    /* the loader and libc */
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_BIND_NOW",
    "LD_DEBUG",
    "GLIBC_TUNABLES",
    "MALLOC_*",
    "GCONV_PATH",
    "LOCPATH",
    "RES_OPTIONS",
    /* gmr's own, the service manager's, the container's */
    "GMR_*",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDS",
    "LISTEN_PID",
    "MAINPID",
    "MANAGERPID",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "SYSTEMD_EXEC_PID",
    "container",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    /* runtimes */
    "OMP_*",
    "GOMP_*",
    "KMP_*",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "GOMAXPROCS",
    "GOGC",
    "GODEBUG",
    "GOTRACEBACK",
    "GOMEMLIMIT",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONHASHSEED",
    "PYTHONMALLOC",
    "PYTHONFAULTHANDLER",
    "PYTHONUNBUFFERED",
    "VIRTUAL_ENV",
    "EVENTLET_*",
    "GEVENT_*",
    "JAVA_HOME",
    "NODE_ENV",
    "LUA_PATH",
    "LUA_CPATH",
    "PERL5LIB",
    "RUBYLIB",
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
    "TSAN_OPTIONS",
    "LSAN_OPTIONS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
};

struct variables {
    struct gmr_writer *w;
    uint64_t not_shown, cut;
    size_t shown;
    uint64_t seen[MAX_SHOWN]; /* hashes: a name may stand there twice */
};

static bool is_allowed(const char *name)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++) {
        const char *a = allowed[i], *n = name;
        for (; *a && *a == *n; a++)
            n++;
        if ((*a == '*' && *n) || (!*a && !*n))
            return true;
    }
    return false;
}

static bool first_time(struct variables *variables, const char *name)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3ull; /* FNV-1a */
    for (size_t i = 0; i < variables->shown; i++) {
        if (variables->seen[i] == h)
            return false;
    }
    if (variables->shown == MAX_SHOWN)
        return false;
    variables->seen[variables->shown++] = h;
    return true;
}

/* entry: "NAME=value", NUL-terminated; cut: its end did not fit. */
static void put_entry(struct variables *variables, char *entry, size_t bytes, bool cut)
{
    char masked[PIECE];
    size_t equals = 0;
    while (entry[equals] && entry[equals] != '=')
        equals++;
    if (bytes == 0)
        return;
    bool named = entry[equals] == '=' && equals > 0;
    entry[equals] = '\0';
    if (!named || !is_allowed(entry) || !first_time(variables, entry)) {
        variables->not_shown++;
        return;
    }
    if (gmr__secret_name(entry)) {
        gmr_put_secret(variables->w, entry);
    } else if (cut) {
        variables->cut++;
        gmr_put_string(variables->w, entry, "..."); /* what a cut value hides can't be told from its beginning */
    } else {
        gmr__mask_value(entry + equals + 1, bytes - equals - 1, masked, sizeof(masked));
        gmr_put_string(variables->w, entry, masked);
    }
}

/* Entry by entry; of one longer than the buffer the beginning, which has its name. */
static int read_all(struct variables *variables, int fd)
{
    char text[PIECE];
    size_t used = 0, total = 0;
    bool skip = false;
    for (;;) {
        ssize_t n = gmr__read(fd, text + used, sizeof(text) - 1 - used);
        if (n == -EINTR)
            continue;
        if (n <= 0 || total > MAX_BYTES) {
            text[used] = '\0';
            if (used && !skip)
                put_entry(variables, text, used, false);
            return n < 0 ? (int)n : 0;
        }
        used += (size_t)n;
        total += (size_t)n;
        size_t from = 0;
        for (size_t i = 0; i < used; i++) {
            if (text[i])
                continue;
            if (!skip)
                put_entry(variables, text + from, i - from, false);
            skip = false;
            from = i + 1;
        }
        if (from == 0 && used == sizeof(text) - 1) {
            text[used] = '\0';
            if (!skip)
                put_entry(variables, text, used, true);
            skip = true;
            from = used;
        }
        for (size_t i = from; i < used; i++)
            text[i - from] = text[i];
        used -= from;
    }
}

static void run(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    char path[GMR__PROC_PATH_MAX];
    struct variables variables = {.w = w};
    int fd = gmr__open(gmr__proc_path(path, sizeof(path), target->proc, target->pid, 0, "environ"),
                       O_RDONLY | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        gmr__section_error(status, GMR__FAILED, "the environment", fd);
        return;
    }
    gmr_begin_map(w, "shown");
    int error = read_all(&variables, fd);
    gmr_end_map(w);
    gmr_put_uint(w, "not_shown", variables.not_shown);
    gmr__close(fd);
    if (error)
        gmr__section_error(status, GMR__PARTIAL, "the environment", error);
    if (variables.cut)
        gmr__section_count(status, GMR__PARTIAL, variables.cut, "values are too long to be shown");
}

const struct gmr__proc_section gmr__section_environment = {
    .head = {.name = "environment", .title = "Environment", .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_SORTED},
    .run = run,
};
