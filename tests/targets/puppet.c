/*
 * tests/targets/puppet.c - a daemon that does what the lines on its standard input say, and answers each with a line on standard output.
 *
 * For tests of the library's interface: each test plays a program that calls it in some way. See the table of commands at the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listener.h"
#include "puppet.h"

static struct gmr_options options = {.size = sizeof(options)};

static void answer(long value)
{
    printf("%ld\n", value);
    fflush(stdout);
}

static void to_log(void *userdata, int priority, const char *message)
{
    FILE *file = fopen(userdata, "a");
    fprintf(file, "%d %s\n", priority, message);
    fclose(file);
}

static char *copy(const char *text)
{
    return text && strcmp(text, "-") != 0 ? strdup(text) : NULL;
}

static void set_option(const char *name, const char *value)
{
    static const struct {
        const char *name;
        const char **member;
    } texts[] = {{"vendor", &options.vendor},      {"product", &options.product},
                 {"version", &options.version},    {"service", &options.service},
                 {"log_dir", &options.log_dir},    {"watch_file", &options.watch_file},
                 {"config", &options.config_file}, {"inspector", &options.inspector}};
    static const struct {
        const char *name;
        unsigned *member;
    } numbers[] = {{"watch_interval_ms", &options.watch_interval_ms},
                   {"report_timeout_ms", &options.report_timeout_ms},
                   {"section_timeout_ms", &options.section_timeout_ms},
                   {"min_interval_ms", &options.min_interval_ms},
                   {"max_files", &options.max_files},
                   {"flags", &options.flags}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcmp(texts[i].name, name) == 0)
            *texts[i].member = copy(value);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strcmp(numbers[i].name, name) == 0)
            *numbers[i].member = (unsigned)atoi(value);
    if (strcmp(name, "signal") == 0)
        options.signal = atoi(value);
    if (strcmp(name, "view") == 0)
        options.view = (enum gmr_view)atoi(value);
    if (strcmp(name, "socket") == 0)
        options.control_socket = (enum gmr_switch)atoi(value);
    if (strcmp(name, "crash") == 0)
        options.crash = (enum gmr_switch)atoi(value);
    if (strcmp(name, "fork_children") == 0)
        options.fork_children = (enum gmr_switch)atoi(value);
    if (strcmp(name, "section_max_bytes") == 0)
        options.section_max_bytes = (size_t)atol(value);
    if (strcmp(name, "log") == 0) {
        options.log = to_log;
        options.log_userdata = copy(value);
    }
    if (strcmp(name, "size") == 0)
        options.size = (size_t)atol(value);
}

static long start_threads(long count)
{
    pthread_t thread;
    long started = 0;
    while (started < count && pthread_create(&thread, NULL, idle, NULL) == 0)
        started++;
    return started;
}

static pid_t children[64];

static long fork_children(long count)
{
    for (long i = 0; i < count && i < 64; i++) {
        children[i] = fork();
        if (children[i] == 0)
            for (;;)
                pause();
        printf("%d ", children[i]);
    }
    return 0;
}

static void *write_report(void *argument)
{
    int *result = argument;
    *result = gmr_report_write(result[0], GMR_VIEW_JSON);
    return NULL;
}

/* Many threads at once; the number of failures. */
static long write_at_once(int fd, int count)
{
    pthread_t threads[16];
    int results[16], failures = 0;
    for (int i = 0; i < count && i < 16; i++) {
        results[i] = fd;
        pthread_create(&threads[i], NULL, write_report, &results[i]);
    }
    for (int i = 0; i < count && i < 16; i++) {
        pthread_join(threads[i], NULL);
        failures += results[i] != 0;
    }
    return failures;
}

static void on_signal(int signal)
{
}

static long all_nulls(void)
{
    gmr_generator plain = generator_of("plain");
    long wrong = 0;
    struct gmr_section section = {.size = sizeof(section)};
    wrong += gmr_register_section(NULL, plain, NULL) != -EINVAL;
    wrong += gmr_register_section("t", NULL, NULL) != -EINVAL;
    wrong += gmr_register_section_with(NULL) != -EINVAL;
    wrong += gmr_register_section_with(&section) != -EINVAL;
    wrong += gmr_unregister_section(NULL, plain) != -EINVAL;
    wrong += gmr_unregister_section("t", NULL) != -EINVAL;
    wrong += gmr_report_write(-1, GMR_VIEW_TEXT) != -EINVAL;
    wrong += gmr_report_write(1, (enum gmr_view)77) != -EINVAL;
    wrong += gmr_report_section(-1, GMR_VIEW_TEXT, NULL) != -EINVAL;
    wrong += gmr_begin_map(NULL, NULL) >= 0;
    wrong += gmr_end_map(NULL) >= 0;
    wrong += gmr_begin_list(NULL, NULL) >= 0;
    wrong += gmr_end_list(NULL) >= 0;
    wrong += gmr_put_string(NULL, NULL, NULL) >= 0;
    wrong += gmr_put_bytes(NULL, NULL, NULL, 1) >= 0;
    wrong += gmr_put_int(NULL, NULL, 1) >= 0;
    wrong += gmr_put_uint(NULL, NULL, 1) >= 0;
    wrong += gmr_put_double(NULL, NULL, 1) >= 0;
    wrong += gmr_put_bool(NULL, NULL, true) >= 0;
    wrong += gmr_put_null(NULL, NULL) >= 0;
    wrong += gmr_put_secret(NULL, NULL) >= 0;
    wrong += gmr_begin_table(NULL, NULL, NULL, 0) >= 0;
    wrong += gmr_put_row(NULL, NULL, 0) >= 0;
    wrong += gmr_end_table(NULL) >= 0;
    return wrong;
}

static long limit(const char *which, long value)
{
    int resource = strcmp(which, "nofile") == 0  ? RLIMIT_NOFILE
                   : strcmp(which, "as") == 0    ? RLIMIT_AS
                   : strcmp(which, "fsize") == 0 ? RLIMIT_FSIZE
                                                 : RLIMIT_SIGPENDING;
    struct rlimit limit;
    getrlimit(resource, &limit);
    limit.rlim_cur = (rlim_t)value;
    return setrlimit(resource, &limit) == 0 ? 0 : -errno;
}

/* ---- failures made up by tests/faults ---- */

static int find_libgmr(struct dl_phdr_info *info, size_t size, void *range)
{
    uint64_t *from_to = range;
    if (!strstr(info->dlpi_name, "/libgmr"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            from_to[0] = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            from_to[1] = from_to[0] + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

/* The listener of the calls that libgmr makes itself, or of all. Answers before: afterwards even the answer is a call that waits for somebody. */
static void supervise(const char *which)
{
    uint64_t range[2] = {0, 0};
    if (strcmp(which, "all") != 0)
        dl_iterate_phdr(find_libgmr, range);
    int next = dup(0);
    close(next);
    answer(next);
    install_listener(range[0], range[1]);
}

/* With failing.so preloaded. */
static long fail_allocation(const char *at)
{
    long (*set)(const char *at) = (long (*)(const char *))dlsym(RTLD_DEFAULT, "failing_set");
    return set ? set(at) : -ENOENT;
}

static long register_options(const char *group)
{
    static int workers = 4;
    static const struct gmr_config_option known[] = {{.name = "workers", .type = GMR_CONFIG_INT, .value = &workers}};
    return gmr_config_register_group(group, known, 1);
}

static void run(char *command, char *a, char *b, char *c)
{
#define IS(name) (strcmp(command, name) == 0)
    if (IS("set"))
        set_option(a, b), answer(0);
    else if (IS("setup"))
        answer(gmr_setup_autorun(&options));
    else if (IS("setup-null"))
        answer(gmr_setup_autorun(NULL));
    else if (IS("message"))
        printf("%s\n", gmr_setup_message()), fflush(stdout);
    else if (IS("armed"))
        answer(gmr_triggers_armed());
    else if (IS("register"))
        answer(gmr_register_section(a, generator_of(b), NULL));
    else if (IS("options"))
        answer(register_options(a));
    else if (IS("unregister"))
        answer(gmr_unregister_section(a, generator_of(b)));
    else if (IS("write"))
        answer(gmr_report_write(atoi(a), (enum gmr_view)atoi(b)));
    else if (IS("section"))
        answer(gmr_report_section(atoi(a), (enum gmr_view)atoi(b), c));
    else if (IS("at-once"))
        answer(write_at_once(atoi(a), atoi(b)));
    else if (IS("trigger"))
        answer(gmr_report_trigger());
    else if (IS("shutdown"))
        answer(gmr_shutdown());
    else if (IS("threads"))
        answer(start_threads(atol(a)));
    else if (IS("fork"))
        answer(fork_children(atol(a)));
    else if (IS("open"))
        answer(open(a, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    else if (IS("open-rdwr"))
        answer(open(a, O_RDWR));
    else if (IS("close"))
        answer(close(atoi(a)));
    else if (IS("handle"))
        answer(signal(atoi(a), on_signal) == SIG_ERR);
    else if (IS("default"))
        answer(signal(atoi(a), SIG_DFL) == SIG_ERR);
    else if (IS("wait-any"))
        answer(waitpid(-1, NULL, WNOHANG) < 0 ? -errno : 1);
    else if (IS("nulls"))
        answer(all_nulls());
    else if (IS("limit"))
        answer(limit(a, atol(b)));
    else if (IS("crash"))
        answer(crash(a));
    else if (IS("own-handler"))
        answer(set_own_handler());
    else if (IS("exhaust"))
        answer(exhaust());
    else if (IS("be"))
        answer(be(a, b));
    else if (IS("supervise"))
        supervise(a);
    else if (IS("fail-allocation"))
        answer(fail_allocation(a));
    else if (IS("chdir"))
        answer(chdir(a));
    else if (IS("chroot"))
        answer(chroot(a));
    else if (IS("setuid"))
        answer(setuid((uid_t)atoi(a)) == 0 ? 0 : -errno);
    else if (IS("exit"))
        exit(atoi(a));
    else
        answer(-ENOSYS);
}

int main(void)
{
    char line[8192];
    pthread_atfork(stop_in_fork, NULL, NULL);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        char *save, *command = strtok_r(line, " \n", &save);
        char *a = strtok_r(NULL, " \n", &save), *b = strtok_r(NULL, " \n", &save), *c = strtok_r(NULL, "\n", &save);
        if (command)
            run(command, a ? a : "", b ? b : "", c ? c : "");
    }
    return 0;
}
