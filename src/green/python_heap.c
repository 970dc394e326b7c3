/*
 * green/python_heap.c - the lists of CPython's garbage collector: every greenlet and every asyncio task stands on one.
 *
 * Inspector only. The whole of the lists is walked while the target runs (a process with a few hundred thousand objects takes some
 * tens of milliseconds); at the stop only the young generation is, where everything new begins its life, and those older
 * ones that could not be walked to their end in three attempts because they moved. The order is that of gc.get_objects():
 * young to old; last what gc.freeze() has put aside, which gc.get_objects() leaves out. A list that is damaged ends its walk,
 * and the report says so.
 */
#include <stdlib.h>
#include <string.h>

#include "green/python.h"

#define GENERATIONS 3
#define PERMANENT 80        /* from the first generation to what gc.freeze() keeps: the same from 3.8 to 3.13 */
#define GENERATION_BYTES 24 /* struct gc_generation: head (next, prev), threshold, count */
#define HEAD_BYTES 16       /* PyGC_Head, in front of the object */
#define MAX_INTERPRETERS 64
#define MAX_OBJECTS 100000000u
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

/* direct: a system call an object instead of 64 KiB at a time, for short lists. false: it did not lead back to its head. */
static bool walk_list(struct gmr__python *python, uint64_t head, bool direct, uint64_t *order)
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
        if (direct ? gmr__green_read(python->green, at, words, sizeof(words)) != 0
                   : gmr__peek(&python->peek, at, words, sizeof(words)) != 0)
            return false;
        meet(python, at + HEAD_BYTES, words[3], (*order)++);
        at = words[0] & ~(uint64_t)FLAGS;
    }
    return true;
}

static uint64_t list_head(const struct gmr__python *python, uint64_t interpreter, int generation)
{
    uint64_t lists = python->layout.runtime_gc ? python->runtime + python->layout.runtime_gc
                                               : interpreter + python->layout.interpreter_gc;
    return lists + (generation < GENERATIONS ? (uint64_t)generation * GENERATION_BYTES : PERMANENT);
}

/* Generations in `which` (bit n: n, GENERATIONS: the permanent one); the mask of those that did not lead to their end. */
static unsigned walk(struct gmr__python *python, unsigned which, bool stopped)
{
    uint64_t interpreters[MAX_INTERPRETERS];
    size_t count = gmr__python_interpreters(python, interpreters, MAX_INTERPRETERS);
    unsigned broken = 0;
    if (!stopped)
        gmr__peek_forget(&python->peek);
    for (int g = 0; g <= GENERATIONS; g++)
        for (size_t i = 0; (which >> g & 1) && i < count; i++) {
            uint64_t order = ((uint64_t)g << 56) + ((uint64_t)i << 40);
            if (!walk_list(python, list_head(python, interpreters[i], g), stopped && g == 0, &order))
                broken |= 1u << g;
        }
    return broken;
}

void gmr__python_walk_heap(struct gmr__python *python)
{
    unsigned left = (1u << (GENERATIONS + 1)) - 1;
    for (int attempt = 0; attempt < 3 && left != 0 && !gmr__green_out_of_time(python->green); attempt++)
        left = walk(python, left, false);
    python->broken_lists = left | 1;
    /* Here rather than at the stop: giving back a hundred megabytes takes its time. */
    gmr__peek_forget(&python->peek);
}

void gmr__python_walk_stopped(struct gmr__python *python)
{
    python->broken_lists = walk(python, python->broken_lists, true);
}
