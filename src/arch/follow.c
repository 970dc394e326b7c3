/*
 * arch/follow.c - follows code to where it returns: the queue of branches, the values of registers, the ways out.
 *
 * Inspector only; plain data handling on code that comes from the target: bounded in instructions and branches. Called by x86_64_exits.c
 * or aarch64_exits.c, which know the instructions.
 */
#include "arch/follow.h"

#include <stdlib.h>

#define MAX_INSNS 3000
#define MORE_INSNS 300 /* looked at once a way out has been found */
#define MAX_BRANCHES 256
#define VISITED_SLOTS 8192
#define WINDOW_BYTES 512
#define MAX_OFFSET (1 << 24)

struct gmr__follow {
    gmr__read_code read;
    void *userdata;
    unsigned char window[WINDOW_BYTES];
    uint64_t window_at;
    size_t window_bytes;
    struct gmr__way branches[MAX_BRANCHES];
    unsigned branch_count, insns, exit_count;
    uint64_t visited[VISITED_SLOTS];
    struct gmr__exit *exits;
    struct gmr__exit jump;
    bool has_jump;
};

size_t gmr__follow_code(struct gmr__follow *f, uint64_t pc, size_t bytes, const unsigned char **code)
{
    if (pc < f->window_at || pc - f->window_at + bytes > f->window_bytes) {
        f->window_at = pc;
        f->window_bytes = f->read(f->userdata, pc, f->window, WINDOW_BYTES);
    }
    *code = f->window + (pc - f->window_at);
    return f->window_bytes - (size_t)(pc - f->window_at);
}

static bool first_visit(struct gmr__follow *f, uint64_t pc)
{
    size_t at = (size_t)(pc * UINT64_C(0x9e3779b97f4a7c15) >> 40) % VISITED_SLOTS;
    while (f->visited[at] && f->visited[at] != pc)
        at = (at + 1) % VISITED_SLOTS;
    if (f->visited[at])
        return false;
    f->visited[at] = pc;
    return true;
}

/* ---------------------------------------------------------------------------------------- values */

struct gmr__term gmr__term_plus(struct gmr__term term, int64_t by)
{
    int32_t *part = term.memory ? &term.add : &term.offset;
    int64_t sum = *part + by;
    term.known = term.known && sum < MAX_OFFSET && sum > -MAX_OFFSET;
    *part = term.known ? (int32_t)sum : 0;
    return term;
}

struct gmr__term gmr__term_word(struct gmr__term place, uint8_t reg)
{
    if (place.known && !place.memory && place.base == gmr__arch_sp && place.offset < 0)
        return (struct gmr__term){.base = reg, .known = true};
    if (!place.known || place.memory)
        return (struct gmr__term){0};
    place.memory = true;
    return place;
}

bool gmr__term_unchanged(const struct gmr__term *term, uint8_t reg)
{
    return !term->known || (!term->memory && term->base == reg && term->offset == 0);
}

static bool same(const struct gmr__term *a, const struct gmr__term *b)
{
    return a->base == b->base && a->memory == b->memory && a->offset == b->offset && a->add == b->add;
}

/* ---------------------------------------------------------------------------------------- ways */

static void add(struct gmr__follow *f, const struct gmr__exit *exit)
{
    if (f->exit_count == GMR__MAX_EXITS || !exit->address.known || !exit->sp.known)
        return;
    for (unsigned i = 0; i < f->exit_count; i++)
        if (same(&f->exits[i].address, &exit->address))
            return;
    f->exits[f->exit_count++] = *exit;
    if (f->insns < MAX_INSNS - MORE_INSNS)
        f->insns = MAX_INSNS - MORE_INSNS;
}

void gmr__follow_exit(struct gmr__follow *f, const struct gmr__exit *exit)
{
    if (!exit->by_jump) {
        add(f, exit);
        return;
    }
    f->jump = *exit;
    f->has_jump = true;
}

void gmr__follow_branch(struct gmr__follow *f, const struct gmr__way *way, uint64_t pc)
{
    if (f->branch_count == MAX_BRANCHES)
        return;
    f->branches[f->branch_count] = *way;
    f->branches[f->branch_count++].pc = pc;
}

unsigned gmr__follow(gmr__read_code read, void *userdata, const struct gmr__way *start, gmr__follow_step step,
                     struct gmr__exit exits[GMR__MAX_EXITS])
{
    struct gmr__follow *f = calloc(1, sizeof(*f));
    if (!f)
        return 0;
    f->read = read;
    f->userdata = userdata;
    f->exits = exits;
    gmr__follow_branch(f, start, start->pc);
    /* Branches not taken wait their turn, the oldest first: so the nearest way out comes first. */
    for (unsigned at = 0; at < f->branch_count && f->exit_count < GMR__MAX_EXITS; at++) {
        struct gmr__way way = f->branches[at];
        while (f->insns++ < MAX_INSNS && first_visit(f, way.pc))
            if (!step(f, &way))
                break;
    }
    if (f->has_jump)
        add(f, &f->jump);
    unsigned count = f->exit_count;
    free(f);
    return count;
}
