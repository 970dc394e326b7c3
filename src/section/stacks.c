/*
 * section/stacks.c - the stacks of a report, each once: their numbers, and the section that lists them for JSON and XML.
 *
 * Inspector only. The sections of threads number the stacks they show; this one, last, writes them.
 */
#include <stdlib.h>
#include <string.h>

#include "section/frames.h"

struct gmr__stack_table {
    struct gmr__report_stack *stacks;
    uint64_t *hashes;
    uint32_t count, cap;
    uint32_t *slots; /* index + 1 */
    size_t slot_count;
};

/* ---------------------------------------------------------------------------------------- the analysis */

static bool make_table(struct gmr__analysis *analysis)
{
    struct gmr__stack_table *table = calloc(1, sizeof(*table));
    if (!table)
        return false;
    analysis->table = table;
    table->slot_count = 256;
    table->slots = calloc(table->slot_count, sizeof(*table->slots));
    return table->slots != NULL;
}

static uint64_t function_start(void *userdata, uint64_t pc)
{
    const struct gmr__analysis *analysis = userdata;
    const struct gmr__resolved *resolved = gmr__symbolize(analysis->symbolizer, pc);
    const struct gmr__symbol *real = resolved ? &resolved->symbols[resolved->symbol_count - 1] : NULL;
    return real && real->function && !real->inlined && !real->tail_call && real->offset <= pc ? pc - real->offset : 0;
}

/* What the thread did when it crashed; the frames above the signal's are libgmr's waiting for this very report. */
static const struct gmr__stack *from_the_crash_on(struct gmr__analysis *analysis, const struct gmr__stack *stack)
{
    uint32_t from = 0;
    while (from < stack->frame_count && !stack->frames[from].signal_frame)
        from++;
    if (from + 1 >= stack->frame_count)
        return stack;
    analysis->crashed = *stack;
    analysis->crashed.index = UINT32_MAX - 1; /* no other stack has this number */
    analysis->crashed.frames += from + 1;
    analysis->crashed.frame_count -= from + 1;
    return &analysis->crashed;
}

static bool unwind_threads(struct gmr__analysis *analysis)
{
    struct gmr__snapshot *snapshot = analysis->snapshot;
    gmr__unwinder_set_function_start(analysis->unwinder, function_start, analysis);
    analysis->thread_stacks = calloc(snapshot->thread_count + 1, sizeof(*analysis->thread_stacks));
    if (!analysis->thread_stacks)
        return false;
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        const struct gmr__thread *thread = &snapshot->threads[i];
        if (!thread->regs.valid)
            continue;
        analysis->thread_stacks[i] = gmr__unwind(analysis->unwinder, &thread->regs, &thread->stack, 0, 0, true);
        if (!analysis->thread_stacks[i])
            return false;
        if (thread->tid == analysis->options.crashed_tid)
            analysis->thread_stacks[i] = from_the_crash_on(analysis, analysis->thread_stacks[i]);
    }
    return true;
}

struct gmr__analysis *gmr__analysis_new(struct gmr__snapshot *snapshot, const struct gmr__analysis_options *options)
{
    struct gmr__analysis *analysis = calloc(1, sizeof(*analysis));
    if (!analysis) {
        if (options)
            gmr__modules_free(options->modules);
        gmr__snapshot_free(snapshot);
        return NULL;
    }
    if (options)
        analysis->options = *options;
    analysis->snapshot = snapshot;
    analysis->modules = analysis->options.modules ? analysis->options.modules : gmr__modules_new(snapshot);
    if (analysis->modules) {
        analysis->unwinder = gmr__unwinder_new(snapshot, analysis->modules, analysis->options.max_frames);
        analysis->symbolizer = gmr__symbolizer_new(snapshot, analysis->modules, &analysis->options.symbols);
    }
    if (!analysis->unwinder || !analysis->symbolizer || !make_table(analysis) || !unwind_threads(analysis)) {
        gmr__analysis_free(analysis);
        return NULL;
    }
    return analysis;
}

void gmr__analysis_free(struct gmr__analysis *analysis)
{
    if (!analysis)
        return;
    gmr__symbolizer_free(analysis->symbolizer);
    gmr__unwinder_free(analysis->unwinder);
    gmr__modules_free(analysis->modules);
    gmr__snapshot_free(analysis->snapshot);
    if (analysis->table) {
        free(analysis->table->stacks);
        free(analysis->table->hashes);
        free(analysis->table->slots);
        free(analysis->table);
    }
    free(analysis->thread_stacks);
    free(analysis);
}

/* ---------------------------------------------------------------------------------------- numbers */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0xff51afd7ed558ccdULL;
    return hash ^ hash >> 32;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; text && *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
    return mix(hash, text != NULL);
}

static uint64_t hash_of(const struct gmr__stack *native, const struct gmr__language_stack *language)
{
    uint64_t hash = mix(0x9e3779b97f4a7c15ULL, native ? native->index + 1 : 0);
    for (uint32_t i = 0; language && i < language->frame_count; i++) {
        hash = mix_text(hash, language->frames[i].function);
        hash = mix_text(hash, language->frames[i].file);
        hash = mix(hash, (uint64_t)language->frames[i].line * 2 + language->frames[i].entry);
        hash = mix(hash, language->frames[i].pc);
    }
    return language ? mix_text(mix_text(hash, language->language), language->end) : hash;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same(struct gmr__report_stack a, const struct gmr__stack *native,
                 const struct gmr__language_stack *language)
{
    if (a.native != native || !a.language != !language)
        return false;
    if (!language || a.language == language)
        return true;
    if (a.language->frame_count != language->frame_count || !same_text(a.language->language, language->language) ||
        !same_text(a.language->end, language->end) || a.language->interpreter_low != language->interpreter_low)
        return false;
    for (uint32_t i = 0; i < language->frame_count; i++) {
        const struct gmr__language_frame *x = &a.language->frames[i], *y = &language->frames[i];
        if (x->line != y->line || x->entry != y->entry || !same_text(x->function, y->function) ||
            !same_text(x->file, y->file))
            return false;
    }
    return true;
}

static bool grow(struct gmr__stack_table *table)
{
    if (table->count == table->cap) {
        uint32_t cap = table->cap ? table->cap * 2 : 64;
        struct gmr__report_stack *stacks = realloc(table->stacks, cap * sizeof(*stacks));
        if (stacks)
            table->stacks = stacks;
        uint64_t *hashes = stacks ? realloc(table->hashes, cap * sizeof(*hashes)) : NULL;
        if (!hashes)
            return false;
        table->hashes = hashes;
        table->cap = cap;
    }
    if ((size_t)(table->count + 1) * 2 <= table->slot_count)
        return true;
    size_t count = table->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof(*slots));
    if (!slots)
        return false;
    for (uint32_t i = 0; i < table->count; i++) {
        size_t at = (size_t)table->hashes[i] & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = i + 1;
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    return true;
}

int64_t gmr__analysis_stack(struct gmr__analysis *analysis, const struct gmr__stack *native,
                            const struct gmr__language_stack *language)
{
    struct gmr__stack_table *table = analysis->table;
    uint64_t hash = hash_of(native, language);
    if (!grow(table))
        return -1;
    size_t mask = table->slot_count - 1, at = (size_t)hash & mask;
    for (; table->slots[at]; at = (at + 1) & mask) {
        uint32_t index = table->slots[at] - 1;
        if (table->hashes[index] == hash && same(table->stacks[index], native, language))
            return index;
    }
    table->stacks[table->count] = (struct gmr__report_stack){native, language};
    table->hashes[table->count] = hash;
    table->slots[at] = ++table->count;
    return table->count - 1;
}

uint32_t gmr__analysis_stack_count(const struct gmr__analysis *analysis)
{
    return analysis->table->count;
}

struct gmr__report_stack gmr__analysis_stack_at(const struct gmr__analysis *analysis, uint32_t index)
{
    struct gmr__report_stack none = {NULL, NULL};
    return index < analysis->table->count ? analysis->table->stacks[index] : none;
}

void gmr__section_stacks(struct gmr_writer *w, struct gmr__analysis *analysis, struct gmr__section_status *status)
{
    status->status = GMR__OK;
    if (gmr__writer_text(w))
        return;
    for (uint32_t i = 0; i < gmr__analysis_stack_count(analysis) && !gmr__writer_error(w); i++) {
        gmr_begin_map(w, NULL);
        gmr__stack_data(w, analysis, gmr__analysis_stack_at(analysis, i));
        gmr_end_map(w);
    }
}
