/*
 * cli/preload.c - will the loader take our library into this program?
 *
 * The gmr command only. The loader ignores LD_PRELOAD without a word for static, set-uid and foreign programs; a report that never comes
 * would be the result, so that each is told beforehand.
 */
#include "cli/preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "arch/arch.h"
#include "cli/cli.h"
#include "sys/sys.h"

#define HEAD_BYTES 4096
#define SCRIPT_DEPTH 4 /* the kernel's own limit */

static int find_command(const char *command, char *path, size_t cap)
{
    bool denied = false;
    if (strchr(command, '/')) {
        snprintf(path, cap, "%s", command);
        if (access(path, X_OK) == 0)
            return GMR__EXIT_WHOLE;
        return gmr__fail(errno == EACCES ? GMR__EXIT_CANNOT_EXECUTE : GMR__EXIT_NOT_FOUND, NULL, "can't start %s: %s",
                         command, strerror(errno));
    }
    const char *at = getenv("PATH");
    for (at = at ? at : "/usr/local/bin:/usr/bin:/bin"; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
        int bytes = (int)strcspn(at, ":");
        struct stat st;
        if ((size_t)snprintf(path, cap, "%.*s%s%s", bytes ? bytes : 1, bytes ? at : ".", "/", command) >= cap)
            continue;
        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (access(path, X_OK) == 0)
            return GMR__EXIT_WHOLE;
        denied = true;
    }
    return gmr__fail(denied ? GMR__EXIT_CANNOT_EXECUTE : GMR__EXIT_NOT_FOUND, NULL, "%s: %s", command,
                     denied ? "permission denied" : "command not found");
}

/* A set-uid, set-gid or capability-bearing file makes the loader ignore LD_PRELOAD, unless the caller has that identity already. */
static bool gains_privileges(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
        return true;
    if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
        return true;
    return getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

/* The interpreter named by PT_INTERP: 1 and its path, 0 if there is none, -1 if the file is damaged. */
static int interpreter(int fd, const Elf64_Ehdr *header, char *path, size_t cap)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr program;
        int64_t offset = (int64_t)(header->e_phoff + (uint64_t)i * header->e_phentsize);
        if (gmr__pread(fd, &program, sizeof(program), offset) != (ssize_t)sizeof(program))
            return -1;
        if (program.p_type != PT_INTERP)
            continue;
        if (program.p_filesz < 2 || program.p_filesz > cap ||
            gmr__pread(fd, path, program.p_filesz, (int64_t)program.p_offset) != (ssize_t)program.p_filesz)
            return -1;
        path[program.p_filesz - 1] = '\0';
        return 1;
    }
    return 0;
}

static int check_elf(const char *path, int fd, const char *head)
{
    char loader[PATH_MAX];
    const Elf64_Ehdr *header = (const void *)head;
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != gmr__arch_elf_machine)
        return gmr__fail(GMR__EXIT_CANNOT_EXECUTE, "start it without gmr run; gmr report works where its kind is known",
                         "%s is a program for another kind of processor than libgmr", path);
    int found = interpreter(fd, header, loader, sizeof(loader));
    if (found < 0)
        return gmr__fail(GMR__EXIT_CANNOT_EXECUTE, NULL, "%s is damaged: its program headers can't be read", path);
    if (found == 0)
        return gmr__fail(GMR__EXIT_CANNOT_EXECUTE,
                         "start it without gmr run and use gmr report PID, or link it with libgmr.a",
                         "%s is linked statically: nothing can be preloaded into it", path);
    if (strstr(loader, "ld-musl"))
        return gmr__fail(GMR__EXIT_CANNOT_EXECUTE, "start it without gmr run and use gmr report PID",
                         "%s uses musl, and this libgmr is made for glibc", path);
    return GMR__EXIT_WHOLE;
}

static int check_file(const char *path, int depth)
{
    _Alignas(Elf64_Ehdr) char head[HEAD_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return GMR__EXIT_WHOLE; /* executable but not readable: exec will tell */
    ssize_t got = gmr__read_full(fd, head, HEAD_BYTES);
    int code = GMR__EXIT_WHOLE;
    if (gains_privileges(fd)) {
        code = gmr__fail(GMR__EXIT_CANNOT_EXECUTE, "start it without gmr run; then, as root: gmr report PID",
                         "%s runs set-uid, set-gid or with capabilities: the loader preloads nothing into it", path);
    } else if (got >= (ssize_t)sizeof(Elf64_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0) {
        code = check_elf(path, fd, head);
    } else if (got > 2 && head[0] == '#' && head[1] == '!' && depth < SCRIPT_DEPTH) {
        head[got] = '\0';
        char *name = head + 2 + strspn(head + 2, " \t");
        name[strcspn(name, " \t\n")] = '\0';
        close(fd);
        return check_file(name, depth + 1);
    }
    close(fd);
    return code;
}

int gmr__preload_check(const char *command, char *path, size_t cap)
{
    int code = find_command(command, path, cap);
    return code ? code : check_file(path, 0);
}

int gmr__preload_library(char *path, size_t cap)
{
    static const char *const places[] = {"",
                                         GMR_PRELOAD_BESIDE}; /* a build directory; an installed tree that was moved */
    char self[PATH_MAX];
    ssize_t got = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[got > 0 ? got : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; slash && i < sizeof(places) / sizeof(places[0]); i++) {
        char candidate[PATH_MAX + 128];
        snprintf(candidate, sizeof(candidate), "%s%s/libgmr-preload.so", self, places[i]);
        char *full = realpath(candidate, NULL);
        if (!full)
            continue;
        bool fits = strlen(full) < cap && !strpbrk(full, ": "); /* LD_PRELOAD's separators can't be quoted */
        if (fits)
            strcpy(path, full);
        free(full);
        if (fits)
            return GMR__EXIT_WHOLE;
    }
    snprintf(path, cap, "%s/libgmr-preload.so", GMR_PRELOAD_DIR);
    if (access(path, R_OK) == 0)
        return GMR__EXIT_WHOLE;
    return gmr__fail(GMR__EXIT_CANNOT_EXECUTE, "install gmr again (make install)",
                     "libgmr-preload.so is neither beside %s nor in %s", self, GMR_PRELOAD_DIR);
}
