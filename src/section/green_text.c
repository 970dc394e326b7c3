/*
 * section/green_text.c - green threads as text: identical ones together, one stack each.
 *
 * Inspector only; also of a stored report (cli/stored_green.c), hence the functions in the list. First line: how many in which state, and what is not shown. Then for each group a banner as oslo.reports prints it, what
 * its members have in common, and the stack. Sorting indexes costs far less than printing a million stacks would.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "section/green_list.h"

#define MAX_RANGES 12
#define TEXT_BYTES 1200

struct group {
    size_t first, count; /* in the sorted items */
};

struct text {
    char bytes[TEXT_BYTES];
    size_t used;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text->bytes + text->used, sizeof(text->bytes) - text->used, format, arguments);
    va_end(arguments);
    if (n > 0)
        text->used += (size_t)n < sizeof(text->bytes) - text->used ? (size_t)n : sizeof(text->bytes) - text->used - 1;
}

static void put(struct gmr_writer *w, struct text *text)
{
    gmr__raw_text(w, text->bytes);
    gmr__raw(w, "\n", 1);
}

/* 1.5 s, 12 min, ... */
static void add_time(struct text *text, uint64_t ns)
{
    if (ns < 1000000000u)
        add(text, "%llu ms", (unsigned long long)(ns / 1000000));
    else if (ns < 120000000000u)
        add(text, "%.1f s", (double)(ns / 100000000u) / 10);
    else if (ns < 7200000000000u)
        add(text, "%llu min", (unsigned long long)(ns / 60000000000u));
    else
        add(text, "%llu h", (unsigned long long)(ns / 3600000000000u));
}

static void add_bytes(struct text *text, uint64_t bytes)
{
    if (bytes < 10240)
        add(text, "%llu bytes", (unsigned long long)bytes);
    else if (bytes < (10u << 20))
        add(text, "%llu KiB", (unsigned long long)(bytes >> 10));
    else
        add(text, "%llu MiB", (unsigned long long)(bytes >> 20));
}

/* ------------------------------------------------------------------------------------------------ groups */

static int compare_pointers(const void *a, const void *b)
{
    return (uintptr_t)a < (uintptr_t)b ? -1 : (uintptr_t)a > (uintptr_t)b;
}

/* What a group has in common. */
static int compare_kin(const struct gmr__green_item *x, const struct gmr__green_item *y)
{
    if (x->stack != y->stack)
        return x->stack < y->stack ? -1 : 1;
    if (x->state != y->state)
        return x->state < y->state ? -1 : 1;
    int order = compare_pointers(x->wait, y->wait);
    return order ? order : compare_pointers(x->kind, y->kind);
}

static int compare_items(const void *a, const void *b)
{
    const struct gmr__green_item *x = a, *y = b;
    int order = compare_kin(x, y);
    return order ? order : x->index < y->index ? -1 : x->index > y->index;
}

static const struct gmr__green_item
    *sorted_items; /* qsort hands no argument through; the inspector is single-threaded */

static int compare_groups(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    const struct gmr__green_item *i = &sorted_items[x->first], *j = &sorted_items[y->first];
    bool runs_x = i->state == GMR__GREEN_RUNNING, runs_y = j->state == GMR__GREEN_RUNNING;
    if (runs_x != runs_y)
        return runs_x ? -1 : 1;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return i->index < j->index ? -1 : i->index > j->index;
}

static int by_index(const void *a, const void *b)
{
    const struct gmr__green_item *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static struct group *make_groups(struct gmr__green_list *list, size_t *count)
{
    struct group *groups = malloc((list->count + 1) * sizeof(*groups));
    size_t n = 0;
    if (!groups)
        return NULL;
    bool each = list->filter->each;
    qsort(list->items, list->count, sizeof(*list->items), each ? by_index : compare_items);
    for (size_t i = 0; i < list->count; i++) {
        if (!each && i && compare_kin(&list->items[i - 1], &list->items[i]) == 0)
            groups[n - 1].count++;
        else
            groups[n++] = (struct group){i, 1};
    }
    sorted_items = list->items;
    if (!each)
        qsort(groups, n, sizeof(*groups), compare_groups);
    *count = n;
    return groups;
}

/* ------------------------------------------------------------------------------------------------ one group */

static void add_ids(struct text *text, const struct gmr__green_list *list, const struct group *group)
{
    struct gmr__green_thread t;
    unsigned ranges = 0;
    uint64_t low = 0, high = 0;
    size_t shown = 0;
    for (size_t i = 0; i <= group->count; i++) {
        if (i < group->count) {
            list->at(list, list->items[group->first + i].index, &t);
            if (i && t.id == high + 1) {
                high++;
                continue;
            }
        }
        if (i) {
            add(text, high == low ? "%s%llu" : "%s%llu-%llu", ranges ? ", " : "", (unsigned long long)low,
                (unsigned long long)high);
            shown = i;
            if (++ranges == MAX_RANGES)
                break;
        }
        low = high = t.id;
    }
    if (shown < group->count)
        add(text, " and %zu more", group->count - shown);
}

static int compare_ages(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* How long they have been in their state: the longest, and the median. */
static void add_ages(struct text *text, const struct gmr__green_list *list, const struct group *group)
{
    uint64_t *ages = malloc(group->count * sizeof(*ages));
    size_t known = 0;
    for (size_t i = 0; ages && i < group->count; i++) {
        struct gmr__green_thread t;
        list->at(list, list->items[group->first + i].index, &t);
        uint64_t age = gmr__green_age(list, &t);
        if (age)
            ages[known++] = age;
    }
    if (known) {
        qsort(ages, known, sizeof(*ages), compare_ages);
        add(text, " for ");
        add_time(text, ages[known - 1]);
        if (group->count > 1) {
            add(text, " at most, ");
            add_time(text, ages[known / 2]);
            add(text, " in the middle");
        }
    }
    free(ages);
}

static void put_banner(struct gmr_writer *w, const struct gmr__green_list *list, const struct group *group)
{
    struct gmr__green_thread t;
    char title[200];
    list->at(list, list->items[group->first].index, &t);
    if (group->count > 1)
        snprintf(title, sizeof(title), " %zu Green Threads ", group->count);
    else if (t.name && t.name[0])
        snprintf(title, sizeof(title), " Green Thread #%llu %.100s ", (unsigned long long)t.id, t.name);
    else
        snprintf(title, sizeof(title), " Green Thread #%llu ", (unsigned long long)t.id);
    gmr__stack_banner(w, title);
}

/* Names of a group, where they are few. */
static void add_names(struct text *text, const struct gmr__green_list *list, const struct group *group)
{
    const char *last = NULL;
    unsigned shown = 0;
    for (size_t i = 0; i < group->count && shown < 8; i++) {
        struct gmr__green_thread t;
        list->at(list, list->items[group->first + i].index, &t);
        if (!t.name || t.name == last)
            continue;
        add(text, "%s%.60s", shown ? ", " : "; named ", t.name);
        last = t.name;
        shown++;
    }
    if (shown == 8)
        add(text, ", ...");
}

static void put_facts(struct gmr_writer *w, const struct gmr__green_list *list, const struct group *group)
{
    struct gmr__green_thread t;
    struct text text = {.used = 0};
    uint64_t used, size;
    list->at(list, list->items[group->first].index, &t);
    add(&text, "%s, %s", t.kind, gmr__green_state_name(t.state));
    if (t.wait_reason)
        add(&text, ": %.200s", t.wait_reason);
    if (t.wait_object && group->count == 1)
        add(&text, " (0x%llx)", (unsigned long long)t.wait_object);
    add_ages(&text, list, group);
    if (t.carrier && group->count == 1)
        add(&text, "; thread %d", t.carrier);
    const char *entry = group->count == 1 ? list->entry_name(list, &t, list->items[group->first].stack) : NULL;
    if (entry)
        add(&text, "; started in %.200s", entry);
    if (group->count == 1 && gmr__green_stack_use(&t, &used, &size)) {
        add(&text, "; stack ");
        add_bytes(&text, size);
        add(&text, ", %llu %% used", (unsigned long long)(used * 100 / size));
    }
    add(&text, "%s%s", t.discovered ? "; discovered" : "", t.approximate ? "; approximate" : "");
    put(w, &text);
    if (group->count > 1) {
        struct text ids = {.used = 0};
        add(&ids, "ids ");
        add_ids(&ids, list, group);
        add_names(&ids, list, group);
        put(w, &ids);
    }
    const char *creator = group->count == 1 ? list->creator_name(list, &t) : NULL;
    if (creator) {
        struct text by = {.used = 0};
        add(&by, "created by %.200s", creator);
        put(w, &by);
    }
}

static void put_tight(struct gmr_writer *w, const struct gmr__green_list *list, const struct group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        if (!list->items[group->first + i].tight)
            continue;
        struct gmr__green_thread t;
        struct text text = {.used = 0};
        uint64_t used = 0, size = 0;
        list->at(list, list->items[group->first + i].index, &t);
        gmr__green_stack_use(&t, &used, &size);
        add(&text, "!! the stack of #%llu is close to its end: ", (unsigned long long)t.id);
        add_bytes(&text, size - used);
        add(&text, " of ");
        add_bytes(&text, size);
        add(&text, " are left");
        put(w, &text);
        return; /* one of a group tells; the first line counts them */
    }
}

static void put_group(struct gmr_writer *w, const struct gmr__green_list *list, const struct group *group)
{
    const struct gmr__green_item *item = &list->items[group->first];
    struct gmr__green_thread t;
    put_banner(w, list, group);
    put_facts(w, list, group);
    put_tight(w, list, group);
    list->at(list, item->index, &t);
    if (item->stack >= 0)
        list->put_stack(w, list, item->stack);
    if (t.problem) {
        struct text text = {.used = 0};
        add(&text, "(%s%s)", group->count > 1 ? "the first of them: " : "", t.problem);
        put(w, &text);
    }
    gmr__raw(w, "\n", 1);
}

/* ------------------------------------------------------------------------------------------------ the section */

static void put_summary(struct gmr_writer *w, const struct gmr__green_list *list, size_t groups, size_t shown)
{
    struct text text = {.used = 0};
    const char *separator = ": ";
    add(&text, "%zu green thread%s", list->count, list->count == 1 ? "" : "s");
    for (int state = 0; state <= GMR__GREEN_DONE; state++) {
        if (!list->per_state[state])
            continue;
        add(&text, "%s%zu %s", separator, list->per_state[state], gmr__green_state_name((enum gmr__green_state)state));
        separator = ", ";
    }
    if (groups > 1 && groups < list->count)
        add(&text, "; %zu different stacks", groups);
    put(w, &text);
    struct text more = {.used = 0};
    if (list->filtered)
        add(&more, "%zu more do not match the filter. ", list->filtered);
    if (list->idle && !list->filter->idle && !list->filter->each)
        add(&more, "%zu idle ones (spares of a pool) are not shown: the filter \"idle\" shows them. ", list->idle);
    if (shown < groups)
        add(&more, "Only the first %zu of %zu stacks are shown. ", shown, groups);
    if (list->tight)
        add(&more, "%zu %s close to the end of %s stack. ", list->tight, list->tight == 1 ? "is" : "are",
            list->tight == 1 ? "its" : "their");
    if (more.used) {
        more.bytes[more.used - 1] = '\0';
        put(w, &more);
    }
    gmr__raw(w, "\n", 1);
}

/* The idle leave the list once they have been counted. */
static void drop_idle(struct gmr__green_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct gmr__green_thread t;
        list->at(list, list->items[i].index, &t);
        if (!t.idle)
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
}

void gmr__green_text(struct gmr_writer *w, struct gmr__green_list *list)
{
    size_t count = 0, all = list->count;
    if (!all && !list->filtered) {
        static const char none[] = "No green threads were found.\n";
        gmr__raw(w, none, sizeof(none) - 1);
        return;
    }
    if (list->idle && !list->filter->idle && !list->filter->each)
        drop_idle(list);
    struct group *groups = make_groups(list, &count);
    if (!groups)
        return;
    size_t shown = list->filter->top && list->filter->top < count ? (size_t)list->filter->top : count;
    size_t kept = list->count;
    list->count = all;
    put_summary(w, list, count, shown);
    list->count = kept;
    for (size_t i = 0; i < shown && !gmr__writer_error(w); i++)
        put_group(w, list, &groups[i]);
    free(groups);
}
