/*
 * section/frames.h - a stack as lines of text or as data. Shared by the sections that show stacks.
 *
 * Inspector only.
 */
#ifndef GMR_SECTION_FRAMES_H
#define GMR_SECTION_FRAMES_H

#include "section/analysis.h"

/* One line of a stack: a frame, or a call that the compiler put into it, or a frame of a language. NULL or 0: not known. */
struct gmr__line {
    uint64_t pc;
    const char *function;
    uint64_t offset; /* of pc from the function's start; has_offset tells */
    bool has_offset;
    const struct gmr__module *module;
    const char *file;
    int line, column;
    const char *language; /* NULL: native */
    const char *problem;  /* why the module's file does not name it */
    bool inlined, tail_call, guessed, signal_frame;
    bool
        interpreter; /* the interpreter's own C code, beside the frames of its language that tell more: text counts it */
};

/* Every line, innermost first. emit returns false to end the walk. */
void gmr__stack_lines(const struct gmr__analysis *analysis, struct gmr__report_stack stack,
                      bool (*emit)(void *userdata, const struct gmr__line *line), void *userdata);
/* Why it ends where it does; NULL: at the outermost frame. */
const char *gmr__stack_end(struct gmr__report_stack stack);

/* Text: one line a frame, the source line under it, the reason where it ends early. Only for gmr__writer_text. */
void gmr__stack_text(struct gmr_writer *w, const struct gmr__analysis *analysis, struct gmr__report_stack stack);
/* Data: the members "frames" and, where it ends early, "end" of a map that the caller has begun. */
void gmr__stack_data(struct gmr_writer *w, const struct gmr__analysis *analysis, struct gmr__report_stack stack);

/* One line of a stack as text, and the text of its source line (NULL: not at hand). */
void gmr__line_text(struct gmr_writer *w, const struct gmr__line *line, const char *source);
/* How many lines of the interpreter's own were left out; nothing for 0. */
void gmr__folded_text(struct gmr_writer *w, size_t folded);
/* What stands below the last line. any: there was a line; end: NULL or why there are no more. */
void gmr__stack_end_text(struct gmr_writer *w, const char *end, bool any);

/* "------" TITLE centred in 60 "------": the line above a stack. */
void gmr__stack_banner(struct gmr_writer *w, const char *title);
/* Raw text: bytes of the target's (names) with control characters and bad UTF-8 made visible. */
void gmr__raw_text(struct gmr_writer *w, const char *text);
void gmr__raw_format(struct gmr_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
