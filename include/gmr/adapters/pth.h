/*
 * gmr/adapters/pth.h - threads of GNU Pth 2.0.7.
 *
 * Call gmr_pth_register() once, after pth_init(). Pth keeps its threads in queues that its shared library exports; they are described here and
 * read from outside: nothing is done per thread. Offsets are those of Pth 2.0.7, its last release, configured for makecontext
 * on a 64-bit Linux (as in Debian).
 */
#ifndef GMR_ADAPTERS_PTH_H
#define GMR_ADAPTERS_PTH_H

#include <errno.h>
#include <pth.h>

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

/* struct pth_pqueue_st: the first thread of a ring, and how many. */
struct gmr_pth_queue {
    void *head;
    int count;
};
extern struct gmr_pth_queue __pth_NQ, __pth_RQ, __pth_WQ, __pth_SQ, __pth_DQ;
extern pth_t __pth_current;

static inline int gmr_pth_register(void)
{
    static struct gmr_green_list rings, single;
    static pth_t *current = &__pth_current;
    static const size_t one = 1;
    static const struct gmr_green_list_state states[] = {
        {0, GMR_GREEN_RUNNING, NULL}, /* PTH_STATE_SCHEDULER */
        {1, GMR_GREEN_NEW, NULL},           {2, GMR_GREEN_RUNNABLE, NULL},
        {3, GMR_GREEN_WAITING, "an event"}, {4, GMR_GREEN_DONE, NULL},
    };
    struct gmr_pth_queue *queues[] = {&__pth_NQ, &__pth_RQ, &__pth_WQ, &__pth_SQ, &__pth_DQ};
    int status = 0;
    size_t i;
    rings.version = GMR_LIST_VERSION;
    rings.kind = GMR_LIST_LINKED;
    rings.flags = GMR_LIST_NAME_INLINE | GMR_LIST_BOUND;
    rings.state_bytes = 4;
    rings.stack_size_bytes = 4;
    rings.name = "pth";
    rings.layout = gmr_green_layout(GMR_LAYOUT_UCONTEXT);
    rings.off_link = 0;
    rings.off_context = 264;
    rings.off_stack = 1376;
    rings.off_stack_size = 1384;
    rings.off_name = 24;
    rings.off_state = 68;
    rings.off_entry = 1408;
    rings.off_argument = 1416;
    rings.off_switches = 64;
    rings.off_id = rings.off_wait = rings.off_stack_object = GMR_NO_MEMBER;
    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        rings.states[i] = states[i];
    single = rings;
    single.kind = GMR_LIST_POINTERS;
    for (i = 0; i < sizeof(single.states) / sizeof(single.states[0]); i++)
        single.states[i].state = single.states[i].state ? GMR_GREEN_RUNNING : 0; /* the one that runs now */
    for (i = 0; i < sizeof(queues) / sizeof(queues[0]) && !status; i++)
        status = gmr_green_list_add(&rings, &queues[i]->head, NULL);
    return status ? status : gmr_green_list_add(&single, &current, &one);
}

#ifdef __cplusplus
}
#endif

#endif
