/*
 * tests/fuzz/fuzz_proc.c - the files of /proc, which a hostile process fills in part (names, command lines, paths of mappings): their parsers,
 * and the sections made from them. The input is split at 0xff bytes into files of a directory that stands for /proc.
 */
#include <sys/stat.h>

#include "fuzz.h"
#include "section/secrets.h"
#include "section/section.h"
#include "sys/proc.h"

static const char *const files[] = {"1/stat",   "1/status",  "1/maps",      "1/limits",   "1/io",
                                    "1/cgroup", "1/cmdline", "1/mountinfo", "meminfo",    "stat",
                                    "loadavg",  "uptime",    "1/net/tcp",   "1/net/unix", "1/oom_score"};
static char directory[64];

static void make_directory(void)
{
    char path[128];
    snprintf(directory, sizeof(directory), "/dev/shm/gmr-fuzz-%d", (int)getpid());
    mkdir(directory, 0700);
    for (const char *const *name = (const char *const[]){"1", "1/net", "1/fd", "1/fdinfo", "1/task", NULL}; *name;
         name++) {
        snprintf(path, sizeof(path), "%s/%s", directory, *name);
        mkdir(path, 0700);
    }
}

static void remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    if (directory[0] && system(command) != 0)
        perror(command);
}

static void put_file(const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
}

static void parsers(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct gmr__proc_stat stat;
    struct gmr__proc_map map;
    memcpy(text, data, size);
    text[size] = '\0';
    gmr__proc_parse_stat(text, &stat);
    size_t cap = size % 97 + 1;
    char *masked = malloc(cap);
    gmr__mask_value((const char *)data, size, masked, cap);
    if (strlen(masked) >= cap)
        abort();
    gmr__secret_name_bytes((const char *)data, size);
    gmr__proc_parse_map(text, &map);
    free(masked);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gmr__proc_section *const sections[] = {
        &gmr__section_processes, &gmr__section_limits, &gmr__section_files, &gmr__section_modules,
        &gmr__section_resources, &gmr__section_cgroup, &gmr__section_host};
    if (!directory[0]) {
        make_directory();
        atexit(remove_directory);
    }
    parsers(data, size);
    const uint8_t *at = data, *end = data + size;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const uint8_t *next = at < end ? memchr(at, 0xff, (size_t)(end - at)) : NULL;
        put_file(files[i], at, (size_t)((next ? next : end) - at));
        at = next ? next + 1 : end;
    }
    struct gmr__target target = {.pid = 1, .proc = directory, .deadline_ns = UINT64_MAX};
    struct gmr_writer *w = fuzz_writer_new(1 + (int)(size % 2));
    gmr__doc_begin(w, &(struct gmr__doc){0});
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        struct gmr__section_status status = {0};
        gmr__section_begin(w, &sections[i]->head);
        sections[i]->run(w, &target, &status);
        if (!memchr(status.reason, 0, sizeof(status.reason)) || !memchr(status.next_step, 0, sizeof(status.next_step)))
            abort();
        gmr__section_end(w, status.status, status.reason, status.next_step);
    }
    gmr__doc_end(w, NULL, NULL);
    if (w->view == GMR_VIEW_JSON)
        fuzz_check_json(w->error);
    else
        fuzz_check_text();
    return 0;
}
