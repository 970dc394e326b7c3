/*
 * section/stacks.c - the stacks of a report, each once: their numbers, and the section that lists them for JSON and XML.
 *
 * Inspector only. The sections of threads number the stacks they show; this one, last, writes them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "section/frames.h"
#include "sys/grow.h"

struct gmr__stack_table {
    struct gmr__report_stack *stacks;
    uint64_t *hashes;
    uint32_t count;
    size_t stack_cap, hash_cap;
    uint32_t *slots; /* index + 1 */
    size_t slot_count;
};

struct gmr__stack_table *gmr__stack_table_new(void)
{
    struct gmr__stack_table *table = calloc(1, sizeof(*table));
    if (!table)
        return NULL;
    table->slot_count = 256;
    table->slots = calloc(table->slot_count, sizeof(*table->slots));
    if (table->slots)
        return table;
    free(table);
    return NULL;
}

void gmr__stack_table_free(struct gmr__stack_table *table)
{
    if (!table)
        return;
    free(table->stacks);
    free(table->hashes);
    free(table->slots);
    free(table);
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
    if (!GMR__GROW(table->stacks, table->stack_cap, (size_t)table->count + 1) ||
        !GMR__GROW(table->hashes, table->hash_cap, (size_t)table->count + 1))
        return false;
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
    if (!grow(table)) {
        analysis->stacks_lost = true;
        return -1;
    }
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
    if (!analysis->snapshot->thread_count && !gmr__analysis_stack_count(analysis))
        *status = (struct gmr__section_status){.status = GMR__FAILED, .reason = "no thread could be listed"};
    if (gmr__writer_text(w))
        return;
    if (!gmr__analysis_stack_count(analysis) && analysis->snapshot->problem) {
        status->status = GMR__FAILED;
        snprintf(status->reason, sizeof(status->reason), "%s", analysis->snapshot->problem);
    }
    if (analysis->stacks_lost && status->status == GMR__OK)
        *status = (struct gmr__section_status){.status = GMR__PARTIAL, .reason = "gmr ran out of memory"};
    for (uint32_t i = 0; i < gmr__analysis_stack_count(analysis) && !gmr__writer_error(w); i++) {
        gmr_begin_map(w, NULL);
        gmr__stack_data(w, analysis, gmr__analysis_stack_at(analysis, i));
        gmr_end_map(w);
    }
}
