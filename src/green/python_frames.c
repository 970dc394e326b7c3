/*
 * green/python_frames.c - chains of Python frames: copied while the interpreter stands, given names afterwards.
 *
 * Inspector only. The copying part runs in `collect`, with the target stopped: it only reads, many chains a system call. A chain
 * is as long as the target says, up to a limit; cycles are found by Brent's method.
 */
#include <stdlib.h>
#include <string.h>

#include "green/python.h"

#define MAX_FRAMES 20000
#define ROUND 512       /* chains read by one system call */
#define FRAME_BYTES 112 /* covers every member that the layouts name */

/* Frames that the interpreter keeps on the C stack mark where C called it (3.12 on). */
#define OWNED_BY_C_STACK 3

bool gmr__python_chain_push(struct gmr__py_chain *chain, uint64_t code, int64_t instruction, bool entry)
{
    if (chain->count == chain->room) {
        uint32_t room = chain->room ? chain->room * 2 : 32;
        struct gmr__py_raw_frame *frames = realloc(chain->frames, room * sizeof(*frames));
        if (!frames) {
            chain->end = "there was no memory left to copy more frames";
            return false;
        }
        chain->frames = frames;
        chain->room = room;
    }
    chain->frames[chain->count++] = (struct gmr__py_raw_frame){code, instruction, entry};
    return true;
}

static uint64_t word_at(const unsigned char *bytes, uint32_t offset)
{
    uint64_t word;
    memcpy(&word, bytes + offset, sizeof(word));
    return word;
}

/* 3.8 to 3.10: frame objects; each call of a Python function is a call of the interpreter's C function. */
static void step_object(const struct gmr__py_layout *l, struct gmr__py_chain *chain, const unsigned char *bytes)
{
    int32_t last;
    memcpy(&last, bytes + l->frame_instruction, sizeof(last));
    int64_t instruction = last < 0 ? -1 : l->lines == GMR__PY_LINETABLE ? (int64_t)last * 2 : last;
    if (gmr__python_chain_push(chain, word_at(bytes, l->frame_code), instruction, true))
        chain->next = word_at(bytes, l->frame_previous);
}

static void step_frame(const struct gmr__py_layout *l, struct gmr__py_chain *chain, const unsigned char *bytes)
{
    uint64_t code = word_at(bytes, l->frame_code);
    if (bytes[l->frame_owner] == OWNED_BY_C_STACK) {
        if (chain->count > 0)
            chain->frames[chain->count - 1].entry = true;
    } else {
        uint64_t at = word_at(bytes, l->frame_instruction);
        /* Where in the code: made relative when the code object is known. */
        bool entry = l->frame_entry != 0 && bytes[l->frame_entry] != 0;
        if (!gmr__python_chain_push(chain, code, (int64_t)(at - code - l->code_instructions), entry))
            return;
    }
    chain->next = word_at(bytes, l->frame_previous);
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

static void copy_round(struct gmr__python *python, struct gmr__py_chain **chains, size_t count)
{
    static const char unreadable[] = "a Python frame's memory can't be read";
    const struct gmr__py_layout *l = &python->layout;
    unsigned char *room = malloc(ROUND * FRAME_BYTES);
    struct gmr__green_piece *pieces = calloc(ROUND, sizeof(*pieces));
    struct gmr__py_chain **whose = calloc(ROUND, sizeof(struct gmr__py_chain *));
    size_t active = 0;
    if (room && pieces && whose)
        for (size_t i = 0; i < count && active < ROUND; i++)
            if (chains[i]->next != 0) {
                pieces[active] = (struct gmr__green_piece){
                    .address = place_of(chains[i]), .to = room + active * FRAME_BYTES, .bytes = FRAME_BYTES};
                whose[active++] = chains[i];
            }
    while (active > 0 && !gmr__green_out_of_time(python->green)) {
        size_t left = 0;
        gmr__green_read_many(python->green, pieces, active);
        for (size_t i = 0; i < active; i++) {
            struct gmr__py_chain *chain = whose[i];
            uint64_t at = chain->next;
            chain->next = 0;
            if (pieces[i].got < l->frame_locals || (l->frames == GMR__PY_FRAME_OBJECTS && pieces[i].got < FRAME_BYTES))
                chain->end = unreadable;
            else if (l->frames == GMR__PY_FRAME_OBJECTS)
                step_object(l, chain, pieces[i].to);
            else
                step_frame(l, chain, pieces[i].to);
            check_cycle(chain, at);
            if (chain->next == 0)
                continue;
            pieces[left] = (struct gmr__green_piece){
                .address = place_of(chain), .to = room + left * FRAME_BYTES, .bytes = FRAME_BYTES};
            whose[left++] = chain;
        }
        active = left;
    }
    for (size_t i = 0; i < active; i++)
        whose[i]->end = "the time for the stop was used up here";
    free(room);
    free(pieces);
    free(whose);
}

void gmr__python_copy_chains(struct gmr__python *python, struct gmr__py_chain **chains, size_t count)
{
    for (size_t first = 0; first < count; first += ROUND)
        copy_round(python, chains + first, count - first < ROUND ? count - first : ROUND);
}

void gmr__python_language(struct gmr__python *python, const struct gmr__py_chain *chain,
                          struct gmr__language_stack *language)
{
    *language = (struct gmr__language_stack){.language = "python",
                                             .lasts = true,
                                             .interpreter_low = python->eval_low,
                                             .interpreter_high = python->eval_high,
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
