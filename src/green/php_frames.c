/*
 * green/php_frames.c - the chain of PHP's calls, copied at the stop, and what each is called.
 *
 * Inspector only. Zend's calls lie one behind the other in pages of their own, so that what is around the innermost has most of the others. Names
 * and lines are read afterwards: functions of a script stay as long as it runs.
 */
#include "green/php.h"

#include <stdio.h>
#include <string.h>

#include "sys/word.h"

#define MAX_CALLS 500u
#define AROUND 4096u

enum { INSTRUCTION = 0, FUNCTION = 24, INFO = 40, PREVIOUS = 48, CALL_BYTES = 56 }; /* zend_execute_data */
enum { IS_TOP = 1 << 17 };                                                          /* ZEND_CALL_TOP */
enum { TYPE = 0, NAME = 8, SCOPE = 16, FUNCTION_BYTES = 184 };                      /* zend_function */
enum { TYPE_INTERNAL = 1, CLASS_NAME = 8, LINE = 24 };                              /* zend_class_entry, zend_op */

struct function {
    const char *name, *file;
    int line;
    bool internal;
};

/* A piece of the stack of calls; `end` is one past its last byte. */
struct piece {
    unsigned char bytes[AROUND];
    uint64_t start, end;
};

static const unsigned char *call_at(struct gmr__green *green, struct piece *piece, uint64_t at)
{
    if (at < piece->start || at + CALL_BYTES > piece->end) {
        uint64_t end = at + CALL_BYTES, start = end < AROUND ? 0 : end - AROUND;
        if (gmr__green_read(green, start, piece->bytes, AROUND) != 0) {
            start = at; /* the page begins in between */
            if (gmr__green_read(green, start, piece->bytes, CALL_BYTES) != 0)
                return NULL;
        }
        piece->start = start;
        piece->end = end;
    }
    return piece->bytes + (at - piece->start);
}

struct gmr__php_call *gmr__php_calls(struct gmr__green *green, uint64_t at, uint64_t bottom, uint32_t *count,
                                     const char **end)
{
    struct gmr__php_call calls[MAX_CALLS];
    struct piece piece = {.start = 0};
    *end = NULL;
    *count = 0;
    for (; at != 0 && at != bottom; (*count)++) {
        const unsigned char *call = at % 8 == 0 ? call_at(green, &piece, at) : NULL;
        if (!call || *count == MAX_CALLS) {
            *end =
                call ? "it has more than 500 calls of PHP functions" : "its chain of PHP calls can't be read further";
            break;
        }
        uint32_t info;
        memcpy(&info, call + INFO, sizeof(info));
        calls[*count] = (struct gmr__php_call){
            .function = gmr__word(call, FUNCTION), .instruction = gmr__word(call, INSTRUCTION), .entry = info & IS_TOP};
        at = gmr__word(call, PREVIOUS);
    }
    struct gmr__php_call *copy = *count ? gmr__green_alloc(green, *count * sizeof(*copy)) : NULL;
    if (copy)
        memcpy(copy, calls, *count * sizeof(*copy));
    else
        *count = 0;
    return copy;
}

bool gmr__php_string(struct gmr__green *green, uint64_t string, char text[4096])
{
    char bytes[4096];
    uint64_t length;
    if (!string || gmr__green_read(green, string + GMR__PHP_STRING_BYTES, &length, sizeof(length)) != 0 ||
        length == 0 || length >= sizeof(bytes) ||
        gmr__green_read(green, string + GMR__PHP_STRING, bytes, length + 1) != 0 ||
        strnlen(bytes, sizeof(bytes)) != length)
        return false;
    if (text)
        memcpy(text, bytes, length + 1);
    return true;
}

static const struct function *read_function(struct gmr__php_names *names, uint64_t address)
{
    struct gmr__green *green = names->green;
    unsigned char bytes[FUNCTION_BYTES];
    char text[4096], whole[8300];
    uint64_t of_class;
    struct function *function = gmr__green_alloc(green, sizeof(*function));
    if (!function || !address || gmr__green_read(green, address, bytes, sizeof(bytes)) != 0)
        return NULL;
    function->internal = bytes[TYPE] == TYPE_INTERNAL;
    if (gmr__php_string(green, gmr__word(bytes, NAME), text)) {
        uint64_t scope = gmr__word(bytes, SCOPE);
        char class_name[4096];
        bool method = scope && gmr__green_read(green, scope + CLASS_NAME, &of_class, sizeof(of_class)) == 0 &&
                      gmr__php_string(green, of_class, class_name);
        snprintf(whole, sizeof(whole), "%s%s%s", method ? class_name : "", method ? "::" : "", text);
        function->name = gmr__green_intern(green, whole);
    }
    if (function->internal)
        return function;
    if (!function->name)
        function->name = "main script"; /* the code of a file outside functions */
    if (gmr__php_string(green, gmr__word(bytes, names->layout->file), text))
        function->file = gmr__green_intern(green, text);
    uint32_t line;
    memcpy(&line, bytes + names->layout->line_start, sizeof(line));
    function->line = line < 1u << 30 ? (int)line : 0;
    return function;
}

static const struct function *function_of(struct gmr__php_names *names, uint64_t address)
{
    uint64_t known;
    if (gmr__addrmap_get(&names->functions, address, &known))
        return (const struct function *)(uintptr_t)known;
    const struct function *function = read_function(names, address);
    gmr__addrmap_put(&names->functions, address, (uint64_t)(uintptr_t)function);
    return function;
}

void gmr__php_name_calls(struct gmr__php_names *names, const struct gmr__php_call *calls, uint32_t count,
                         const char *end, struct gmr__language_stack *language)
{
    struct gmr__language_frame *frames = gmr__green_alloc(names->green, (count + 1) * sizeof(*frames));
    uint32_t used = 0;
    for (uint32_t i = 0; frames && i < count; i++) {
        const struct function *function = function_of(names, calls[i].function);
        uint32_t line = 0;
        if (!function || (function->internal && !function->name)) /* a mark between calls, not one */
            continue;
        if (!function->internal &&
            (!calls[i].instruction ||
             gmr__green_read(names->green, calls[i].instruction + LINE, &line, sizeof(line)) != 0 || line >= 1u << 30))
            line = (uint32_t)function->line;
        frames[used++] = (struct gmr__language_frame){.function = function->name,
                                                      .file = function->file,
                                                      .line = (int)line,
                                                      .entry = !function->internal && calls[i].entry};
    }
    *language = (struct gmr__language_stack){.language = "php",
                                             .frames = frames,
                                             .frame_count = used,
                                             .lasts = true,
                                             .interpreter_low = names->interpreter,
                                             .interpreter_high = names->interpreter_end,
                                             .end = end};
}
