/*
 * section/analysis.c - a snapshot's threads unwound, most of them when the snapshot is whole, some before.
 *
 * Inspector only. A process with very many or very deep stacks is captured in batches: a thread's stack is unwound while others are being
 * copied, and its copy given back. Then the map is that from before the capture, and stacks that a signal interrupted are not at hand. So
 * only what came to the stack's end by call-frame information alone stands; of other threads the copy is kept (to a limit) and unwound again at
 * the end.
 */
#include "section/analysis.h"

#include <stdlib.h>
#include <string.h>

#include "sys/grow.h"

#define MAX_KEPT_BYTES ((size_t)64 << 20)

struct gmr__early {
    pid_t tid;
    const struct gmr__stack *stack;
    struct gmr__segment copy; /* data NULL: the stack stands as it is */
};

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

/* ---------------------------------------------------------------------------------------- threads before the others */

static bool final(const struct gmr__stack *stack)
{
    if (!stack->whole)
        return false;
    for (uint32_t i = 0; i < stack->frame_count; i++)
        if (stack->frames[i].guessed)
            return false;
    return true;
}

static void keep_copy(struct gmr__analysis *analysis, struct gmr__early *early, const struct gmr__segment *stack)
{
    unsigned char *copy = NULL;
    if (analysis->kept_bytes + stack->bytes <= MAX_KEPT_BYTES)
        copy = malloc(stack->bytes + 1);
    if (!copy)
        return;
    memcpy(copy, stack->data, stack->bytes);
    early->copy = (struct gmr__segment){stack->address, stack->bytes, copy};
    analysis->kept_bytes += stack->bytes;
}

bool gmr__analysis_take(struct gmr__analysis *analysis, const struct gmr__thread *thread)
{
    if (!GMR__GROW(analysis->early, analysis->early_cap, analysis->early_count + 1))
        return false;
    struct gmr__early early = {.tid = thread->tid};
    early.stack = gmr__unwind(analysis->unwinder, &thread->regs, &thread->stack, 0, 0, true);
    if (!early.stack)
        return false;
    if (!final(early.stack))
        keep_copy(analysis, &early, &thread->stack);
    analysis->early[analysis->early_count++] = early;
    return true;
}

static int by_tid(const void *a, const void *b)
{
    const struct gmr__early *x = a, *y = b;
    return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static const struct gmr__early *early_of(const struct gmr__analysis *analysis, const struct gmr__thread *thread)
{
    struct gmr__early key = {.tid = thread->tid};
    if (!analysis->early_count || thread->stack.data)
        return NULL;
    return bsearch(&key, analysis->early, analysis->early_count, sizeof(key), by_tid);
}

static void forget_early(struct gmr__analysis *analysis)
{
    for (size_t i = 0; i < analysis->early_count; i++)
        free((void *)analysis->early[i].copy.data);
    free(analysis->early);
    analysis->early = NULL;
    analysis->early_count = analysis->early_cap = 0;
}

/* ---------------------------------------------------------------------------------------- all threads */

static const struct gmr__stack *stack_of(struct gmr__analysis *analysis, const struct gmr__thread *thread)
{
    const struct gmr__early *early = early_of(analysis, thread);
    if (early && !early->copy.data)
        return early->stack;
    return gmr__unwind(analysis->unwinder, &thread->regs, early ? &early->copy : &thread->stack, 0, 0, true);
}

static bool unwind_threads(struct gmr__analysis *analysis)
{
    struct gmr__snapshot *snapshot = analysis->snapshot;
    analysis->thread_stacks = calloc(snapshot->thread_count + 1, sizeof(*analysis->thread_stacks));
    if (!analysis->thread_stacks)
        return false;
    if (analysis->early_count)
        qsort(analysis->early, analysis->early_count, sizeof(*analysis->early), by_tid);
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        const struct gmr__thread *thread = &snapshot->threads[i];
        if (!thread->regs.valid)
            continue;
        analysis->thread_stacks[i] = stack_of(analysis, thread);
        if (!analysis->thread_stacks[i])
            return false;
        if (thread->tid == analysis->options.crashed_tid)
            analysis->thread_stacks[i] = from_the_crash_on(analysis, analysis->thread_stacks[i]);
    }
    forget_early(analysis);
    return true;
}

/* The map was read again after the capture: modules are looked for anew. */
static bool renew(struct gmr__analysis *analysis)
{
    struct gmr__modules *modules = gmr__modules_new(analysis->snapshot);
    if (!modules || !gmr__unwinder_renew(analysis->unwinder, modules)) {
        gmr__modules_free(modules);
        return false;
    }
    gmr__symbolizer_free(analysis->symbolizer);
    gmr__modules_free(analysis->modules);
    analysis->modules = modules;
    analysis->maps = analysis->snapshot->maps;
    analysis->symbolizer = gmr__symbolizer_new(analysis->snapshot, modules, &analysis->options.symbols);
    return analysis->symbolizer != NULL;
}

struct gmr__analysis *gmr__analysis_begin(struct gmr__snapshot *snapshot, const struct gmr__analysis_options *options)
{
    struct gmr__analysis *analysis = calloc(1, sizeof(*analysis));
    if (!analysis) {
        if (options)
            gmr__modules_free(options->modules);
        return NULL;
    }
    if (options)
        analysis->options = *options;
    analysis->snapshot = snapshot;
    analysis->maps = snapshot->maps;
    analysis->modules = analysis->options.modules ? analysis->options.modules : gmr__modules_new(snapshot);
    if (analysis->modules) {
        analysis->unwinder = gmr__unwinder_new(snapshot, analysis->modules, analysis->options.max_frames);
        analysis->symbolizer = gmr__symbolizer_new(snapshot, analysis->modules, &analysis->options.symbols);
    }
    analysis->table = gmr__stack_table_new();
    if (!analysis->unwinder || !analysis->symbolizer || !analysis->table) {
        gmr__analysis_free(analysis);
        return NULL;
    }
    gmr__unwinder_set_function_start(analysis->unwinder, function_start, analysis);
    return analysis;
}

struct gmr__analysis *gmr__analysis_finish(struct gmr__analysis *analysis)
{
    analysis->owner = true;
    if ((analysis->maps == analysis->snapshot->maps || renew(analysis)) && unwind_threads(analysis))
        return analysis;
    gmr__analysis_free(analysis);
    return NULL;
}

struct gmr__analysis *gmr__analysis_new(struct gmr__snapshot *snapshot, const struct gmr__analysis_options *options)
{
    struct gmr__analysis *analysis = gmr__analysis_begin(snapshot, options);
    if (analysis)
        return gmr__analysis_finish(analysis);
    gmr__snapshot_free(snapshot);
    return NULL;
}

void gmr__analysis_free(struct gmr__analysis *analysis)
{
    if (!analysis)
        return;
    gmr__symbolizer_free(analysis->symbolizer);
    gmr__unwinder_free(analysis->unwinder);
    gmr__modules_free(analysis->modules);
    if (analysis->owner)
        gmr__snapshot_free(analysis->snapshot);
    gmr__stack_table_free(analysis->table);
    forget_early(analysis);
    free(analysis->thread_stacks);
    free(analysis);
}
