/*
 * green/python_layout.c - where the members of CPython's structs stand, by version.
 *
 * Inspector only; called from the Python source's `find`, on a running target. The numbers are those of offsetof() in the headers of
 * CPython 3.8.18, 3.9.18, 3.10.13, 3.11.2, 3.12.1, 3.13.0 and 3.14.10 on a 64-bit machine; members don't move within a release
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
    {.minor = 14,
     .frames = GMR__PY_FRAME_DIRECT,
     .lines = GMR__PY_LOCATIONS,
     .runtime_interpreters = 808,
     .interpreter_next = 7272,
     .interpreter_threads = 7344,
     .interpreter_gc = 7432,
     .gc_permanent = 72,
     .thread_next = 8,
     .thread_frame = 72,
     .thread_pthread = 152,
     .thread_native = 160,
     .frame_code = 0,
     .frame_previous = 8,
     .frame_instruction = 56,
     .frame_owner = 74,
     .frame_stack_pointer = 64,
     .frame_locals = 80,
     .object_frame = 24,
     .code_filename = 112,
     .code_name = 120,
     .code_qualname = 128,
     .code_first_line = 68,
     .code_lines = 136,
     .code_instructions = 208,
     .code_first_traceable = 192,
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

/* Where struct _Py_DebugOffsets, at the start of _PyRuntime since 3.13, has what is wanted of it: numbers of 64-bit words. */
#define WORD_VERSION 1
#define WORD_FREE_THREADED 2
#define MAX_WORDS 96

struct debug_words {
    int minor;
    uint8_t count; /* of words */
    uint8_t interpreters_head, interpreter_next, threads_head, gc;
    uint8_t thread_next, thread_frame, thread_id, native_id;
    uint8_t frame_previous, frame_code, frame_instruction, frame_locals, frame_owner, frame_stack_pointer;
    uint8_t filename, name, qualname, lines, first_line, instructions;
    uint8_t gc_size, collecting, generator_frame, generator_state;
};

static const struct debug_words debug_words[] = {
    {.minor = 13,
     .count = 44,
     .interpreters_head = 5,
     .interpreter_next = 8,
     .threads_head = 9,
     .gc = 10,
     .thread_next = 21,
     .thread_frame = 23,
     .thread_id = 24,
     .native_id = 25,
     .frame_previous = 29,
     .frame_code = 30,
     .frame_instruction = 31,
     .frame_locals = 32,
     .frame_owner = 33,
     .filename = 35,
     .name = 36,
     .qualname = 37,
     .lines = 38,
     .first_line = 39},
    {.minor = 14,
     .count = 87,
     .interpreters_head = 5,
     .interpreter_next = 8,
     .threads_head = 9,
     .gc = 11,
     .thread_next = 24,
     .thread_frame = 26,
     .thread_id = 27,
     .native_id = 28,
     .frame_previous = 32,
     .frame_code = 33,
     .frame_instruction = 34,
     .frame_locals = 35,
     .frame_owner = 36,
     .frame_stack_pointer = 37,
     .filename = 40,
     .name = 41,
     .qualname = 42,
     .lines = 43,
     .first_line = 44,
     .instructions = 48,
     .gc_size = 81,
     .collecting = 82,
     .generator_frame = 85,
     .generator_state = 86},
};

/* From the first generation to the member `collecting`, in 3.14's collectors; and how large the generational one's state is at least. */
#define GENERATIONS_TO_COLLECTING 168
#define GENERATIONAL_BYTES 264

static void take_debug_words(struct gmr__py_layout *l, const struct debug_words *at, const uint64_t *word)
{
    const struct {
        uint32_t *to;
        uint8_t from;
    } members[] = {
        {&l->runtime_interpreters, at->interpreters_head},
        {&l->interpreter_next, at->interpreter_next},
        {&l->interpreter_threads, at->threads_head},
        {&l->thread_next, at->thread_next},
        {&l->thread_frame, at->thread_frame},
        {&l->thread_pthread, at->thread_id},
        {&l->thread_native, at->native_id},
        {&l->frame_previous, at->frame_previous},
        {&l->frame_code, at->frame_code},
        {&l->frame_instruction, at->frame_instruction},
        {&l->frame_locals, at->frame_locals},
        {&l->frame_owner, at->frame_owner},
        {&l->frame_stack_pointer, at->frame_stack_pointer},
        {&l->code_filename, at->filename},
        {&l->code_name, at->name},
        {&l->code_qualname, at->qualname},
        {&l->code_lines, at->lines},
        {&l->code_first_line, at->first_line},
        {&l->code_instructions, at->instructions},
        {&l->generator_frame, at->generator_frame},
        {&l->generator_state, at->generator_state},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (members[i].from != 0)
            *members[i].to = (uint32_t)word[members[i].from];
    if (at->collecting != 0 && word[at->collecting] >= GENERATIONS_TO_COLLECTING) {
        l->interpreter_gc = (uint32_t)(word[at->gc] + word[at->collecting] - GENERATIONS_TO_COLLECTING);
        l->reorders = word[at->gc_size] < GENERATIONAL_BYTES; /* 3.14.0 to 3.14.4: the incremental collector */
    } else {
        l->interpreter_gc = (uint32_t)word[at->gc] + (l->interpreter_gc - 7400);
    }
}

/* false: a build whose objects are laid out otherwise (free-threaded). */
static bool apply_debug_offsets(struct gmr__python *python)
{
    uint64_t word[MAX_WORDS];
    const struct debug_words *at = NULL;
    for (size_t i = 0; i < sizeof(debug_words) / sizeof(debug_words[0]); i++)
        if (debug_words[i].minor == python->layout.minor)
            at = &debug_words[i];
    if (!at || gmr__green_read(python->green, python->runtime, word, at->count * sizeof(word[0])) != 0 ||
        memcmp(word, "xdebugpy", 8) != 0 || word[WORD_VERSION] >> 24 != 3 ||
        (int)(word[WORD_VERSION] >> 16 & 0xff) != python->layout.minor)
        return true;
    if (word[WORD_FREE_THREADED] & 1)
        return false;
    for (unsigned i = WORD_FREE_THREADED + 1; i < at->count; i++)
        if (word[i] > 1 << 24)
            return true;
    take_debug_words(&python->layout, at, word);
    if (python->layout.frame_locals > GMR__PY_FRAME_BYTES)
        python->layout = (struct gmr__py_layout){0};
    return true;
}

static bool is_list(struct gmr__python *python, uint64_t head)
{
    uint64_t first = 0, links[2] = {0};
    return gmr__green_read(python->green, head, &first, sizeof(first)) == 0 && first != 0 &&
           gmr__green_read(python->green, first & ~(uint64_t)3, links, sizeof(links)) == 0 &&
           (links[1] & ~(uint64_t)3) == head;
}

/* Later releases of 3.13 have the generations packed to 4 bytes, 4 bytes nearer to the start. */
static void check_generations(struct gmr__python *python)
{
    struct gmr__py_layout *l = &python->layout;
    uint64_t interpreter = 0;
    gmr__green_read(python->green, python->runtime + l->runtime_interpreters, &interpreter, sizeof(interpreter));
    for (unsigned g = 0; l->minor == 13 && g < 3; g++) {
        if (is_list(python, interpreter + l->interpreter_gc + g * 24))
            return;
        if (!is_list(python, interpreter + l->interpreter_gc - 4 + g * 24))
            continue;
        l->interpreter_gc -= 4;
        l->gc_permanent += 4;
        return;
    }
}

bool gmr__python_find_layout(struct gmr__python *python)
{
    char version[32];
    int minor = find_minor(python, version, sizeof(version));
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        if (layouts[i].minor != minor)
            continue;
        python->layout = layouts[i];
        if (minor < 13 || apply_debug_offsets(python)) {
            check_generations(python);
            return true;
        }
        gmr__green_note(python->green,
                        "This is a free-threaded build of Python %s, whose objects gmr can't read; its"
                        " threads appear with their C frames only.",
                        version);
        return false;
    }
    gmr__green_note(python->green,
                    "Python %s is not one that gmr knows (3.8 to 3.14); its threads appear with their C"
                    " frames only.",
                    version);
    return false;
}
