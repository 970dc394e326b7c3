/*
 * tests/fuzz/fuzz_names.c - names in the directory of control sockets, which whoever owns it may choose: what gmr list looks at, and what setup removes. A line a
 * file. Only names that are a pid and ".sock" may go.
 */
#include <ctype.h>
#include <dirent.h>

#include "fuzz.h"
#include "report/client.h"
#include "trigger/socket_as.c"

char gmr__runtime_directory[96]; /* trigger/start.c's */
static char top[64], directory[80];

static int see(void *userdata, const char *path, pid_t pid)
{
    if (pid <= 0 || !memchr(path, 0, PATH_MAX))
        abort();
    ++*(size_t *)userdata;
    return 0;
}

static void clean_up(void)
{
    rmdir(directory);
    rmdir(top);
}

static void make_directory(void)
{
    snprintf(top, sizeof(top), "/dev/shm/gmr-fuzz-names-XXXXXX");
    if (!mkdtemp(top))
        abort();
    snprintf(directory, sizeof(directory), "%s/gmr", top);
    if (mkdir(directory, 0700) < 0 || setenv("XDG_RUNTIME_DIR", top, 1) < 0)
        abort();
    atexit(clean_up);
}

static bool may_go(const char *name)
{
    size_t digits = 0;
    while (isdigit((unsigned char)name[digits]))
        digits++;
    return digits > 0 && strcmp(name + digits, ".sock") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char names[32][256];
    size_t count = 0, seen = 0;
    if (!top[0])
        make_directory();
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t at = 0; at < size && count < 32;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t length = end ? (size_t)(end - data) - at : size - at;
        char *name = names[count];
        memcpy(name, data + at, length < 255 ? length : 255);
        name[length < 255 ? length : 255] = '\0';
        at += length + 1;
        int file =
            strchr(name, '/') ? -1 : openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (file < 0)
            continue;
        close(file);
        count++;
    }
    gmr__client_each_socket(see, &seen);
    remove_stale(fd, directory);
    for (size_t i = 0; i < count; i++)
        if (unlinkat(fd, names[i], 0) < 0 && !may_go(names[i])) {
            fprintf(stderr, "'%s' was removed\n", names[i]);
            abort();
        }
    close(fd);
    return 0;
}
