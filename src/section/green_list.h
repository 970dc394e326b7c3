/*
 * section/green_list.h - the green threads to show, with their stacks numbered; shared by section/green*.c.
 */
#ifndef GMR_SECTION_GREEN_LIST_H
#define GMR_SECTION_GREEN_LIST_H

#include "section/frames.h"
#include "section/green.h"

/* One to show: what grouping needs at hand. */
struct gmr__green_item {
    uint32_t index;          /* in the set */
    int32_t stack;           /* number in the report, -1: none */
    const char *kind, *wait; /* the set's: same text, same pointer */
    uint8_t state;
    bool tight; /* its stack is close to its end */
};

struct gmr__green_list {
    struct gmr__analysis *analysis;
    const struct gmr__green *green;
    const struct gmr__green_filter *filter;
    struct gmr__green_item *items;
    size_t count;
    size_t per_state[16];
    size_t idle, filtered, tight;
    uint64_t now_ns;
    /* Where the text takes the rest from. creator_name: of creator[0]. */
    void (*at)(const struct gmr__green_list *list, uint32_t index, struct gmr__green_thread *thread);
    const char *(*entry_name)(const struct gmr__green_list *list, const struct gmr__green_thread *thread,
                              int32_t stack);
    const char *(*creator_name)(const struct gmr__green_list *list, const struct gmr__green_thread *thread);
    void (*put_stack)(struct gmr_writer *w, const struct gmr__green_list *list, int32_t stack);
    void *userdata;
};

/* Bytes in use and in all; false if not known. */
bool gmr__green_stack_use(const struct gmr__green_thread *thread, uint64_t *used, uint64_t *size);
/* Is it close to its stack's end? */
bool gmr__green_tight(const struct gmr__green_thread *thread);
/* Since when it is in its state, in ns before the copy was made; 0: not known. */
uint64_t gmr__green_age(const struct gmr__green_list *list, const struct gmr__green_thread *thread);
const char *gmr__green_function(const struct gmr__green_list *list, uint64_t pc, bool entry);

/* section/green_text.c */
void gmr__green_text(struct gmr_writer *w, struct gmr__green_list *list);

#endif
