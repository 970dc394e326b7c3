/*
 * symbol/source.c - the text of a source line, where the file is at hand.
 *
 * Inspector only. Files are read once, bounded in size and number. The path comes from debug information, so it is opened like any path of
 * the target's: regular files only, in its root, and only files that look like source code, so that a crafted program can't make a
 * privileged inspector print a line of somebody else's file.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/symbolizer.h"
#include "sys/sys.h"

#define MAX_SOURCE_BYTES ((size_t)8 << 20)
#define MAX_SOURCES 512
#define MAX_LINE_BYTES 200

struct source {
    const char *path;  /* in the pool */
    uint64_t built_ns; /* when the newest module that names it was built; 0: unknown */
    bool tried;
    char *text; /* NULL: not to be had */
    uint32_t *lines;
    size_t line_count, bytes;
};

struct gmr__sources {
    struct source list[MAX_SOURCES];
    size_t count;
};

static bool looks_like_source(const char *path)
{
    static const char *const endings[] = {".c",   ".h",   ".cc",  ".cpp", ".cxx", ".C",   ".c++", ".hh",
                                          ".hpp", ".hxx", ".inl", ".ipp", ".tcc", ".rs",  ".s",   ".S",
                                          ".asm", ".y",   ".l",   ".go",  ".d",   ".f",   ".f90", ".ada",
                                          ".adb", ".m",   ".mm",  ".zig", ".inc", ".def", ".py",  ".lua"};
    const char *name = strrchr(path, '/'), *dot = strrchr(path, '.');
    if (!dot || (name && dot < name))
        return strstr(path, "/include/") != NULL; /* C++ headers: <vector> */
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (strcmp(dot, endings[i]) == 0)
            return true;
    }
    return false;
}

/* "#!/usr/bin/python3": a program of Python's has no ending as a rule. */
static bool is_script(int fd)
{
    char start[128] = "";
    ssize_t got = pread(fd, start, sizeof(start) - 1, 0);
    if (got < 2 || start[0] != '#' || start[1] != '!')
        return false;
    start[strcspn(start, "\n")] = '\0';
    return strstr(start, "python") || strstr(start, "lua");
}

static void read_source(struct gmr__symbolizer *s, struct source *source)
{
    struct stat st;
    int fd = source->path[0] == '/' ? gmr__open_in_root(s->modules, source->path) : -1;
    if (fd < 0 || (!looks_like_source(source->path) && !is_script(fd))) {
        if (fd >= 0)
            close(fd);
        return;
    }
    bool stale = false;
    if (fstat(fd, &st) == 0)
        stale = source->built_ns &&
                (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec > source->built_ns;
    else
        stale = true;
    if (!stale && ((st.st_mode & S_IROTH) || st.st_uid == geteuid()) && st.st_size > 0 &&
        (uint64_t)st.st_size <= MAX_SOURCE_BYTES)
        source->text = malloc((size_t)st.st_size + 1);
    ssize_t got = source->text ? gmr__read_full(fd, source->text, (size_t)st.st_size) : -ENOMEM;
    close(fd);
    if (got <= 0) {
        free(source->text);
        source->text = NULL;
        return;
    }
    source->bytes = (size_t)got;
    source->text[got] = 0;
    source->line_count = 1;
    for (size_t i = 0; i < source->bytes; i++)
        source->line_count += source->text[i] == '\n';
    source->lines = malloc(source->line_count * sizeof(*source->lines));
    if (!source->lines) {
        source->line_count = 0;
        return;
    }
    size_t line = 0;
    source->lines[line++] = 0;
    for (size_t i = 0; i < source->bytes && line < source->line_count; i++) {
        if (source->text[i] == '\n')
            source->lines[line++] = (uint32_t)(i + 1);
    }
}

static struct source *source_of(struct gmr__symbolizer *s, const char *file)
{
    const char *path = gmr__pool_string(&s->pool, file);
    if (!s->sources)
        s->sources = calloc(1, sizeof(*s->sources));
    struct gmr__sources *sources = s->sources;
    if (!sources || !path)
        return NULL;
    for (size_t i = 0; i < sources->count; i++) {
        if (sources->list[i].path == path)
            return &sources->list[i];
    }
    if (sources->count == MAX_SOURCES)
        return NULL;
    struct source *source = &sources->list[sources->count++];
    source->path = path;
    return source;
}

/* A file system that sets all times to 1970 or thereabouts knows nothing of them. */
void gmr__source_seen(struct gmr__symbolizer *s, const char *file, uint64_t built_ns)
{
    struct source *source = built_ns > UINT64_C(86400000000000) * 365 ? source_of(s, file) : NULL;
    if (source && built_ns > source->built_ns)
        source->built_ns = built_ns;
}

/* "dir/sub/../file.c" without what takes itself back, "./" and "//". */
static void tidy(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        size_t bytes = strcspn(from + 1, "/") + 1; /* each part with the slash before it */
        if (bytes == 3 && from[1] == '.' && from[2] == '.') {
            while (to > path && *--to != '/')
                continue;
        } else if (bytes > 2 || (bytes == 2 && from[1] != '.')) {
            memmove(to, from, bytes);
            to += bytes;
        }
        from += bytes;
    }
    *to = '\0';
}

const char *gmr__source_path(struct gmr__symbolizer *s, const char *directory, const char *file)
{
    char path[PATH_MAX];
    if (!file || file[0] == '/' || !directory || directory[0] != '/' ||
        snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
        return file ? gmr__pool_string(&s->pool, file) : NULL;
    tidy(path);
    return gmr__pool_string(&s->pool, gmr__is_regular(NULL, path) ? path : file);
}

const char *gmr__source_line(struct gmr__symbolizer *s, const char *file, int line)
{
    struct source *source = file && line > 0 ? source_of(s, file) : NULL;
    char text[MAX_LINE_BYTES + 1];
    if (source && !source->tried) {
        source->tried = true;
        read_source(s, source);
    }
    if (!source || !source->text || (size_t)line > source->line_count)
        return NULL;
    const char *from = source->text + source->lines[line - 1];
    while (*from == ' ' || *from == '\t')
        from++;
    size_t bytes = strcspn(from, "\r\n");
    if (bytes > MAX_LINE_BYTES)
        bytes = MAX_LINE_BYTES;
    while (bytes > 0 && (from[bytes - 1] == ' ' || from[bytes - 1] == '\t'))
        bytes--;
    if (bytes == 0)
        return NULL;
    for (size_t i = 0; i < bytes; i++)
        text[i] = from[i] == '\t' ? ' ' : from[i];
    text[bytes] = 0;
    return gmr__pool_string(&s->pool, text);
}

void gmr__sources_free(struct gmr__sources *sources)
{
    for (size_t i = 0; sources && i < sources->count; i++) {
        free(sources->list[i].text);
        free(sources->list[i].lines);
    }
    free(sources);
}
