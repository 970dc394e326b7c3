/*
 * green/python_greenlet.c - greenlets (eventlet, gevent): their state, where their Python frames begin, and their C stack.
 *
 * Inspector only. A greenlet that is switched away from leaves its frames in its python state and the part of its C stack that
 * others overwrite in a copy on the heap; the rest is still in place. Offsets are those of the greenlet module's
 * sources 1.0 to 3.2; which of them the process has shows in the object itself: its size (1.x keeps all in the object,
 * 2.0 on points to an implementation) and whether the implementation's second word points back at the object (3.2 on).
 */
#include <stdlib.h>
#include <string.h>

#include "green/python.h"
#include "sys/word.h"

#define TYPE_SIZE 32 /* PyTypeObject.tp_basicsize */
#define OBJECT_TYPE 8
#define SIZE_OF_2_X 40
#define IMPLEMENTATION 32 /* PyGreenlet.pimpl */
#define ROOM 192
#define MAX_SAVED (64u << 20)
#define MAX_STACK (64u << 10) /* copied of one greenlet's C stack */
#define TLS_WORDS 16
#define MAX_TLS_BLOCKS 1024
#define AT_ONCE 1024 /* pieces of stacks that one call copies */

struct place {
    uint64_t block; /* the bytes that hold the members */
    uint32_t stack, top_frame;
};

/* Subclasses of 2.x and later are larger than 40, yet never have a stack pointer where 1.x has stack_stop unless they are 1.x:
 * the base type decides. */
static uint64_t base_size(struct gmr__python *python, uint64_t type)
{
    uint64_t size = 0;
    for (int depth = 0; depth < 32 && type != 0; depth++) {
        if (gmr__python_class_of_type(python, type) != GMR__PY_GREENLET)
            break;
        size = gmr__peek_word(&python->peek, type + TYPE_SIZE);
        type = gmr__peek_word(&python->peek, type + 256);
    }
    return size;
}

static bool find_place(struct gmr__python *python, const struct gmr__py_green *green, struct place *place)
{
    uint64_t size = base_size(python, green->type);
    if (size > 64 && size < 512) {
        *place = (struct place){.block = green->address, .stack = 16, .top_frame = 72};
        return true;
    }
    uint64_t words[2];
    if (size != SIZE_OF_2_X ||
        gmr__python_read(python, green->address + IMPLEMENTATION, &place->block, sizeof(place->block)) != 0 ||
        gmr__python_read(python, place->block, words, sizeof(words)) != 0)
        return false;
    /* vtable, exception state (2 words since CPython 3.11, 4 before, and a pointer), arguments of the switch (2). */
    place->stack = 8 + 8 + (python->layout.minor >= 11 ? 16 : 32) + 16;
    if (words[1] == green->address)
        place->stack += 8;
    place->top_frame = place->stack + 48;
    return true;
}

static void read_one(struct gmr__python *python, struct gmr__py_green *green)
{
    struct place place;
    unsigned char bytes[ROOM];
    if (!gmr__python_is_alive(python, green)) {
        green->gone = true;
        return;
    }
    if (!find_place(python, green, &place) || gmr__python_read(python, place.block, bytes, place.top_frame + 8) != 0) {
        green->chain.end = "this greenlet is laid out in a way that gmr does not know";
        return;
    }
    green->stack_start = gmr__word(bytes, place.stack);
    green->stack_stop = gmr__word(bytes, place.stack + 8);
    green->stack_copy = gmr__word(bytes, place.stack + 16);
    green->stack_saved = gmr__word(bytes, place.stack + 24);
    uint64_t top = gmr__word(bytes, place.top_frame);
    if (green->stack_stop == 0)
        green->state = GMR__GREEN_NEW;
    else if (green->stack_start == 0)
        green->state = GMR__GREEN_DONE;
    else
        green->state = top == 0 ? GMR__GREEN_RUNNING : GMR__GREEN_SUSPENDED;
    if (green->state != GMR__GREEN_SUSPENDED)
        return;
    if (green->stack_copy != 0 && green->stack_saved <= MAX_SAVED) {
        green->chain.overlay_low = green->stack_start;
        green->chain.overlay_high = green->stack_start + green->stack_saved;
        green->chain.overlay_from = green->stack_copy;
    }
    if (python->layout.object_frame == 0)
        green->chain.next = top;
    else if (gmr__python_read(python, top + python->layout.object_frame, &green->chain.next, 8) != 0)
        green->chain.end = "its frame object can't be read";
}

void gmr__python_read_greenlets(struct gmr__python *python, size_t first)
{
    for (size_t i = first; i < python->green_count; i++) {
        struct gmr__py_green *green = &python->greens[i];
        if (green->class != GMR__PY_GREENLET)
            continue;
        if (gmr__green_out_of_time(python->green)) {
            green->chain.end = gmr__python_no_time;
            continue;
        }
        read_one(python, green);
    }
}

/* ------------------------------------------------------------------------------------------------ who runs it */

static bool is_greenlet(const struct gmr__python *python, uint64_t address)
{
    uint64_t index;
    return gmr__addrmap_get(&python->seen, address, &index) && python->greens[index - 1].class == GMR__PY_GREENLET;
}

/* What the words at the start of a module's block of thread-local storage point to: is one the module's note of the thread? */
static uint64_t note_in(struct gmr__python *python, uint64_t block)
{
    uint64_t words[TLS_WORDS], note[2];
    if (gmr__peek(&python->peek, block, words, sizeof(words)) != 0)
        return 0;
    for (int i = 0; i < TLS_WORDS; i++)
        if (words[i] > 4096 && words[i] % 8 == 0 && gmr__peek(&python->peek, words[i], note, sizeof(note)) == 0 &&
            is_greenlet(python, note[0]) && is_greenlet(python, note[1]))
            return words[i];
    return 0;
}

/*
 * Since 1.0 the module keeps its notes in thread-local storage, whose blocks the C library has in the dynamic thread vector: on x86-64
 * the second word of struct pthread, its length in front of it (glibc, unchanged since 2.4). Where it is not, no note is found.
 */
void gmr__python_find_carriers(struct gmr__python *python)
{
    python->carrier_count = 0;
    python->carriers = gmr__green_alloc(python->green, (python->thread_count + 1) * sizeof(*python->carriers));
    for (size_t i = 0; python->carriers && i < python->thread_count && !gmr__green_out_of_time(python->green); i++) {
        uint64_t vector = 0, length = 0, block[2], note = 0, pthread = python->threads[i].pthread;
        if (gmr__peek(&python->peek, pthread + 8, &vector, sizeof(vector)) != 0 || vector == 0 ||
            gmr__peek(&python->peek, vector - sizeof(block), &length, sizeof(length)) != 0)
            continue;
        for (uint64_t m = 1; m <= length && m <= MAX_TLS_BLOCKS && note == 0; m++)
            if (gmr__peek(&python->peek, vector + m * sizeof(block), block, sizeof(block)) == 0 && block[0] != 0 &&
                block[0] != UINT64_MAX)
                note = note_in(python, block[0]);
        if (note != 0)
            python->carriers[python->carrier_count++] = (struct gmr__py_carrier){pthread, note};
    }
}

void gmr__python_read_carriers(struct gmr__python *python)
{
    for (size_t c = 0, i = 0; c < python->carrier_count; c++) {
        /* Both are in the order of the interpreter's threads, most of which are still there. */
        size_t from = i;
        while (i < python->thread_count && python->threads[i].pthread != python->carriers[c].pthread)
            i++;
        if (i == python->thread_count)
            i = from;
        else
            gmr__python_read(python, python->carriers[c].note + 8, &python->threads[i].current, 8);
    }
}

/* ------------------------------------------------------------------------------------------------ its C stack */

/*
 * slp_switch() moves the stack pointer by inline assembly, add %reg,%rsp; add %reg,%rbp: that pair stands once in the
 * module, and a suspended greenlet goes on behind it, its stack pointer being stack_start. Every architecture but x86-64 (whose
 * code the bytes are) finds nothing and reports Python frames alone.
 */
void gmr__python_find_switch(struct gmr__python *python)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(python->green);
    unsigned found = 0;
    for (size_t i = 0; i < snapshot->map_count; i++) {
        const struct gmr__map *map = &snapshot->maps[i];
        uint64_t bytes = map->end - map->start;
        const char *slash = strrchr(map->path, '/');
        /* "_greenlet.", before 1.0 "greenlet.", and so on */
        if (!map->exec || !slash || strncmp(slash + 1 + (slash[1] == '_'), "greenlet.", 9) != 0 || bytes > 4u << 20)
            continue;
        unsigned char *text = malloc(bytes);
        if (text && gmr__green_read(python->green, map->start, text, bytes) == 0)
            for (uint64_t at = 0; at + 6 <= bytes; at++)
                /* 48 01 /r with rm = rsp (100), then the same register with rm = rbp (101) */
                if (text[at] == 0x48 && text[at + 1] == 0x01 && (text[at + 2] & 0xc7) == 0xc4 && text[at + 3] == 0x48 &&
                    text[at + 4] == 0x01 && text[at + 5] == text[at + 2] + 1) {
                    python->switch_pc = map->start + at + 6;
                    found++;
                }
        free(text);
    }
    if (found != 1)
        python->switch_pc = 0;
}

/* Where the stack's bytes are as they will be when the greenlet goes on: the copied part, then what is still in place. How many. */
static size_t stack_pieces(struct gmr__python *python, struct gmr__py_green *green, struct gmr__green_piece *pieces)
{
    const struct gmr__map *map = gmr__snapshot_map(gmr__green_snapshot(python->green), green->stack_start);
    if (green->state != GMR__GREEN_SUSPENDED || !map || !map->write)
        return 0;
    uint64_t high = green->stack_stop < map->end ? green->stack_stop : map->end;
    uint64_t saved = green->stack_copy ? green->stack_saved : 0;
    if (high <= green->stack_start || saved > high - green->stack_start)
        return 0;
    uint64_t bytes = high - green->stack_start;
    if (bytes > MAX_STACK)
        bytes = MAX_STACK;
    if (bytes > green->stack_room) { /* seldom at the stop: the rehearsal has made room */
        unsigned char *room = gmr__green_alloc(python->green, bytes);
        if (!room)
            return 0;
        green->stack = room;
        green->stack_room = (uint32_t)bytes;
    }
    if (saved > bytes)
        saved = bytes;
    size_t count = 0;
    if (saved != 0)
        pieces[count++] =
            (struct gmr__green_piece){.address = green->stack_copy, .to = green->stack, .bytes = (uint32_t)saved};
    if (bytes > saved)
        pieces[count++] = (struct gmr__green_piece){
            .address = green->stack_start + saved, .to = green->stack + saved, .bytes = (uint32_t)(bytes - saved)};
    return count;
}

static void copy_stacks(struct gmr__python *python, struct gmr__green_piece *pieces, struct gmr__py_green **whose,
                        size_t count)
{
    gmr__green_read_many(python->green, pieces, count);
    for (size_t i = 0; i < count; i++) {
        struct gmr__py_green *green = whose[i];
        if (i == 0 || whose[i - 1] != green) {
            green->stack_at = green->stack_start;
            green->stack_bytes = pieces[i].got;
        } else if (pieces[i - 1].got == pieces[i - 1].bytes) {
            green->stack_bytes += pieces[i].got;
        }
    }
}

void gmr__python_read_greenlet_stacks(struct gmr__python *python, size_t first)
{
    static struct gmr__green_piece pieces[AT_ONCE];
    static struct gmr__py_green *whose[AT_ONCE];
    size_t count = 0;
    for (size_t i = first; python->switch_pc != 0 && i < python->green_count; i++) {
        struct gmr__py_green *green = &python->greens[i];
        if (green->class != GMR__PY_GREENLET || green->gone)
            continue;
        for (size_t n = stack_pieces(python, green, pieces + count); n > 0; n--)
            whose[count++] = green;
        if (count + 2 > AT_ONCE) {
            copy_stacks(python, pieces, whose, count);
            count = 0;
            if (gmr__green_out_of_time(python->green))
                return;
        }
    }
    copy_stacks(python, pieces, whose, count);
}

void gmr__python_greenlet_stack(struct gmr__python *python, const struct gmr__py_green *green,
                                struct gmr__green_thread *thread)
{
    if (green->state != GMR__GREEN_SUSPENDED || green->stack_at != green->stack_start || green->stack_bytes == 0)
        return;
    const struct gmr__map *map = gmr__snapshot_map(gmr__green_snapshot(python->green), green->stack_start);
    thread->stack_low = green->stack_start;
    thread->stack_high = map && green->stack_stop > map->end ? map->end : green->stack_stop;
    thread->regs.value[gmr__arch_sp] = green->stack_start;
    thread->regs.value[gmr__arch_pc] = python->switch_pc;
    thread->regs.valid = 1ull << gmr__arch_sp | 1ull << gmr__arch_pc;
    thread->activation = true;
    thread->copy =
        (struct gmr__segment){.address = green->stack_start, .bytes = green->stack_bytes, .data = green->stack};
}
