/*
 * section/recursion_as.c - finds frames that repeat themselves.
 *
 * Both halves, any context: async-signal-safe. A stack that overflowed has a thousand frames of one function, or of a few that call each other; who reads
 * it wants to see one round, and what began it.
 */
#include "section/recursion.h"

#define LONGEST_PERIOD 24
#define FEWEST_ROUNDS 4
#define FEWEST_LEFT_OUT 6

size_t gmr__repeated_frames(const uint64_t *ids, size_t count, size_t at, size_t *period)
{
    for (size_t p = 1; p <= LONGEST_PERIOD && p < count - at; p++) {
        size_t same = 0;
        while (at + same + p < count && ids[at + same] == ids[at + same + p])
            same++;
        size_t rounds = same / p;
        if (rounds + 1 >= FEWEST_ROUNDS && rounds * p >= FEWEST_LEFT_OUT) {
            *period = p;
            return rounds * p;
        }
    }
    return 0;
}
