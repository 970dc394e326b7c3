/*
 * green/python_lists.c - the lists of CPython's garbage collector: every greenlet and every asyncio task stands on one.
 *
 * Inspector only. While the target runs the lists are walked for their order, that of gc.get_objects() (young to old; last what
 * gc.freeze() has put aside, which gc.get_objects() leaves out), and may be torn: python_heap.c finds what was
 * missed. What is made after that is found at the stop. It is in the young generations, or has been appended to the end of the
 * oldest: so those are walked from their ends, the oldest as far back as objects that stood there before the search. Two things
 * spoil that: a full collection in between (counted by the interpreter), after which the whole list is walked, and a stop in the
 * middle of one: then the links backwards are used for counting, and some objects are on lists of the collector's own, whose
 * heads are on its C stack.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "green/python.h"

#define GENERATIONS 3
#define OLDEST 4u /* as a set of generations */
#define ALL_BUT_YOUNG 6u
#define GENERATION_BYTES 24 /* struct gc_generation: head (next, prev), threshold, count */
#define FULL_COLLECTIONS 72 /* from the permanent generation to the third one's statistics */
#define COLLECTING 96       /* the same, to the member that tells that it is at work */
#define HEAD_BYTES 16       /* PyGC_Head, in front of the object */
#define FLAGS 3u            /* low bits of a link that the collector uses */
#define MAX_OBJECTS 100000000u

#define MARKS 1024 /* all of the last so many of a list, and some of each so many before */
#define MARKS_IN_ROW 32
#define MAX_YOUNG 20000 /* walked in any case */
#define MAX_REHEARSED 20000
#define TAIL ((uint64_t)1 << 39)

#define STACK_BYTES 65536u /* of a thread, searched for heads of lists */
#define MAX_STACKS 64

static uint64_t unflagged(uint64_t link)
{
    return link & ~(uint64_t)FLAGS;
}

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

static uint64_t list_head(const struct gmr__python *python, uint64_t interpreter, int generation)
{
    uint64_t lists = python->layout.runtime_gc ? python->runtime + python->layout.runtime_gc
                                               : interpreter + python->layout.interpreter_gc;
    return lists + (generation < GENERATIONS ? (uint64_t)generation * GENERATION_BYTES : python->layout.gc_permanent);
}

static uint64_t order_of(int generation, size_t interpreter)
{
    return ((uint64_t)generation << 56) + ((uint64_t)interpreter << 40) + 1;
}

/* Onwards from head. false: it led neither back to it nor to what stands last (an object may be just about to be put behind that). marking: remembers some of those that stand next to each other. */
static bool walk_list(struct gmr__python *python, struct gmr__peek *peek, uint64_t head, uint64_t order, bool marking)
{
    uint64_t at = unflagged(gmr__peek_word(peek, head)), mark = 0;
    uint64_t last = unflagged(gmr__peek_word(peek, head + 8));
    bool met_last = false;
    for (uint32_t steps = 1, mark_at = 1; at != head; steps++) {
        if (at == 0 || at == mark || steps > MAX_OBJECTS)
            return met_last;
        if (steps % 1024 == 0 && gmr__green_out_of_time(python->green))
            return false;
        if (steps >= mark_at * 2) {
            mark = at;
            mark_at = steps;
        }
        uint64_t words[4]; /* next, prev, reference count, type */
        if (gmr__peek(peek, at, words, sizeof(words)) != 0)
            return met_last;
        met_last |= at == last;
        gmr__python_meet(python, at + HEAD_BYTES, words[3], order++);
        if (marking && steps % MARKS < 2 * MARKS_IN_ROW)
            gmr__addrmap_put(&python->marks, at, unflagged(words[0]));
        at = unflagged(words[0]);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------ target running */

static uint64_t full_collections(struct gmr__python *python, uint64_t interpreter)
{
    uint64_t count = 0;
    gmr__green_read(python->green, list_head(python, interpreter, GENERATIONS) + FULL_COLLECTIONS, &count,
                    sizeof(count));
    return count;
}

static bool is_collecting(struct gmr__python *python, uint64_t interpreter)
{
    int32_t yes = 0;
    gmr__green_read(python->green, list_head(python, interpreter, GENERATIONS) + COLLECTING, &yes, sizeof(yes));
    return yes != 0;
}

static void wait_for_collector(struct gmr__python *python, uint64_t interpreter)
{
    for (int i = 0; i < 200 && is_collecting(python, interpreter); i++) {
        struct timespec moment = {.tv_nsec = 500000};
        nanosleep(&moment, NULL);
    }
}

/* Remembers how a list ends: each of its last objects with the one behind it. */
static void mark_end(struct gmr__python *python, uint64_t head)
{
    uint64_t last = head, words[2];
    for (int i = 0; i < MARKS; i++) {
        if (gmr__green_read(python->green, last, words, sizeof(words)) != 0 || unflagged(words[1]) == head ||
            unflagged(words[1]) == 0)
            return;
        gmr__addrmap_put(&python->marks, unflagged(words[1]), last);
        last = unflagged(words[1]);
    }
}

void gmr__python_mark_lists(struct gmr__python *python)
{
    python->interpreter_count =
        gmr__python_interpreters(python, python->interpreters, sizeof(python->interpreters) / sizeof(uint64_t));
    gmr__addrmap_free(&python->marks);
    for (size_t i = 0; i < python->interpreter_count; i++) {
        wait_for_collector(python, python->interpreters[i]);
        for (int g = 0; g < GENERATIONS; g++)
            mark_end(python, list_head(python, python->interpreters[i], g));
        python->full_collections[i] = full_collections(python, python->interpreters[i]);
    }
}

bool gmr__python_lists_settled(struct gmr__python *python)
{
    for (size_t i = 0; i < python->interpreter_count; i++)
        if (full_collections(python, python->interpreters[i]) != python->full_collections[i])
            return false;
    return true;
}

void gmr__python_walk_ahead(struct gmr__python *python)
{
    gmr__peek_forget(&python->peek);
    python->walked = true;
    for (int g = 0; g <= GENERATIONS; g++)
        for (size_t i = 0; i < python->interpreter_count; i++)
            python->walked &= walk_list(python, &python->peek, list_head(python, python->interpreters[i], g),
                                        order_of(g, i), g < GENERATIONS);
    /* Here rather than at the stop: giving back a hundred megabytes takes its time. */
    gmr__peek_forget(&python->peek);
}

/* ------------------------------------------------------------------------------------------------ target stopped */

/* Backwards from the end, until marks in a row tell that the rest stood there before. false: the links don't agree, or the time is
 * used up. */
static bool walk_end(struct gmr__python *python, uint64_t head, uint32_t least, uint64_t order)
{
    uint64_t words[4], last = head, known;
    uint32_t steps = 0, in_row = 0;
    if (gmr__peek(&python->pages, head, words, 16) != 0)
        return false;
    for (uint64_t at = unflagged(words[1]); at != head; steps++) {
        if (at == 0 || steps > (python->rehearsing ? MAX_REHEARSED : MAX_OBJECTS) ||
            (steps % 1024 == 0 && gmr__green_out_of_time(python->green)) ||
            gmr__peek(&python->pages, at, words, sizeof(words)) != 0 || unflagged(words[0]) != last)
            return false;
        gmr__python_meet(python, at + HEAD_BYTES, words[3], order - steps);
        in_row = gmr__addrmap_get(&python->marks, at, &known) && known == last ? in_row + 1 : 0;
        if (in_row >= MARKS_IN_ROW && steps >= least)
            return true;
        last = at;
        at = unflagged(words[1]);
    }
    return true;
}

/* Objects that the collector has on lists of its own: heads in the frames of its functions. */
static void walk_stack_lists(struct gmr__python *python, const struct gmr__thread *thread)
{
    static uint64_t words[STACK_BYTES / 8];
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(python->green);
    uint64_t sp = thread->regs.value[gmr__arch_sp] & ~(uint64_t)7;
    const struct gmr__map *map = thread->regs.valid >> gmr__arch_sp & 1 ? gmr__snapshot_map(snapshot, sp) : NULL;
    if (!map)
        return;
    uint64_t bytes = map->end - sp < STACK_BYTES ? map->end - sp : STACK_BYTES;
    if (gmr__green_read(python->green, sp, words, bytes) != 0)
        return;
    for (uint64_t i = 0; i + 2 <= bytes / 8; i++) {
        uint64_t head = sp + i * 8, first = unflagged(words[i]), last = unflagged(words[i + 1]), next;
        if (first % 16 != 0 || last % 16 != 0 || first == head || last == head || first < 4096 || last < 4096)
            continue;
        if (gmr__peek(&python->pages, last, &next, sizeof(next)) == 0 && unflagged(next) == head)
            walk_list(python, &python->pages, head, GMR__PY_UNORDERED + TAIL, false);
    }
}

static void walk_private_lists(struct gmr__python *python)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(python->green, &count);
    for (size_t i = 0; i < count && i < MAX_STACKS && !gmr__green_out_of_time(python->green); i++)
        walk_stack_lists(python, &threads[i]);
}

void gmr__python_walk_ends(struct gmr__python *python)
{
    uint64_t interpreters[GMR__PY_INTERPRETERS];
    size_t count = gmr__python_interpreters(python, interpreters, GMR__PY_INTERPRETERS);
    for (size_t i = 0; i < count; i++) {
        bool known = !python->layout.reorders && i < python->interpreter_count &&
                     interpreters[i] == python->interpreters[i] &&
                     full_collections(python, interpreters[i]) == python->full_collections[i];
        python->interpreters[i] = interpreters[i];
        python->rest[i] = known ? 0 : python->layout.reorders ? ALL_BUT_YOUNG : OLDEST;
        for (int g = 0; g < GENERATIONS; g++) {
            uint32_t least = g == GENERATIONS - 1 ? 0 : MAX_YOUNG;
            if (!(python->rest[i] >> g & 1) &&
                !walk_end(python, list_head(python, interpreters[i], g), least, order_of(g, i) + TAIL))
                python->rest[i] |= (uint8_t)(1u << g);
        }
    }
    python->interpreter_count = count;
}

bool gmr__python_walk_rest(struct gmr__python *python)
{
    bool none = true;
    for (int g = 0; g < GENERATIONS; g++)
        for (size_t i = 0; i < python->interpreter_count; i++) {
            if (!(python->rest[i] >> g & 1))
                continue;
            none = false;
            if (!walk_list(python, &python->pages, list_head(python, python->interpreters[i], g), order_of(g, i),
                           false))
                python->lists_broken = true;
        }
    for (size_t i = 0; i < python->interpreter_count; i++)
        if (is_collecting(python, python->interpreters[i])) {
            walk_private_lists(python);
            return false;
        }
    return none;
}
