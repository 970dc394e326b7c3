/*
 * green/python_task.c - asyncio tasks: the coroutine each one runs, and what that awaits, down to the future.
 *
 * Inspector only. Where a task keeps its coroutine differs between releases; it is found in the object itself: the member that points to
 * a coroutine and has the task's name (a str or an int) behind it. A coroutine's frame is part of it (3.11 on) or a
 * frame object (before), and what it awaits stands on top of its value stack.
 */
#include <stdio.h>
#include <string.h>

#include "green/python.h"
#include "sys/word.h"

#define OBJECT_TYPE 8
#define TYPE_SIZE 32
#define TASK_ROOM 256
#define FRAME_ROOM 192
#define TAGS 3u /* low bits of a reference in a frame, 3.14 */
#define MAX_AWAITS 1000
#define INNER 16 /* first member of the objects that only wrap another */

enum gmr__py_progress { CREATED, SUSPENDED, EXECUTING, FINISHED };

static enum gmr__py_class class_of(struct gmr__python *python, uint64_t object)
{
    uint64_t type = 0;
    if (object == 0 || object % 8 != 0 || gmr__python_read(python, object + OBJECT_TYPE, &type, 8) != 0 || type == 0)
        return GMR__PY_OTHER;
    return gmr__python_class_of_type(python, type);
}

/* 3.8 to 3.10: the frame is an object of its own. awaits: what it waits for, 0: nothing. */
static enum gmr__py_progress read_frame_object(struct gmr__python *python, uint64_t coroutine,
                                               struct gmr__py_chain *chain, uint64_t *awaits)
{
    const struct gmr__py_layout *l = &python->layout;
    unsigned char bytes[112];
    uint64_t frame = 0;
    int32_t last, depth;
    if (gmr__python_read(python, coroutine + l->generator_frame, &frame, 8) != 0 || frame == 0 ||
        gmr__python_read(python, frame, bytes, sizeof(bytes)) != 0)
        return FINISHED;
    memcpy(&last, bytes + l->frame_instruction, sizeof(last));
    int64_t instruction = last < 0 ? -1 : l->lines == GMR__PY_LINETABLE ? (int64_t)last * 2 : last;
    gmr__python_chain_push(python, chain, gmr__word(bytes, l->frame_code), instruction, false);
    if (last < 0)
        return CREATED;
    uint64_t top = gmr__word(bytes, l->frame_stacktop);
    if (l->minor >= 10) {
        memcpy(&depth, bytes + l->frame_stacktop, sizeof(depth));
        if ((signed char)bytes[108] >= 0) /* f_state: FRAME_SUSPENDED is -1 */
            return (signed char)bytes[108] == 0 ? EXECUTING : FINISHED;
        top = depth > 0 ? gmr__word(bytes, l->frame_locals) + (uint64_t)depth * 8 : 0;
    } else if (top == 0) {
        return EXECUTING;
    }
    if (top >= 8)
        gmr__python_read(python, top - 8, awaits, 8);
    return SUSPENDED;
}

static enum gmr__py_progress read_coroutine(struct gmr__python *python, uint64_t coroutine, struct gmr__py_chain *chain,
                                            uint64_t *awaits)
{
    const struct gmr__py_layout *l = &python->layout;
    unsigned char bytes[FRAME_ROOM];
    int32_t depth;
    *awaits = 0;
    if (l->frames == GMR__PY_FRAME_OBJECTS)
        return read_frame_object(python, coroutine, chain, awaits);
    if (gmr__python_read(python, coroutine, bytes, l->generator_frame + l->frame_locals) != 0)
        return FINISHED;
    signed char state = (signed char)bytes[l->generator_state];
    if (state > 0)
        return FINISHED;
    const unsigned char *frame = bytes + l->generator_frame;
    uint64_t code = gmr__word(frame, l->frame_code) & ~(uint64_t)TAGS;
    uint64_t instruction = gmr__word(frame, l->frame_instruction) - code - l->code_instructions;
    gmr__python_chain_push(python, chain, code, (int64_t)instruction, false);
    if (state == 0)
        return EXECUTING;
    if (state == (l->minor >= 13 ? -3 : -2))
        return CREATED;
    if (l->frame_stack_pointer != 0) {
        gmr__python_read(python, gmr__word(frame, l->frame_stack_pointer) - 8, awaits, 8);
        *awaits &= ~(uint64_t)TAGS;
        return SUSPENDED;
    }
    memcpy(&depth, frame + l->frame_stacktop, sizeof(depth));
    if (depth > 0 && depth < 1 << 20)
        gmr__python_read(python, coroutine + l->generator_frame + l->frame_locals + (uint64_t)(depth - 1) * 8, awaits,
                         8);
    return SUSPENDED;
}

/* Offset of the coroutine in the task, 0 if there is none (any more). */
static uint32_t find_coroutine(struct gmr__python *python, const unsigned char *bytes, uint32_t size)
{
    uint32_t found = 0;
    for (uint32_t at = 16; at + 16 <= size; at += 8) {
        if (class_of(python, gmr__word(bytes, at)) != GMR__PY_COROUTINE)
            continue;
        found = at;
        if (class_of(python, gmr__word(bytes, at + 8)) == GMR__PY_STRING)
            break;
    }
    return found;
}

static void reverse(struct gmr__py_chain *chain)
{
    for (uint32_t i = 0; i < chain->count / 2; i++) {
        struct gmr__py_raw_frame other = chain->frames[i];
        chain->frames[i] = chain->frames[chain->count - 1 - i];
        chain->frames[chain->count - 1 - i] = other;
    }
}

static void read_task(struct gmr__python *python, struct gmr__py_green *task)
{
    unsigned char bytes[TASK_ROOM];
    uint64_t size = gmr__peek_word(&python->peek, task->type + TYPE_SIZE);
    if (size > sizeof(bytes))
        size = sizeof(bytes);
    if (!gmr__python_is_alive(python, task) || gmr__python_read(python, task->address, bytes, size) != 0) {
        task->gone = true;
        return;
    }
    uint32_t offset = find_coroutine(python, bytes, (uint32_t)size);
    task->state = GMR__GREEN_DONE;
    if (offset == 0)
        return;
    task->name_object = gmr__word(bytes, offset + 8);
    task->waits_for = gmr__word(bytes, offset - 8);
    uint64_t at = gmr__word(bytes, offset), awaits = 0;
    for (int depth = 0; depth < MAX_AWAITS; depth++) {
        enum gmr__py_progress progress = read_coroutine(python, at, &task->chain, &awaits);
        if (depth == 0)
            task->state = progress == CREATED     ? GMR__GREEN_NEW
                          : progress == EXECUTING ? GMR__GREEN_RUNNING
                          : progress == FINISHED  ? GMR__GREEN_DONE
                                                  : GMR__GREEN_SUSPENDED;
        if (progress != SUSPENDED)
            break;
        enum gmr__py_class class = class_of(python, awaits);
        for (int wrapped = 0; class == GMR__PY_WRAPPER && wrapped < 8; wrapped++) {
            if (gmr__python_read(python, awaits + INNER, &awaits, 8) != 0)
                awaits = 0;
            class = class_of(python, awaits);
        }
        if (class != GMR__PY_COROUTINE || awaits == at)
            break;
        at = awaits;
    }
    reverse(&task->chain);
    if (task->state == GMR__GREEN_RUNNING && !task->chain.end)
        task->chain.end = "it runs: the functions it has called stand with its OS thread";
}

void gmr__python_read_tasks(struct gmr__python *python, size_t first)
{
    for (size_t i = first; i < python->green_count; i++) {
        if (python->greens[i].class != GMR__PY_TASK)
            continue;
        if (gmr__green_out_of_time(python->green))
            python->greens[i].chain.end = gmr__python_no_time;
        else
            read_task(python, &python->greens[i]);
    }
}

void gmr__python_name_tasks(struct gmr__python *python)
{
    for (size_t i = 0; i < python->green_count; i++) {
        struct gmr__py_green *task = &python->greens[i];
        char name[48];
        if (task->class != GMR__PY_TASK || task->gone || task->state == GMR__GREEN_DONE)
            continue;
        if (gmr__python_string(python, task->name_object, name, sizeof(name)) > 0) {
            snprintf(task->name, sizeof(task->name), "%s", name);
            continue;
        }
        /* From 3.12 on a task that nobody has named keeps its number: an int, whose tag says one digit (8). */
        uint64_t tag = gmr__peek_word(&python->peek, task->name_object + 16);
        uint32_t digit = (uint32_t)gmr__peek_word(&python->peek, task->name_object + 24);
        gmr__python_type_name(python, gmr__peek_word(&python->peek, task->name_object + OBJECT_TYPE), name,
                              sizeof(name));
        if (python->layout.minor >= 12 && strcmp(name, "int") == 0 && tag >> 3 == 1)
            snprintf(task->name, sizeof(task->name), "Task-%u", digit);
    }
    for (size_t i = 0; i < python->green_count; i++) {
        struct gmr__py_green *task = &python->greens[i];
        uint64_t index, type;
        if (task->class != GMR__PY_TASK || task->gone || task->state != GMR__GREEN_SUSPENDED)
            continue;
        type = task->waits_for ? gmr__peek_word(&python->peek, task->waits_for + OBJECT_TYPE) : 0;
        gmr__python_type_name(python, type, task->wait, sizeof(task->wait));
        if (type == 0 || strcmp(task->wait, "NoneType") == 0) {
            task->waits_for = 0; /* it yielded and will go on in the next round of the loop */
            task->wait[0] = 0;
            task->state = GMR__GREEN_RUNNABLE;
        } else if (gmr__addrmap_get(&python->seen, task->waits_for, &index)) {
            snprintf(task->wait, sizeof(task->wait), "%.63s", python->greens[index - 1].name);
            task->state = GMR__GREEN_WAITING;
        } else {
            task->state = GMR__GREEN_WAITING;
        }
    }
}
