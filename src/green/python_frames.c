/*
 * green/python_frames.c - chains of Python frames: copied while the interpreter stands, given names afterwards.
 *
 * Inspector only. The copying part runs in `collect`, with the target stopped, over pages that were read at once. A chain is as long
 * as the target says, up to a limit; cycles are found by Brent's method.
 */
#include <stdlib.h>
#include <string.h>

#include "green/python.h"
#include "sys/word.h"

const char gmr__python_no_time[] = "the time for the stop was used up before its turn";

#define MAX_FRAMES 20000

/* Frames that the interpreter keeps on the C stack mark where C called it (3.12 on; 3.14 has two kinds). */
#define OWNED_BY_C_STACK 3
#define TAGS 3u /* low bits of a reference in a frame, 3.14 */

bool gmr__python_chain_push(struct gmr__python *python, struct gmr__py_chain *chain, uint64_t code, int64_t instruction,
                            bool entry)
{
    if (!gmr__python_grow(python, &chain->frames, sizeof(*chain->frames), &chain->room, (size_t)chain->count + 1)) {
        chain->end = "there was no memory left to copy more frames";
        return false;
    }
    chain->frames[chain->count++] = (struct gmr__py_raw_frame){code, instruction, entry};
    return true;
}

/* 3.8 to 3.10: frame objects; each call of a Python function is a call of the interpreter's C function. */
static void step_object(struct gmr__python *python, struct gmr__py_chain *chain, const unsigned char *bytes)
{
    const struct gmr__py_layout *l = &python->layout;
    int32_t last;
    memcpy(&last, bytes + l->frame_instruction, sizeof(last));
    int64_t instruction = last < 0 ? -1 : l->lines == GMR__PY_LINETABLE ? (int64_t)last * 2 : last;
    if (gmr__python_chain_push(python, chain, gmr__word(bytes, l->frame_code), instruction, true))
        chain->next = gmr__word(bytes, l->frame_previous);
}

static void step_frame(struct gmr__python *python, struct gmr__py_chain *chain, uint64_t address,
                       const unsigned char *bytes)
{
    const struct gmr__py_layout *l = &python->layout;
    uint64_t code = gmr__word(bytes, l->frame_code) & ~(uint64_t)TAGS;
    if (bytes[l->frame_owner] >= OWNED_BY_C_STACK) {
        if (chain->count > 0)
            chain->frames[chain->count - 1].entry = true;
    } else {
        uint64_t at = gmr__word(bytes, l->frame_instruction);
        /* Where in the code: made relative when the code object is known. */
        bool entry = l->frame_entry != 0 && bytes[l->frame_entry] != 0;
        if (!gmr__python_chain_push(python, chain, code, (int64_t)(at - code - l->code_instructions), entry))
            return;
        chain->outermost = address;
    }
    chain->next = gmr__word(bytes, l->frame_previous);
}

static void check_cycle(struct gmr__py_chain *chain, uint64_t at)
{
    chain->steps++;
    if (chain->steps >= MAX_FRAMES) {
        chain->end = "cut after 20000 Python frames";
        chain->next = 0;
    } else if (chain->next != 0 && (chain->next == chain->mark || chain->next == at)) {
        chain->end = "the list of Python frames is damaged: it runs in a circle";
        chain->next = 0;
    } else if (chain->steps >= chain->mark_at * 2) {
        chain->mark = at;
        chain->mark_at = chain->steps;
    }
}

/* A frame on a native stack that was copied away (see python_greenlet.c) stands in the copy. */
static uint64_t place_of(const struct gmr__py_chain *chain)
{
    if (chain->next >= chain->overlay_low && chain->next < chain->overlay_high)
        return chain->next - chain->overlay_low + chain->overlay_from;
    return chain->next;
}

static void copy_chain(struct gmr__python *python, struct gmr__py_chain *chain)
{
    const struct gmr__py_layout *l = &python->layout;
    size_t bytes = l->frames == GMR__PY_FRAME_OBJECTS ? GMR__PY_FRAME_BYTES : l->frame_locals;
    unsigned char frame[GMR__PY_FRAME_BYTES];
    while (chain->next != 0) {
        uint64_t at = chain->next, place = place_of(chain);
        chain->next = 0;
        if (gmr__python_read(python, place, frame, bytes) != 0)
            chain->end = "a Python frame's memory can't be read";
        else if (l->frames == GMR__PY_FRAME_OBJECTS)
            step_object(python, chain, frame);
        else
            step_frame(python, chain, at, frame);
        check_cycle(chain, at);
    }
}

void gmr__python_copy_chains(struct gmr__python *python, struct gmr__py_chain **chains, size_t count)
{
    bool late = false;
    for (size_t i = 0; i < count; i++) {
        late = late || (i % 64 == 63 && gmr__green_out_of_time(python->green));
        if (!late)
            copy_chain(python, chains[i]);
        else if (chains[i]->next != 0)
            chains[i]->end = gmr__python_no_time;
    }
}

void gmr__python_language(struct gmr__python *python, const struct gmr__py_chain *chain,
                          struct gmr__language_stack *language)
{
    *language = (struct gmr__language_stack){.language = "python",
                                             .lasts = true,
                                             .interpreter_low = python->eval_low,
                                             .interpreter_high = python->eval_high,
                                             .switcher = python->switch_pc,
                                             .end = chain->end};
    struct gmr__language_frame *frames =
        gmr__green_alloc(python->green, (chain->count ? chain->count : 1) * sizeof(*frames));
    if (!frames) {
        language->end = "there was no memory left for the Python frames";
        return;
    }
    language->frames = frames;
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct gmr__py_raw_frame *raw = &chain->frames[i];
        const struct gmr__py_code *code = gmr__python_code(python, raw->code);
        if (!code) {
            language->end = "a Python frame points to what is no code: the list is damaged";
            break;
        }
        /* A frame that has not reached its first traceable instruction is not there yet for Python, either. */
        bool fresh = raw->instruction < (int64_t)code->first_traceable * 2 && python->layout.code_first_traceable;
        if (fresh) {
            if (raw->entry && language->frame_count > 0)
                frames[language->frame_count - 1].entry = true;
            continue;
        }
        frames[language->frame_count++] =
            (struct gmr__language_frame){.function = code->function,
                                         .file = code->file,
                                         .line = gmr__python_line(python, code, raw->instruction),
                                         .entry = raw->entry};
    }
}
