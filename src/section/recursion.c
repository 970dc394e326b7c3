/*
 * section/recursion.c - the lines of a stack that text leaves out because they repeat those above.
 *
 * Inspector only. Called where a stack is written as text: of a process, a core file or a stored report.
 */
#include "section/recursion.h"

#include <stdlib.h>

#include "section/frames.h"
#include "sys/grow.h"

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; text && *text; text++)
        hash = mix(hash, (unsigned char)*text);
    return mix(hash, 0);
}

void gmr__recursion_see(struct gmr__recursion *recursion, const struct gmr__line *line)
{
    if (recursion->blind || !GMR__GROW(recursion->ids, recursion->cap, recursion->count + 1)) {
        recursion->blind = true;
        return;
    }
    uint64_t hash = mix(line->pc, (uint64_t)(unsigned)line->line << 8 | line->inlined << 4 | line->tail_call << 3 |
                                      line->guessed << 2 | line->signal_frame << 1 | (line->language != NULL));
    recursion->ids[recursion->count++] = mix_text(mix_text(hash, line->function), line->file);
}

bool gmr__recursion_shows(struct gmr__recursion *recursion, struct gmr_writer *w)
{
    size_t at = recursion->at++;
    if (recursion->blind || at >= recursion->count)
        return true;
    if (at >= recursion->to) {
        size_t left_out = gmr__repeated_frames(recursion->ids, recursion->count, at, &recursion->period);
        if (left_out) {
            recursion->from = at + recursion->period;
            recursion->to = recursion->from + left_out;
        }
    }
    if (at < recursion->from || at >= recursion->to)
        return true;
    if (at == recursion->from && recursion->period == 1)
        gmr__raw_format(w, "(... %zu more of the same frame ...)\n", recursion->to - at);
    else if (at == recursion->from)
        gmr__raw_format(w, "(... %zu more of the same %zu frames ...)\n", recursion->to - at, recursion->period);
    return false;
}

void gmr__recursion_end(struct gmr__recursion *recursion)
{
    free(recursion->ids);
}
