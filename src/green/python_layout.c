/*
 * green/python_layout.c - where the members of CPython's structs stand, by version.
 *
 * Inspector only; called from the Python source's `find`, on a running target. The numbers are those of offsetof() in the headers of
 * CPython 3.8.18, 3.9.18, 3.10.13, 3.11.2, 3.12.1 and 3.13.0 on a 64-bit machine; members don't move within a release
 * series. From 3.13 on the interpreter tells most of them itself (_Py_DebugOffsets), which wins over the table.
 * A version that is not in the table is never guessed at: the report says so.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/python.h"

static const struct gmr__py_layout layouts[] = {
    {.minor = 8,
     .frames = GMR__PY_FRAME_OBJECTS,
     .lines = GMR__PY_LNOTAB,
     .runtime_interpreters = 32,
     .runtime_gc = 368,
     .interpreter_next = 0,
     .interpreter_threads = 8,
     .gc_permanent = 80,
     .thread_next = 8,
     .thread_frame = 24,
     .thread_pthread = 176,
     .frame_code = 32,
     .frame_previous = 24,
     .frame_instruction = 104,
     .frame_locals = 64,
     .frame_stacktop = 72,
     .code_filename = 104,
     .code_name = 112,
     .code_first_line = 40,
     .code_lines = 120,
     .generator_frame = 16,
     .string_ascii = 48,
     .string_compact = 72},
    {.minor = 9,
     .frames = GMR__PY_FRAME_OBJECTS,
     .lines = GMR__PY_LNOTAB,
     .runtime_interpreters = 32,
     .interpreter_next = 0,
     .interpreter_threads = 8,
     .interpreter_gc = 640,
     .gc_permanent = 80,
     .thread_next = 8,
     .thread_frame = 24,
     .thread_pthread = 176,
     .frame_code = 32,
     .frame_previous = 24,
     .frame_instruction = 104,
     .frame_locals = 64,
     .frame_stacktop = 72,
     .code_filename = 104,
     .code_name = 112,
     .code_first_line = 40,
     .code_lines = 120,
     .generator_frame = 16,
     .string_ascii = 48,
     .string_compact = 72},
    {.minor = 10,
     .frames = GMR__PY_FRAME_OBJECTS,
     .lines = GMR__PY_LINETABLE,
     .runtime_interpreters = 32,
     .interpreter_next = 0,
     .interpreter_threads = 8,
     .interpreter_gc = 640,
     .gc_permanent = 80,
     .thread_next = 8,
     .thread_frame = 24,
     .thread_pthread = 176,
     .frame_code = 32,
     .frame_previous = 24,
     .frame_instruction = 96,
     .frame_locals = 64,
     .frame_stacktop = 80,
     .code_filename = 104,
     .code_name = 112,
     .code_first_line = 40,
     .code_lines = 120,
     .generator_frame = 16,
     .string_ascii = 48,
     .string_compact = 72},
    {.minor = 11,
     .frames = GMR__PY_FRAME_CFRAME,
     .lines = GMR__PY_LOCATIONS,
     .runtime_interpreters = 40,
     .interpreter_next = 0,
     .interpreter_threads = 16,
     .interpreter_gc = 672,
     .gc_permanent = 80,
     .thread_next = 8,
     .thread_frame = 56,
     .thread_pthread = 152,
     .thread_native = 160,
     .cframe_current = 8,
     .frame_code = 32,
     .frame_previous = 48,
     .frame_instruction = 56,
     .frame_entry = 68,
     .frame_owner = 69,
     .frame_stacktop = 64,
     .frame_locals = 72,
     .object_frame = 24,
     .code_filename = 112,
     .code_name = 120,
     .code_qualname = 128,
     .code_first_line = 72,
     .code_lines = 136,
     .code_instructions = 184,
     .code_first_traceable = 168,
     .generator_frame = 80,
     .generator_state = 75,
     .string_ascii = 48,
     .string_compact = 72},
    {.minor = 12,
     .frames = GMR__PY_FRAME_CFRAME,
     .lines = GMR__PY_LOCATIONS,
     .runtime_interpreters = 40,
     .interpreter_next = 0,
     .interpreter_threads = 72,
     .interpreter_gc = 136,
     .gc_permanent = 80,
     .thread_next = 8,
     .thread_frame = 56,
     .thread_pthread = 136,
     .thread_native = 144,
     .cframe_current = 0,
     .frame_code = 0,
     .frame_previous = 8,
     .frame_instruction = 56,
     .frame_owner = 70,
     .frame_stacktop = 64,
     .frame_locals = 72,
     .object_frame = 24,
     .code_filename = 112,
     .code_name = 120,
     .code_qualname = 128,
     .code_first_line = 68,
     .code_lines = 136,
     .code_instructions = 192,
     .code_first_traceable = 176,
     .generator_frame = 72,
     .generator_state = 67,
     .string_ascii = 40,
     .string_compact = 56},
    {.minor = 13,
     .frames = GMR__PY_FRAME_DIRECT,
     .lines = GMR__PY_LOCATIONS,
     .runtime_interpreters = 632,
     .interpreter_next = 7264,
     .interpreter_threads = 7344,
     .interpreter_gc = 7424,
     .gc_permanent = 80,
     .thread_next = 8,
     .thread_frame = 72,
     .thread_pthread = 152,
     .thread_native = 160,
     .frame_code = 0,
     .frame_previous = 8,
     .frame_instruction = 56,
     .frame_owner = 70,
     .frame_stacktop = 64,
     .frame_locals = 72,
     .object_frame = 24,
     .code_filename = 112,
     .code_name = 120,
     .code_qualname = 128,
     .code_first_line = 68,
     .code_lines = 136,
     .code_instructions = 200,
     .code_first_traceable = 184,
     .generator_frame = 72,
     .generator_state = 67,
     .string_ascii = 40,
     .string_compact = 56},
};

/* "3.10" in ".../python3.10" or ".../libpython3.10.so.1.0": the minor number, -1 if there is none. */
static int minor_in_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *at = strstr(slash ? slash : path, "python3.");
    if (!at || !isdigit((unsigned char)at[8]))
        return -1;
    return atoi(at + 8);
}

static int find_minor(struct gmr__python *python, char *text, size_t cap)
{
    uint64_t address, value;
    /* A constant of the public C API since 3.11: 0xMMmmuuss. */
    if (gmr__green_symbol(python->green, NULL, "Py_Version", &address, NULL) == 0 &&
        gmr__green_read(python->green, address, &value, sizeof(value)) == 0 && value >> 24 == 3) {
        snprintf(text, cap, "3.%d.%d", (int)(value >> 16 & 0xff), (int)(value >> 8 & 0xff));
        return (int)(value >> 16 & 0xff);
    }
    const struct gmr__map *map = gmr__snapshot_map(gmr__green_snapshot(python->green), python->runtime);
    int minor = map && map->path[0] ? minor_in_path(map->path) : -1;
    if (minor < 0) /* the runtime stands in .bss: an anonymous mapping behind the file's */
        for (size_t i = 0; minor < 0 && i < gmr__green_snapshot(python->green)->map_count; i++)
            minor = minor_in_path(gmr__green_snapshot(python->green)->maps[i].path);
    if (minor < 0)
        snprintf(text, cap, "of an unknown version");
    else
        snprintf(text, cap, "3.%d", minor);
    return minor;
}

/* CPython 3.13's struct _Py_DebugOffsets, as 64-bit words from its start: cookie, version, free_threaded, then by struct. */
enum {
    WORD_COOKIE,
    WORD_VERSION,
    WORD_FREE_THREADED,
    WORD_RUNTIME_SIZE,
    WORD_FINALIZING,
    WORD_INTERPRETERS_HEAD,
    WORD_INTERPRETER_SIZE,
    WORD_ID,
    WORD_NEXT,
    WORD_THREADS_HEAD,
    WORD_GC,
    WORD_THREAD_NEXT = 21,
    WORD_CURRENT_FRAME = 23,
    WORD_THREAD_ID,
    WORD_NATIVE_ID,
    WORD_FRAME_PREVIOUS = 29,
    WORD_EXECUTABLE,
    WORD_INSTRUCTION,
    WORD_LOCALS,
    WORD_OWNER,
    WORD_FILENAME = 35,
    WORD_NAME,
    WORD_QUALNAME,
    WORD_LINETABLE,
    WORD_FIRST_LINE,
    WORD_COUNT = 44,
};

/* false: a build whose objects are laid out otherwise (free-threaded). */
static bool apply_debug_offsets(struct gmr__python *python)
{
    uint64_t word[WORD_COUNT];
    struct gmr__py_layout *l = &python->layout;
    if (gmr__green_read(python->green, python->runtime, word, sizeof(word)) != 0 || memcmp(word, "xdebugpy", 8) != 0 ||
        word[WORD_VERSION] >> 24 != 3 || (int)(word[WORD_VERSION] >> 16 & 0xff) != l->minor)
        return true;
    if (word[WORD_FREE_THREADED] & 1)
        return false;
    for (int i = WORD_RUNTIME_SIZE; i < WORD_COUNT; i++)
        if (word[i] > 1 << 24)
            return true;
    l->runtime_interpreters = (uint32_t)word[WORD_INTERPRETERS_HEAD];
    l->interpreter_gc = (uint32_t)word[WORD_GC] + (l->interpreter_gc - 7400);
    l->interpreter_next = (uint32_t)word[WORD_NEXT];
    l->interpreter_threads = (uint32_t)word[WORD_THREADS_HEAD];
    l->thread_next = (uint32_t)word[WORD_THREAD_NEXT];
    l->thread_frame = (uint32_t)word[WORD_CURRENT_FRAME];
    l->thread_pthread = (uint32_t)word[WORD_THREAD_ID];
    l->thread_native = (uint32_t)word[WORD_NATIVE_ID];
    l->frame_previous = (uint32_t)word[WORD_FRAME_PREVIOUS];
    l->frame_code = (uint32_t)word[WORD_EXECUTABLE];
    l->frame_instruction = (uint32_t)word[WORD_INSTRUCTION];
    l->frame_locals = (uint32_t)word[WORD_LOCALS];
    l->frame_owner = (uint32_t)word[WORD_OWNER];
    l->code_filename = (uint32_t)word[WORD_FILENAME];
    l->code_name = (uint32_t)word[WORD_NAME];
    l->code_qualname = (uint32_t)word[WORD_QUALNAME];
    l->code_lines = (uint32_t)word[WORD_LINETABLE];
    l->code_first_line = (uint32_t)word[WORD_FIRST_LINE];
    return true;
}

bool gmr__python_find_layout(struct gmr__python *python)
{
    char version[32];
    int minor = find_minor(python, version, sizeof(version));
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        if (layouts[i].minor != minor)
            continue;
        python->layout = layouts[i];
        if (minor < 13 || apply_debug_offsets(python))
            return true;
        gmr__green_note(python->green,
                        "This is a free-threaded build of Python %s, whose objects gmr can't read; its"
                        " threads appear with their C frames only.",
                        version);
        return false;
    }
    gmr__green_note(python->green,
                    "Python %s is not one that gmr knows (3.8 to 3.13); its threads appear with their C"
                    " frames only.",
                    version);
    return false;
}
