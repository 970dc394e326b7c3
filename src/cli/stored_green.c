/*
 * cli/stored_green.c - the green threads of a stored report, as text.
 *
 * The gmr command only. Fills the list that section/green_text.c prints from JSON instead of from a set of green threads.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/stored.h"
#include "section/green_list.h"

struct stored_green {
    const json_t *threads, *stacks;
    json_t *words; /* the kinds and wait reasons, each once: grouping compares pointers */
};

/* The same text, the same pointer. NULL for NULL, and where there is no memory. */
static const char *word(const struct stored_green *stored, const char *text)
{
    if (!text)
        return NULL;
    if (!json_object_get(stored->words, text))
        json_object_set_new_nocheck(stored->words, text, json_true());
    return json_object_iter_key(json_object_iter_at(stored->words, text));
}

static uint8_t state_of(const char *name)
{
    for (int state = GMR__GREEN_UNKNOWN; name && state <= GMR__GREEN_DONE; state++) {
        if (strcmp(gmr__green_state_name((enum gmr__green_state)state), name) == 0)
            return (uint8_t)state;
    }
    return GMR__GREEN_UNKNOWN;
}

static uint64_t age_ns(const json_t *thread)
{
    double seconds = json_number_value(json_object_get(thread, "age_seconds"));
    return seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds * 1e6 + 0.5) * 1000 : 0;
}

/* Its registers aren't stored, but how much of the stack they left. */
static void put_use(const json_t *stored, struct gmr__green_thread *thread)
{
    int64_t size = gmr__stored_int(stored, "stack_bytes", 0), used = gmr__stored_int(stored, "stack_used_bytes", -1);
    if (size <= 0 || used < 0 || used > size)
        return;
    thread->stack_low = 1;
    thread->stack_high = (uint64_t)size + 1;
    thread->regs.value[gmr__arch_sp] = thread->stack_high - (uint64_t)used;
    thread->regs.valid = (uint64_t)1 << gmr__arch_sp;
}

static void thread_at(const struct gmr__green_list *list, uint32_t index, struct gmr__green_thread *thread)
{
    const struct stored_green *stored = list->userdata;
    const json_t *from = json_array_get(stored->threads, index);
    const char *kind = gmr__stored_string(from, "kind");
    uint64_t age = age_ns(from);
    *thread = (struct gmr__green_thread){
        .id = (uint64_t)gmr__stored_int(from, "id", 0),
        .kind = kind ? kind : "unknown",
        .name = gmr__stored_string(from, "name"),
        .state = (enum gmr__green_state)state_of(gmr__stored_string(from, "state")),
        .wait_reason = gmr__stored_string(from, "wait_reason"),
        .wait_object = gmr__stored_hex(from, "wait_object"),
        .since_ns = age ? list->now_ns - age : 0,
        .idle = gmr__stored_true(from, "idle"),
        .discovered = gmr__stored_true(from, "discovered"),
        .approximate = gmr__stored_true(from, "approximate"),
        .carrier = (pid_t)gmr__stored_int(from, "thread", 0),
        .problem = gmr__stored_string(from, "problem"),
        .address = index, /* for the names below */
    };
    put_use(from, thread);
}

static const json_t *stored_of(const struct gmr__green_list *list, const struct gmr__green_thread *thread)
{
    const struct stored_green *stored = list->userdata;
    return json_array_get(stored->threads, (size_t)thread->address);
}

static const char *entry_name(const struct gmr__green_list *list, const struct gmr__green_thread *thread, int32_t stack)
{
    return gmr__stored_string(json_object_get(stored_of(list, thread), "entry"), "function");
}

static const char *creator_name(const struct gmr__green_list *list, const struct gmr__green_thread *thread)
{
    return gmr__stored_string(json_array_get(json_object_get(stored_of(list, thread), "created_by"), 0), "function");
}

static void put_stack(struct gmr_writer *w, const struct gmr__green_list *list, int32_t stack)
{
    const struct stored_green *stored = list->userdata;
    gmr__stored_stack(w, stored->stacks, stack);
}

static void fill(struct gmr__green_list *list, const struct stored_green *stored)
{
    const json_t *thread;
    size_t i;
    json_array_foreach(stored->threads, i, thread)
    {
        int64_t stack = gmr__stored_int(thread, "stack", -1);
        const char *kind = gmr__stored_string(thread, "kind");
        struct gmr__green_item *item = &list->items[list->count++];
        *item = (struct gmr__green_item){
            .index = (uint32_t)i,
            .stack = stack >= 0 && stack <= INT32_MAX ? (int32_t)stack : -1,
            .kind = word(stored, kind ? kind : "unknown"),
            .wait = word(stored, gmr__stored_string(thread, "wait_reason")),
            .state = state_of(gmr__stored_string(thread, "state")),
            .tight = gmr__stored_true(thread, "stack_nearly_full"),
        };
        list->per_state[item->state & 15]++;
        list->idle += gmr__stored_true(thread, "idle");
        list->tight += item->tight;
    }
}

bool gmr__stored_green_text(struct gmr_writer *w, const json_t *body, const json_t *root)
{
    static const struct gmr__green_filter everything;
    struct stored_green stored = {.threads = body, .stacks = json_object_get(root, "stacks"), .words = json_object()};
    struct gmr__green_list list = {
        .filter = &everything,
        .items = malloc((json_array_size(body) + 1) * sizeof(*list.items)),
        .now_ns = UINT64_MAX / 2,
        .at = thread_at,
        .entry_name = entry_name,
        .creator_name = creator_name,
        .put_stack = put_stack,
        .userdata = &stored,
    };
    bool done = list.items && stored.words && json_array_size(body) < UINT32_MAX;
    if (done) {
        fill(&list, &stored);
        gmr__green_text(w, &list);
    }
    free(list.items);
    json_decref(stored.words);
    return done;
}
