/*
 * section/recursion.h - recursion in a stack, so that text can show it once. Data keeps every frame.
 */
#ifndef GMR_SECTION_RECURSION_H
#define GMR_SECTION_RECURSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both halves, async-signal-safe: what the frames at `at` do, do those behind them, again and again? ids: the same for the same frame. How many frames behind
 * the first *period stand for nothing new; 0: too few to be left out. */
size_t gmr__repeated_frames(const uint64_t *ids, size_t count, size_t at, size_t *period);

struct gmr_writer;
struct gmr__line;

/* The inspector: one stack, line by line, twice: first every line is seen, then asked for. Zeroed at the beginning. */
struct gmr__recursion {
    uint64_t *ids;
    size_t count, cap;
    size_t at, from, to, period; /* lines [from, to) are left out */
    bool blind;                  /* no memory: everything is shown */
};
void gmr__recursion_see(struct gmr__recursion *recursion, const struct gmr__line *line);
/* False: this line is left out; where such lines begin, a line says so. */
bool gmr__recursion_shows(struct gmr__recursion *recursion, struct gmr_writer *w);
void gmr__recursion_end(struct gmr__recursion *recursion);

#endif
