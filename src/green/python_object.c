/*
 * green/python_object.c - objects of a CPython interpreter read from outside: types, strings, code objects, lines.
 *
 * Inspector only. Reads through the source's page cache, so in `find`, `ahead` and `finish`; a type met for the first time
 * in `collect` costs a few direct reads more. What is not what it should be yields "unknown", never a guess.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/python.h"
#include "sys/word.h"

/* PyTypeObject and PyVarObject have not moved since Python 3.0. */
#define OBJECT_TYPE 8
#define VAR_SIZE 16
#define TYPE_NAME 24
#define TYPE_BASE 256
#define BYTES_DATA 32
#define STRING_LENGTH 16
#define STRING_STATE 32

#define MAX_BASES 32
#define MAX_LINE_BYTES (1u << 20)

static int type_name(struct gmr__python *python, uint64_t type, char *to, size_t cap)
{
    uint64_t name = gmr__peek_word(&python->peek, type + TYPE_NAME);
    to[0] = 0;
    if (name == 0)
        return -EFAULT;
    for (size_t i = 0; i + 1 < cap; i++) {
        if (gmr__peek(&python->peek, name + i, to + i, 1) != 0)
            return -EFAULT;
        if (to[i] == 0)
            return (int)i;
    }
    to[cap - 1] = 0;
    return (int)cap - 1;
}

static enum gmr__py_class class_of_name(const char *name)
{
    static const struct {
        const char *name;
        enum gmr__py_class class;
    } names[] = {
        {"greenlet.greenlet", GMR__PY_GREENLET},
        {"_asyncio.Task", GMR__PY_TASK},
        {"code", GMR__PY_CODE},
        {"str", GMR__PY_STRING},
        {"type", GMR__PY_TYPE},
        {"coroutine", GMR__PY_COROUTINE},
        {"generator", GMR__PY_COROUTINE},
        {"async_generator", GMR__PY_COROUTINE},
        {"coroutine_wrapper", GMR__PY_WRAPPER},
        {"async_generator_asend", GMR__PY_WRAPPER},
        {"async_generator_athrow", GMR__PY_WRAPPER},
        {"_asyncio.FutureIter", GMR__PY_FUTURE_ITERATOR},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i].name) == 0)
            return names[i].class;
    return GMR__PY_OTHER;
}

enum gmr__py_class gmr__python_class_of_type(struct gmr__python *python, uint64_t type)
{
    uint64_t known;
    if (gmr__addrmap_get(&python->types, type, &known))
        return (enum gmr__py_class)known;
    enum gmr__py_class class = GMR__PY_OTHER;
    uint64_t base = type;
    for (int depth = 0; depth < MAX_BASES && base != 0 && class == GMR__PY_OTHER; depth++) {
        char name[48];
        if (type_name(python, base, name, sizeof(name)) < 0)
            break;
        class = class_of_name(name);
        base = gmr__peek_word(&python->peek, base + TYPE_BASE);
    }
    gmr__addrmap_put(&python->types, type, class);
    if ((class == GMR__PY_GREENLET || class == GMR__PY_TASK) && python->kind_count < GMR__PY_KINDS)
        python->kinds[python->kind_count++] = type;
    return class;
}

void gmr__python_type_name(struct gmr__python *python, uint64_t type, char *to, size_t cap)
{
    char name[256];
    if (type_name(python, type, name, sizeof(name)) < 0)
        name[0] = 0;
    const char *dot = strrchr(name, '.');
    snprintf(to, cap, "%s", dot ? dot + 1 : name);
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | (c >> 18 & 7));
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

int gmr__python_string(struct gmr__python *python, uint64_t object, char *to, size_t cap)
{
    unsigned char head[40];
    uint32_t state;
    to[0] = 0;
    if (object == 0 || gmr__peek(&python->peek, object, head, sizeof(head)) != 0)
        return -EFAULT;
    uint64_t type = gmr__word(head, OBJECT_TYPE), length = gmr__word(head, STRING_LENGTH);
    memcpy(&state, head + STRING_STATE, sizeof(state));
    if (gmr__python_class_of_type(python, type) != GMR__PY_STRING)
        return -EINVAL;
    /* state: 2 bits interned, 3 bits kind (bytes a character), compact, ascii; the same from 3.8 to 3.14. */
    unsigned kind = state >> 2 & 7;
    bool compact = state >> 5 & 1, ascii = state >> 6 & 1;
    if (!compact || (kind != 1 && kind != 2 && kind != 4))
        return -EINVAL;
    uint64_t data = object + (ascii ? python->layout.string_ascii : python->layout.string_compact);
    size_t used = 0;
    for (uint64_t i = 0; i < length && used + 5 < cap; i++) {
        uint32_t c = 0;
        if (gmr__peek(&python->peek, data + i * kind, &c, kind) != 0)
            break;
        used += put_utf8(to + used, c);
    }
    to[used] = 0;
    return (int)used;
}

static const char *string_of(struct gmr__python *python, uint64_t code, uint32_t offset, char *room, size_t cap)
{
    if (gmr__python_string(python, gmr__peek_word(&python->peek, code + offset), room, cap) <= 0)
        return NULL;
    return gmr__green_intern(python->green, room);
}

static void read_lines(struct gmr__python *python, struct gmr__py_code *code, uint64_t table)
{
    uint64_t size;
    if (table == 0 || gmr__peek(&python->peek, table + VAR_SIZE, &size, sizeof(size)) != 0 || size == 0 ||
        size > MAX_LINE_BYTES)
        return;
    code->lines = malloc(size);
    if (!code->lines)
        return;
    if (gmr__peek(&python->peek, table + BYTES_DATA, code->lines, size) == 0) {
        code->line_bytes = size;
        return;
    }
    free(code->lines);
    code->lines = NULL;
}

const struct gmr__py_code *gmr__python_code(struct gmr__python *python, uint64_t address)
{
    const struct gmr__py_layout *l = &python->layout;
    uint64_t known;
    char room[1024];
    if (gmr__addrmap_get(&python->codes, address, &known))
        return (const struct gmr__py_code *)(uintptr_t)known;
    uint64_t type = gmr__peek_word(&python->peek, address + OBJECT_TYPE);
    if (type == 0 || gmr__python_class_of_type(python, type) != GMR__PY_CODE)
        return NULL;
    struct gmr__py_code *code = calloc(1, sizeof(*code));
    if (!code)
        return NULL;
    /* gmr__addrmap says no past its limit: then nothing would free it. */
    if (!gmr__addrmap_put(&python->codes, address, (uint64_t)(uintptr_t)code)) {
        free(code);
        return NULL;
    }
    code->function = l->code_qualname ? string_of(python, address, l->code_qualname, room, sizeof(room)) : NULL;
    if (!code->function)
        code->function = string_of(python, address, l->code_name, room, sizeof(room));
    code->file = string_of(python, address, l->code_filename, room, sizeof(room));
    int32_t number = 0;
    if (gmr__peek(&python->peek, address + l->code_first_line, &number, sizeof(number)) == 0)
        code->first_line = number;
    if (l->code_first_traceable && gmr__peek(&python->peek, address + l->code_first_traceable, &number, 4) == 0)
        code->first_traceable = number;
    code->instructions = address + l->code_instructions;
    read_lines(python, code, gmr__peek_word(&python->peek, address + l->code_lines));
    return code;
}

void gmr__python_free_codes(struct gmr__python *python)
{
    for (size_t i = 0; i < python->codes.slots; i++)
        if (python->codes.keys[i] != 0) {
            struct gmr__py_code *code = (struct gmr__py_code *)(uintptr_t)python->codes.values[i];
            free(code->lines);
            free(code);
        }
    gmr__addrmap_free(&python->codes);
}

/* 3.8, 3.9: the line of the last entry that begins at or before the instruction. */
static int line_lnotab(const struct gmr__py_code *code, int64_t instruction)
{
    int line = code->first_line;
    int64_t at = 0;
    for (size_t i = 0; i + 1 < code->line_bytes; i += 2) {
        at += code->lines[i];
        if (at > instruction)
            break;
        line += (signed char)code->lines[i + 1];
    }
    return line;
}

/* 3.10: each entry ends a range; -128 marks one without a line. */
static int line_linetable(const struct gmr__py_code *code, int64_t instruction)
{
    int line = code->first_line;
    int64_t end = 0;
    for (size_t i = 0; i + 1 < code->line_bytes; i += 2) {
        int delta = (signed char)code->lines[i + 1];
        end += code->lines[i];
        if (delta != -128)
            line += delta;
        if (instruction < end)
            return delta == -128 ? 0 : line;
    }
    return 0;
}

static unsigned read_varint(const struct gmr__py_code *code, size_t *at)
{
    unsigned value = 0;
    for (unsigned shift = 0; *at < code->line_bytes && shift < 30; shift += 6) {
        unsigned char byte = code->lines[(*at)++];
        value |= (unsigned)(byte & 63) << shift;
        if (!(byte & 64))
            break;
    }
    return value;
}

/* 3.11 on: an entry is a head byte, 1 kkkk lll (kind, length - 1 in units of two bytes), and what its kind calls for. */
static int line_locations(const struct gmr__py_code *code, int64_t instruction)
{
    int line = code->first_line;
    int64_t end = 0;
    for (size_t at = 0; at < code->line_bytes;) {
        unsigned head = code->lines[at++], kind = head >> 3 & 15;
        end += (int64_t)((head & 7) + 1) * 2;
        if (kind == 13 || kind == 14) {
            unsigned value = read_varint(code, &at);
            line += value & 1 ? -(int)(value >> 1) : (int)(value >> 1);
        } else if (kind >= 10 && kind <= 12) {
            line += (int)kind - 10;
        }
        if (instruction < end)
            return kind == 15 ? 0 : line;
        while (at < code->line_bytes && !(code->lines[at] & 128))
            at++;
    }
    return 0;
}

int gmr__python_line(const struct gmr__python *python, const struct gmr__py_code *code, int64_t instruction)
{
    if (instruction < 0)
        return code->first_line;
    if (!code->lines) /* 3.8, 3.9: an empty table says that all stands on the first line */
        return python->layout.lines == GMR__PY_LNOTAB ? code->first_line : 0;
    switch (python->layout.lines) {
    case GMR__PY_LNOTAB:
        return line_lnotab(code, instruction);
    case GMR__PY_LINETABLE:
        return line_linetable(code, instruction);
    case GMR__PY_LOCATIONS:
        return line_locations(code, instruction);
    }
    return 0;
}
