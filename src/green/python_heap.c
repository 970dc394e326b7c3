/*
 * green/python_heap.c - the lists of CPython's garbage collector: every greenlet and every asyncio task stands on one.
 *
 * Inspector only. The whole of the lists is walked while the target runs (a process with a few hundred thousand objects takes some
 * tens of milliseconds); at the stop only the young generation is, where everything new begins its life. The order is that of
 * gc.get_objects(): young to old. A list that moves underfoot or is damaged ends the walk of that list, and the report
 * says so if it can't be walked whole in three attempts.
 */
#include <stdlib.h>
#include <string.h>

#include "green/python.h"

#define GENERATIONS 3
#define GENERATION_BYTES 24 /* struct gc_generation: head (next, prev), threshold, count */
#define HEAD_BYTES 16       /* PyGC_Head, in front of the object */
#define MAX_INTERPRETERS 64
#define MAX_OBJECTS 100000000u
#define MAX_YOUNG 50000u
#define MAX_GREEN 1000000u
#define FLAGS 3u /* low bits of a link that the collector uses */

size_t gmr__python_interpreters(struct gmr__python *python, uint64_t *to, size_t cap)
{
    size_t count = 0;
    uint64_t at = 0;
    gmr__green_read(python->green, python->runtime + python->layout.runtime_interpreters, &at, sizeof(at));
    while (at != 0 && count < cap) {
        for (size_t i = 0; i < count; i++)
            if (to[i] == at)
                return count;
        to[count++] = at;
        if (gmr__green_read(python->green, at + python->layout.interpreter_next, &at, sizeof(at)) != 0)
            break;
    }
    return count;
}

#define OLD ((uint64_t)1 << 32) /* orders of what the first walk met begin here */

/* Remembers an object that is a greenlet or a task. The walk at the stop has the last word on the order. */
static void meet(struct gmr__python *python, uint64_t object, uint64_t type, uint64_t order)
{
    uint64_t index;
    enum gmr__py_class class = gmr__python_class_of_type(python, type);
    if (class != GMR__PY_GREENLET && class != GMR__PY_TASK)
        return;
    if (gmr__addrmap_get(&python->seen, object, &index)) {
        python->greens[index - 1].order = order;
        return;
    }
    if (python->green_count >= MAX_GREEN)
        return;
    if (python->green_count == python->green_room) {
        size_t room = python->green_room ? python->green_room * 2 : 64;
        struct gmr__py_green *greens = realloc(python->greens, room * sizeof(*greens));
        if (!greens)
            return;
        python->greens = greens;
        python->green_room = room;
    }
    if (!gmr__addrmap_put(&python->seen, object, python->green_count + 1))
        return;
    struct gmr__py_green *green = &python->greens[python->green_count++];
    *green = (struct gmr__py_green){.address = object, .type = type, .class = class, .order = order};
    gmr__python_type_name(python, type, green->name, sizeof(green->name));
}

/* false: it did not lead back to its head. */
static bool walk_list(struct gmr__python *python, uint64_t head, uint64_t *order)
{
    uint64_t at = gmr__peek_word(&python->peek, head) & ~(uint64_t)FLAGS;
    uint64_t mark = 0;
    for (uint32_t steps = 1, mark_at = 1; at != head; steps++) {
        if (at == 0 || at == mark || steps > MAX_OBJECTS)
            return false;
        if (steps % 4096 == 0 && gmr__green_out_of_time(python->green))
            return false;
        if (steps >= mark_at * 2) {
            mark = at;
            mark_at = steps;
        }
        uint64_t words[4]; /* next, prev, reference count, type */
        if (gmr__peek(&python->peek, at, words, sizeof(words)) != 0)
            return false;
        meet(python, at + HEAD_BYTES, words[3], OLD + (*order)++);
        at = words[0] & ~(uint64_t)FLAGS;
    }
    return true;
}

static uint64_t lists_of(const struct gmr__python *python, uint64_t interpreter)
{
    return python->layout.runtime_gc ? python->runtime + python->layout.runtime_gc
                                     : interpreter + python->layout.interpreter_gc;
}

void gmr__python_walk_heap(struct gmr__python *python)
{
    uint64_t interpreters[MAX_INTERPRETERS];
    size_t count = gmr__python_interpreters(python, interpreters, MAX_INTERPRETERS);
    bool whole = false;
    for (int attempt = 0; attempt < 3 && !whole && !gmr__green_out_of_time(python->green); attempt++) {
        uint64_t order = 0;
        whole = true;
        gmr__peek_forget(&python->peek);
        for (size_t i = 0; i < count; i++)
            for (int g = 0; g < GENERATIONS; g++)
                whole &= walk_list(python, lists_of(python, interpreters[i]) + (uint64_t)g * GENERATION_BYTES, &order);
    }
    python->broken_list = !whole;
}

void gmr__python_walk_young(struct gmr__python *python)
{
    uint64_t interpreters[MAX_INTERPRETERS];
    size_t count = gmr__python_interpreters(python, interpreters, MAX_INTERPRETERS);
    uint64_t order = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t head = lists_of(python, interpreters[i]), words[4];
        if (gmr__green_read(python->green, head, words, 8) != 0)
            continue;
        uint64_t at = words[0] & ~(uint64_t)FLAGS;
        for (uint32_t steps = 0; at != head && at != 0 && steps < MAX_YOUNG; steps++) {
            if (gmr__green_read(python->green, at, words, sizeof(words)) != 0)
                break;
            meet(python, at + HEAD_BYTES, words[3], order++);
            at = words[0] & ~(uint64_t)FLAGS;
            if (steps % 64 == 0 && gmr__green_out_of_time(python->green))
                break;
        }
    }
}
