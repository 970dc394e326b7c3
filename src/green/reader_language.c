/*
 * green/reader_language.c - frames of a language for records of the registry: told by the program, or found by a reader built in here.
 *
 * Inspector only, in finish. Chains are bounded, and a chain that runs in a circle is left.
 */
#include <string.h>

#include "gmr/green.h"
#include "green/reader.h"

#define MAX_FRAMES 1000

/* struct gmr_green_frame, linked from *head outwards. */
static void read_told(struct gmr__green *green, struct gmr__reader *reader, uint64_t head,
                      struct gmr__language_stack *language)
{
    struct gmr__language_frame *frames = gmr__green_alloc(green, MAX_FRAMES * sizeof(*frames));
    uint64_t at = 0, mark = 0;
    uint32_t count = 0, power = 1, steps = 0;
    if (!frames || gmr__green_read(green, head, &at, sizeof(at)) < 0) {
        language->end = "its frames can't be read";
        return;
    }
    while (at && count < MAX_FRAMES) {
        struct gmr_green_frame frame;
        if (at == mark || gmr__green_read(green, at, &frame, sizeof(frame)) < 0) {
            language->end = at == mark ? "its frames run in a circle" : "its frames can't be read further";
            break;
        }
        if (++steps == power) { /* Brent's cycle detection */
            mark = at;
            power *= 2;
            steps = 0;
        }
        frames[count++] = (struct gmr__language_frame){
            .function = gmr__reader_string(green, reader, (uint64_t)(uintptr_t)frame.function),
            .file = gmr__reader_string(green, reader, (uint64_t)(uintptr_t)frame.file),
            .line = frame.line > 0 ? frame.line : 0,
            .pc = (uint64_t)(uintptr_t)frame.resume,
            .pc_is_entry = frame.flags & GMR_FRAME_ENTRY,
        };
        at = (uint64_t)(uintptr_t)frame.outer;
    }
    if (at && count == MAX_FRAMES)
        language->end = "it has more than 1,000 frames";
    language->frames = frames;
    language->frame_count = count;
}

void gmr__reader_language(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__detail *detail,
                          struct gmr__green_thread *thread)
{
    const char *name = gmr__reader_string(green, reader, detail->language);
    if (!name)
        return;
    if (detail->language_kind == GMR__LANGUAGE_TOLD) {
        thread->language.language = name;
        read_told(green, reader, detail->language_state, &thread->language);
    } else {
        thread->problem = "its language is not one that this gmr can read";
    }
}
