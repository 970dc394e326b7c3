/*
 * gmr/adapters/st.h - threads of State Threads 1.9.
 *
 * Include it behind <st.h>: it stands in for st_init() and st_thread_create(), so that a program's source need not change otherwise. Threads take
 * themselves out when they end, by st_thread_exit() or by returning. Offsets are those of State Threads 1.9, its last
 * release. One OS thread, as the library wants it; up to GMR_ST_THREADS threads are shown.
 */
#ifndef GMR_ADAPTERS_ST_H
#define GMR_ADAPTERS_ST_H

#include <stdlib.h>
#include <string.h>

#include <st.h>

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef GMR_ST_THREADS
#define GMR_ST_THREADS 65536
#endif

struct gmr_st_start {
    void *(*start)(void *);
    void *argument;
};

struct gmr_st_state {
    st_thread_t threads[GMR_ST_THREADS]; /* holes are NULL */
    st_thread_t *first;
    size_t used;
    int key;
    struct gmr_green_list list;
};

static inline struct gmr_st_state *gmr_st_state(void)
{
    static struct gmr_st_state state;
    return &state;
}

static inline void gmr_st_remove(void *place)
{
    if (place)
        *(st_thread_t *)place = NULL;
}

static inline void gmr_st_insert(st_thread_t thread)
{
    struct gmr_st_state *state = gmr_st_state();
    size_t i;
    for (i = 0; i < GMR_ST_THREADS; i++) {
        if (state->threads[i])
            continue;
        state->threads[i] = thread;
        if (i >= state->used)
            state->used = i + 1;
        st_thread_setspecific(state->key, &state->threads[i]);
        return;
    }
}

/* st_init(), and what makes the main thread known. */
static inline int gmr_st_init(void)
{
    static const struct gmr_green_list_state states[] = {
        {0, GMR_GREEN_RUNNING, NULL},      {1, GMR_GREEN_RUNNABLE, NULL},         {2, GMR_GREEN_WAITING, "I/O"},
        {3, GMR_GREEN_WAITING, "a mutex"}, {4, GMR_GREEN_WAITING, "a condition"}, {5, GMR_GREEN_WAITING, "sleep"},
        {6, GMR_GREEN_DONE, NULL},         {7, GMR_GREEN_SUSPENDED, NULL},
    };
    struct gmr_st_state *state = gmr_st_state();
    struct gmr_green_list *list = &state->list;
    size_t i;
    int status = st_init();
    if (status != 0 || state->first)
        return status;
    st_key_create(&state->key, gmr_st_remove);
    list->version = GMR_LIST_VERSION;
    list->kind = GMR_LIST_POINTERS;
    list->state_bytes = 4;
    list->name = "state-threads";
    list->layout = gmr_green_layout(GMR_LAYOUT_ST_JMP_BUF);
    list->off_state = 0;
    list->off_entry = 8;
    list->off_argument = 16;
    list->off_context = 120;
    list->flags = GMR_LIST_STACK_END | GMR_LIST_BOUND;
    list->off_stack_object = 32;
    list->off_stack = 32;
    list->off_stack_size = 40;
    list->off_link = list->off_name = list->off_id = list->off_wait = list->off_switches = GMR_NO_MEMBER;
    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        list->states[i] = states[i];
    state->first = state->threads;
    gmr_st_insert(st_thread_self());
    gmr_green_list_add(list, &state->first, &state->used);
    return 0;
}

static inline void *gmr_st_run(void *both)
{
    struct gmr_st_start start = *(struct gmr_st_start *)both;
    char *thread = (char *)st_thread_self();
    free(both);
    /* The library has read them, for the last time: from here on they tell the reader what was asked for. */
    memcpy(thread + 8, &start.start, sizeof(start.start));
    memcpy(thread + 16, &start.argument, sizeof(start.argument));
    gmr_st_insert(st_thread_self());
    return start.start(start.argument);
}

static inline st_thread_t gmr_st_thread_create(void *(*start)(void *), void *argument, int joinable, int stack_size)
{
    struct gmr_st_start *both = (struct gmr_st_start *)malloc(sizeof(*both));
    st_thread_t thread;
    if (!both)
        return NULL;
    both->start = start;
    both->argument = argument;
    thread = st_thread_create(gmr_st_run, both, joinable, stack_size);
    if (!thread)
        free(both);
    return thread;
}

#ifndef GMR_ST_NO_NAMES
#define st_init gmr_st_init
#define st_thread_create gmr_st_thread_create
#endif

#ifdef __cplusplus
}
#endif

#endif
