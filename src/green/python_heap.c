/*
 * green/python_heap.c - greenlets and asyncio tasks in the memory of the interpreter, found by their type.
 *
 * Inspector only, target running. The collector's lists change as fast as the program allocates, memory doesn't move: every object
 * starts at a multiple of 16 with its reference count and its type, its links in the collector's lists in front of it. So all
 * of the heap's pages that are present are searched for the addresses of the types, which python_lists.c or the
 * modules' own data have told; a type that is derived from one of them shows by the same address, as its base. What is met here may
 * be a freed object's remains: whether it lives is looked at when the target stands.
 */
#include <stdlib.h>
#include <string.h>

#include "green/python.h"
#include "green/scan.h"
#include "sys/word.h"

#define HEAD_BYTES 16 /* PyGC_Head, in front of the object */
#define TYPE_NAME 24
#define TYPE_BASE 256
#define TYPE_ROOM 264 /* of a PyTypeObject, up to tp_base */
#define MAX_GREEN 1000000u
#define MAX_DATA (4u << 20) /* of a module */
#define FLAGS 3u
#define COLLECTING 2u /* a flag in the link backwards */
#define ROUNDS 3
#define MAX_REFERENCES (1u << 24)
#define IMMORTAL (1u << 30)

struct search {
    struct gmr__python *python;
    uint64_t table[1024]; /* open addressing: the types */
    bool more;            /* a type was found that is not in the table */
};

/* A count of references as a living object has it: more than none, and no pointer. 3.12 on has counts that don't change. */
static bool is_count(uint64_t word)
{
    uint32_t low = (uint32_t)word;
    return low != 0 && (word >> 32 & 0xffff) <= 1 && (low < MAX_REFERENCES || low >= IMMORTAL);
}

void gmr__python_meet(struct gmr__python *python, uint64_t object, uint64_t type, uint64_t order)
{
    uint64_t index;
    enum gmr__py_class class = gmr__python_class_of_type(python, type);
    if (class == GMR__PY_TYPE)
        gmr__python_class_of_type(python, object); /* makes it known if it is one of those searched for */
    if (class != GMR__PY_GREENLET && class != GMR__PY_TASK)
        return;
    if (gmr__addrmap_get(&python->seen, object, &index)) {
        struct gmr__py_green *green = &python->greens[index - 1];
        if (order != 0)
            green->order = order;
        if (green->type != type) { /* freed, and its place taken by another */
            green->type = type;
            green->class = class;
            gmr__python_type_name(python, type, green->name, sizeof(green->name));
        }
        return;
    }
    if (python->green_count >= MAX_GREEN)
        return;
    if (!gmr__python_grow(python, &python->greens, sizeof(*python->greens), &python->green_room,
                          python->green_count + 1) ||
        !gmr__addrmap_put(&python->seen, object, python->green_count + 1))
        return;
    struct gmr__py_green *green = &python->greens[python->green_count++];
    *green = (struct gmr__py_green){.address = object,
                                    .type = type,
                                    .class = class,
                                    .order = order ? order : GMR__PY_UNORDERED + python->green_count};
    gmr__python_type_name(python, type, green->name, sizeof(green->name));
}

/* Is it still on a list? Freed memory keeps its type for a while, its neighbours' links not. While the collector is at work
 * on it, the link backwards is a count, of no more than the object's references. */
bool gmr__python_is_alive(struct gmr__python *python, const struct gmr__py_green *green)
{
    uint64_t words[4], next = 0, head = green->address - HEAD_BYTES;
    if (gmr__python_read(python, head, words, sizeof(words)) != 0 || words[3] != green->type || !is_count(words[2]) ||
        (words[0] & ~(uint64_t)FLAGS) == 0)
        return false;
    if (words[1] & COLLECTING && words[1] >> 2 <= (uint32_t)words[2])
        return true;
    return gmr__python_read(python, words[1] & ~(uint64_t)FLAGS, &next, sizeof(next)) == 0 &&
           (next & ~(uint64_t)FLAGS) == head;
}

/* ------------------------------------------------------------------------------------------------ types */

/* A static type, in the data of the module that defines it: by its name, which the module holds as well. */
static void search_data(struct gmr__python *python, const struct gmr__map *map, const char *name)
{
    uint64_t bytes = map->end - map->start;
    size_t length = strlen(name) + 1;
    char text[32];
    unsigned char *data = bytes <= MAX_DATA ? malloc(bytes) : NULL;
    if (data && gmr__green_read(python->green, map->start, data, bytes) == 0)
        for (uint64_t at = 0; at + TYPE_ROOM <= bytes; at += 8) {
            uint64_t pointer = gmr__word(data, at + TYPE_NAME);
            const struct gmr__map *where =
                pointer ? gmr__snapshot_map(gmr__green_snapshot(python->green), pointer) : NULL;
            if (where && strcmp(where->path, map->path) == 0 &&
                gmr__green_read(python->green, pointer, text, length) == 0 && memcmp(text, name, length) == 0)
                gmr__python_class_of_type(python, map->start + at);
        }
    free(data);
}

void gmr__python_find_types(struct gmr__python *python)
{
    static const char *const known[][2] = {
        {"/_greenlet.", "greenlet.greenlet"}, {"/greenlet.", "greenlet.greenlet"}, {"/_asyncio.", "_asyncio.Task"}};
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(python->green);
    for (size_t i = 0; i < snapshot->map_count; i++) {
        const char *slash = strrchr(snapshot->maps[i].path, '/');
        for (size_t k = 0; slash && snapshot->maps[i].write && k < sizeof(known) / sizeof(known[0]); k++)
            if (strncmp(slash, known[k][0], strlen(known[k][0])) == 0)
                search_data(python, &snapshot->maps[i], known[k][1]);
    }
}

/* ------------------------------------------------------------------------------------------------ instances */

static size_t slot_of(const struct search *search, uint64_t type)
{
    size_t slot = (type >> 4) % 1024;
    while (search->table[slot] != 0 && search->table[slot] != type)
        slot = (slot + 1) % 1024;
    return slot;
}

static void look_at_object(struct search *search, uint64_t object, uint64_t type)
{
    uint64_t words[4]; /* next, prev, reference count, type */
    if (gmr__green_read(search->python->green, object - HEAD_BYTES, words, sizeof(words)) == 0 && words[3] == type &&
        (words[0] & ~(uint64_t)FLAGS) != 0 && words[0] % 16 <= FLAGS && words[1] != 0 && is_count(words[2]))
        gmr__python_meet(search->python, object, type, 0);
}

/* Its base is one of the types? Then it is, too. */
static void look_at_type(struct search *search, uint64_t type)
{
    uint64_t meta = gmr__peek_word(&search->python->peek, type + 8), known;
    if (meta == 0 || gmr__addrmap_get(&search->python->types, type, &known) ||
        gmr__python_class_of_type(search->python, meta) != GMR__PY_TYPE)
        return;
    unsigned before = search->python->kind_count;
    gmr__python_class_of_type(search->python, type);
    search->more |= search->python->kind_count > before;
}

static void see(void *userdata, uint64_t address, const uint64_t *words, size_t count)
{
    struct search *search = userdata;
    for (size_t i = 0; i < count; i++) {
        uint64_t word = words[i];
        if (word == 0 || search->table[(word >> 4) % 1024] == 0 || search->table[slot_of(search, word)] != word)
            continue;
        uint64_t at = address + i * 8;
        if (at % 16 == 8)
            look_at_object(search, at - 8, word);
        else
            look_at_type(search, at - TYPE_BASE);
    }
}

void gmr__python_search_heap(struct gmr__python *python)
{
    struct search search = {.python = python, .more = python->kind_count > 0};
    for (int round = 0; round < ROUNDS && search.more; round++) {
        search.more = false;
        for (unsigned i = 0; i < python->kind_count; i++)
            search.table[slot_of(&search, python->kinds[i])] = python->kinds[i];
        if (!gmr__scan_memory(python->green, gmr__scan_is_heap, see, &search) && !python->walked)
            gmr__green_note(python->green, "The search of Python's memory took too long and was cut: greenlets and"
                                           " asyncio tasks may be missing.");
    }
}
