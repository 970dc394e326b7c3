/*
 * section/green.c - the Green Threads section: unwinds each, picks those that were asked for, writes them as data.
 *
 * Inspector only, with the target running. A million of them pass through here: an item is 32 bytes, a stack is kept once
 * however many have it (the unwinder's doing), and data is streamed. Text is green_text.c's.
 */
#include "section/green.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "section/green_list.h"
#include "sys/grow.h"

#define TIGHT_BYTES 4096u /* less than this left of a stack, or less than one part in sixteen: a finding */

bool gmr__green_stack_use(const struct gmr__green_thread *thread, uint64_t *used, uint64_t *size)
{
    if (thread->stack_low >= thread->stack_high || !(thread->regs.valid >> gmr__arch_sp & 1))
        return false;
    uint64_t sp = thread->regs.value[gmr__arch_sp];
    /* At its very low end: the source knows no lower bound (greenlets share one stack). */
    if (sp <= thread->stack_low || sp > thread->stack_high)
        return false;
    *size = thread->stack_high - thread->stack_low;
    *used = thread->stack_high - sp;
    return true;
}

bool gmr__green_tight(const struct gmr__green_thread *thread)
{
    uint64_t used, size;
    if (!gmr__green_stack_use(thread, &used, &size))
        return false;
    uint64_t left = size - used, part = size / 16;
    return left < (part < TIGHT_BYTES ? part : TIGHT_BYTES);
}

uint64_t gmr__green_age(const struct gmr__green_list *list, const struct gmr__green_thread *thread)
{
    return thread->since_ns && thread->since_ns < list->now_ns ? list->now_ns - thread->since_ns : 0;
}

const char *gmr__green_function(const struct gmr__green_list *list, uint64_t pc, bool entry)
{
    const struct gmr__resolved *resolved = pc ? gmr__symbolize(list->analysis->symbolizer, entry ? pc : pc - 1) : NULL;
    return resolved ? resolved->symbols[0].function : NULL;
}

/* ------------------------------------------------------------------------------------------------ picking */

static bool matches(const char *pattern, const char *text)
{
    return !pattern[0] || (text && fnmatch(pattern, text, 0) == 0);
}

static bool wanted(const struct gmr__green_list *list, const struct gmr__green_thread *t)
{
    const struct gmr__green_filter *f = list->filter;
    return (!f->states || f->states >> t->state & 1) && matches(f->name, t->name) && matches(f->kind, t->kind) &&
           matches(f->wait, t->wait_reason) && (!f->id_high || (t->id >= f->id_low && t->id <= f->id_high)) &&
           (!f->older_ns || gmr__green_age(list, t) >= f->older_ns);
}

struct search {
    const char *pattern;
    bool found;
};

static bool search_line(void *userdata, const struct gmr__line *line)
{
    struct search *search = userdata;
    search->found = search->found || matches(search->pattern, line->function);
    return !search->found;
}

/* Whether some frame of that stack is of the function asked for; each stack is looked at once. */
static bool stack_wanted(const struct gmr__green_list *list, int32_t stack, signed char **known, size_t *known_count)
{
    if (!list->filter->function[0])
        return true;
    if (stack < 0)
        return false;
    if (!GMR__GROW_ZEROED(*known, *known_count, (size_t)stack + 1))
        return true;
    if (!(*known)[stack]) {
        struct search search = {list->filter->function, false};
        gmr__stack_lines(list->analysis, gmr__analysis_stack_at(list->analysis, (uint32_t)stack), search_line, &search);
        (*known)[stack] = search.found ? 1 : -1;
    }
    return (*known)[stack] > 0;
}

static int32_t number_stack(struct gmr__green_list *list, const struct gmr__green_thread *t)
{
    const struct gmr__stack *native = NULL;
    if (t->regs.valid >> gmr__arch_pc & 1)
        native = gmr__unwind(list->analysis->unwinder, &t->regs, t->copy.bytes ? &t->copy : NULL, t->stack_low,
                             t->stack_high, t->activation);
    const struct gmr__language_stack *language = t->language.language ? t->language_kept : NULL;
    return native || language ? (int32_t)gmr__analysis_stack(list->analysis, native, language) : -1;
}

static bool fill(struct gmr__green_list *list)
{
    size_t total = gmr__green_count(list->green), known_count = 0;
    signed char *known = NULL;
    list->items = malloc((total + 1) * sizeof(*list->items));
    if (!list->items)
        return false;
    for (size_t i = 0; i < total; i++) {
        struct gmr__green_thread t;
        gmr__green_at(list->green, i, &t);
        int32_t stack = wanted(list, &t) ? number_stack(list, &t) : -1;
        if (!wanted(list, &t) || !stack_wanted(list, stack, &known, &known_count)) {
            list->filtered++;
            continue;
        }
        bool tight = gmr__green_tight(&t);
        list->per_state[t.state & 15]++;
        list->idle += t.idle;
        list->tight += tight;
        list->items[list->count++] = (struct gmr__green_item){.index = (uint32_t)i,
                                                              .stack = stack,
                                                              .kind = t.kind,
                                                              .wait = t.wait_reason,
                                                              .state = (uint8_t)t.state,
                                                              .tight = tight};
    }
    free(known);
    return true;
}

/* ------------------------------------------------------------------------------------------------ data */

static void put_hex(struct gmr_writer *w, const char *key, uint64_t value)
{
    if (value)
        gmr_put_format(w, key, "0x%llx", (unsigned long long)value);
}

static void put_text(struct gmr_writer *w, const char *key, const char *value)
{
    if (value)
        gmr_put_string(w, key, value);
}

/* A context of Boost's does not keep what it was made for: it is the outermost call that is neither Boost's nor the standard library's. */
static bool see_entry(void *userdata, const struct gmr__line *line)
{
    static const char *const theirs[] = {"boost::", "std::", "void std::", "gmr::", "make_fcontext"};
    const char **entry = userdata;
    for (size_t i = 0; line->function && i < sizeof(theirs) / sizeof(theirs[0]); i++)
        if (strncmp(line->function, theirs[i], strlen(theirs[i])) == 0)
            return true;
    if (line->function && !line->language)
        *entry = line->function;
    return true;
}

static const char *entry_name(const struct gmr__green_list *list, const struct gmr__green_thread *thread, int32_t stack)
{
    const char *entry = NULL;
    if (thread->entry)
        return gmr__green_function(list, thread->entry, true);
    if (stack >= 0 && (strcmp(thread->kind, "fcontext") == 0 || strcmp(thread->kind, "Boost.Context fiber") == 0))
        gmr__stack_lines(list->analysis, gmr__analysis_stack_at(list->analysis, (uint32_t)stack), see_entry, &entry);
    return entry;
}

static void put_entry(struct gmr_writer *w, const struct gmr__green_list *list, const struct gmr__green_thread *t,
                      int32_t stack)
{
    const char *name = entry_name(list, t, stack);
    if (!t->entry && !name)
        return;
    gmr_begin_map(w, "entry");
    put_hex(w, "pc", t->entry);
    put_text(w, "function", name);
    if (t->has_argument)
        gmr_put_format(w, "argument", "0x%llx", (unsigned long long)t->argument);
    gmr_end_map(w);
}

static void put_creator(struct gmr_writer *w, const struct gmr__green_list *list, const struct gmr__green_thread *t)
{
    if (!t->creator[0])
        return;
    gmr_begin_list(w, "created_by");
    for (size_t i = 0; i < sizeof(t->creator) / sizeof(t->creator[0]) && t->creator[i]; i++) {
        gmr_begin_map(w, NULL);
        put_hex(w, "pc", t->creator[i]);
        put_text(w, "function", gmr__green_function(list, t->creator[i], false));
        gmr_end_map(w);
    }
    gmr_end_list(w);
}

static void put_thread(struct gmr_writer *w, const struct gmr__green_list *list, const struct gmr__green_item *item)
{
    struct gmr__green_thread t;
    uint64_t used, size, age;
    gmr__green_at(list->green, item->index, &t);
    gmr_begin_map(w, NULL);
    gmr_put_uint(w, "id", t.id);
    put_text(w, "name", t.name);
    gmr_put_string(w, "kind", t.kind);
    gmr_put_string(w, "state", gmr__green_state_name(t.state));
    put_text(w, "wait_reason", t.wait_reason);
    put_hex(w, "wait_object", t.wait_object);
    if ((age = gmr__green_age(list, &t)))
        gmr_put_double(w, "age_seconds", (double)(age / 1000) / 1e6);
    if (t.carrier)
        gmr_put_int(w, "thread", t.carrier);
    if (t.idle)
        gmr_put_bool(w, "idle", true);
    if (t.discovered)
        gmr_put_bool(w, "discovered", true);
    if (t.approximate)
        gmr_put_bool(w, "approximate", true);
    if (t.switches)
        gmr_put_uint(w, "switches", t.switches);
    put_hex(w, "address", t.address);
    put_hex(w, "parent", t.parent);
    put_entry(w, list, &t, item->stack);
    if (gmr__green_stack_use(&t, &used, &size)) {
        gmr_put_uint(w, "stack_bytes", size);
        gmr_put_uint(w, "stack_used_bytes", used);
    }
    if (item->tight)
        gmr_put_bool(w, "stack_nearly_full", true);
    put_creator(w, list, &t);
    put_text(w, "problem", t.problem);
    if (item->stack >= 0)
        gmr_put_int(w, "stack", item->stack);
    gmr_end_map(w);
}

/* ------------------------------------------------------------------------------------------------ for the text */

static void thread_at(const struct gmr__green_list *list, uint32_t index, struct gmr__green_thread *thread)
{
    gmr__green_at(list->green, index, thread);
}

static const char *creator_name(const struct gmr__green_list *list, const struct gmr__green_thread *thread)
{
    return gmr__green_function(list, thread->creator[0], false);
}

static void put_stack(struct gmr_writer *w, const struct gmr__green_list *list, int32_t stack)
{
    gmr__stack_text(w, list->analysis, gmr__analysis_stack_at(list->analysis, (uint32_t)stack));
}

void gmr__section_green(struct gmr_writer *w, struct gmr__analysis *analysis, const struct gmr__green *green,
                        const struct gmr__green_filter *filter, struct gmr__section_status *status)
{
    static const struct gmr__green_filter everything;
    struct gmr__green_list list = {.analysis = analysis,
                                   .green = green,
                                   .filter = filter ? filter : &everything,
                                   .now_ns = gmr__green_stopped_at(green),
                                   .at = thread_at,
                                   .entry_name = entry_name,
                                   .creator_name = creator_name,
                                   .put_stack = put_stack};
    if (!green)
        return;
    if (!fill(&list)) {
        status->status = GMR__FAILED;
        snprintf(status->reason, sizeof(status->reason), "gmr ran out of memory");
        return;
    }
    if (gmr__writer_text(w))
        gmr__green_text(w, &list);
    else
        for (size_t i = 0; i < list.count && !gmr__writer_error(w); i++)
            put_thread(w, &list, &list.items[i]);
    if (gmr__green_notes(green)[0]) {
        status->status = GMR__PARTIAL;
        snprintf(status->reason, sizeof(status->reason), "%s", gmr__green_notes(green));
    }
    free(list.items);
}
