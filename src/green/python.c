/*
 * green/python.c - the source of Python's green threads: greenlets and asyncio tasks, and the Python frames of OS threads.
 *
 * Inspector only. `find` recognises the interpreter by the symbol _PyRuntime and its version; `ahead` walks the collector's lists while
 * the program runs; `collect` copies what moves (thread states, frames, greenlets, tasks) while those that run Python stand;
 * `finish` puts names to it. Nothing is run in the target and no lock of the interpreter is needed, so that a process
 * whose interpreter is stuck in a C call is reported as well as any.
 */
#include "green/python.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/green.h"
#include "sys/grow.h"
#include "sys/word.h"

#define MAX_THREADS 100000u

static int find(struct gmr__green *green, void **state)
{
    uint64_t runtime, low, bytes;
    /* NULL: the executable or libpython. A core of a program without Python ends here. */
    if (gmr__green_symbol(green, NULL, "_PyRuntime", &runtime, NULL) != 0)
        return 0;
    struct gmr__python *python = calloc(1, sizeof(*python));
    if (!python)
        return -ENOMEM;
    python->green = green;
    python->runtime = runtime;
    gmr__peek_init(&python->peek, green);
    gmr__peek_init_pages(&python->pages, green);
    gmr__addrmap_init(&python->types, 1u << 20);
    gmr__addrmap_init(&python->codes, 1u << 20);
    gmr__addrmap_init(&python->seen, 1u << 22);
    gmr__addrmap_init(&python->marks, 1u << 20);
    *state = python;
    if (!gmr__python_find_layout(python))
        return 0; /* the note has been written */
    if (gmr__green_symbol(green, NULL, "_PyEval_EvalFrameDefault", &low, &bytes) == 0 && bytes > 0) {
        python->eval_low = low;
        python->eval_high = low + bytes;
    }
    uint64_t interpreter;
    if (gmr__python_interpreters(python, &interpreter, 1) == 0)
        return 0; /* linked with Python, which has not been started */
    gmr__python_find_switch(python);
    return 1;
}

int gmr__python_read(struct gmr__python *python, uint64_t address, void *to, size_t bytes)
{
    return gmr__peek(&python->pages, address, to, bytes);
}

bool gmr__python_grow(struct gmr__python *python, void *list, size_t element_bytes, size_t *cap, size_t want)
{
    if (want <= *cap)
        return true;
    size_t grown = gmr__grown(*cap, want, SIZE_MAX, element_bytes);
    return grown != 0 &&
           gmr__grow_into(gmr__green_alloc(python->green, grown * element_bytes), list, element_bytes, cap, grown);
}

/* The thread states of all interpreters: a list each. */
static void read_threads(struct gmr__python *python)
{
    const struct gmr__py_layout *l = &python->layout;
    uint64_t interpreters[GMR__PY_INTERPRETERS], at;
    size_t count = gmr__python_interpreters(python, interpreters, GMR__PY_INTERPRETERS);
    for (size_t i = 0; i < count; i++) {
        if (gmr__python_read(python, interpreters[i] + l->interpreter_threads, &at, 8) != 0)
            continue;
        uint64_t mark = 0;
        for (uint32_t steps = 1, mark_at = 1; at != 0 && at != mark && python->thread_count < MAX_THREADS; steps++) {
            unsigned char bytes[256];
            if (gmr__python_read(python, at, bytes, sizeof(bytes)) != 0)
                break;
            if (!GMR__GROW(python->threads, python->thread_room, python->thread_count + 1))
                return;
            struct gmr__py_thread *thread = &python->threads[python->thread_count++];
            *thread = (struct gmr__py_thread){.address = at};
            thread->pthread = gmr__word(bytes, l->thread_pthread);
            if (l->thread_native)
                thread->native = gmr__word(bytes, l->thread_native);
            thread->chain.next = gmr__word(bytes, l->thread_frame);
            if (l->frames == GMR__PY_FRAME_CFRAME &&
                gmr__python_read(python, thread->chain.next + l->cframe_current, &thread->chain.next, 8) != 0)
                thread->chain.next = 0;
            if (steps >= mark_at * 2) {
                mark = at;
                mark_at = steps;
            }
            at = gmr__word(bytes, l->thread_next);
        }
    }
}

/* Greenlets and tasks from number `first` on, and with first 0 the OS threads. */
static int copy_from(struct gmr__python *python, size_t first)
{
    gmr__python_read_greenlets(python, first);
    gmr__python_read_tasks(python, first);
    size_t count = 0, all = python->thread_count + python->green_count;
    struct gmr__py_chain **chains = calloc(all ? all : 1, sizeof(*chains));
    if (!chains)
        return -ENOMEM;
    for (size_t i = 0; first == 0 && i < python->thread_count; i++) {
        if (python->only == 0 || python->threads[i].pthread == python->only_pthread)
            chains[count++] = &python->threads[i].chain;
        else
            python->threads[i].chain = (struct gmr__py_chain){.end = "it began while the report was made"};
    }
    for (size_t i = first; i < python->green_count; i++)
        if (python->greens[i].class == GMR__PY_GREENLET)
            chains[count++] = &python->greens[i].chain;
    gmr__python_copy_chains(python, chains, count);
    free(chains);
    gmr__python_read_greenlet_stacks(python, first);
    return 0;
}

/* All that moves. At the stop, and once before, so that its pages are known and there is something to show should the time not
 * last. What may take long comes last. */
static int copy_all(struct gmr__python *python)
{
    python->thread_count = 0;
    read_threads(python);
    gmr__python_read_carriers(python);
    gmr__python_walk_ends(python);
    int error = copy_from(python, 0);
    size_t known = python->green_count;
    if (error == 0 && !python->rehearsing && !gmr__python_walk_rest(python) && python->green_count > known)
        error = copy_from(python, known);
    return error;
}

/* An empty chain with room for as many frames, whose pages are there already. */
static struct gmr__py_chain room_like(struct gmr__python *python, const struct gmr__py_chain *other)
{
    struct gmr__py_chain chain = {.frames = gmr__green_alloc(python->green, other->room * sizeof(*chain.frames))};
    if (chain.frames && other->room != 0) {
        chain.room = other->room;
        memset(chain.frames, 1, chain.room * sizeof(*chain.frames));
    }
    return chain;
}

static int ahead(struct gmr__green *green, void *state)
{
    struct gmr__python *python = state;
    gmr__python_mark_lists(python);
    gmr__python_find_types(python);
    gmr__python_walk_ahead(python);
    gmr__python_search_heap(python);
    python->rehearsing = true;
    copy_all(python);
    gmr__python_find_carriers(python);
    gmr__python_read_carriers(python); /* its pages */
    python->rehearsing = false;
    for (size_t i = 0; i < python->green_count; i++) {
        struct gmr__py_green *known = &python->greens[i];
        known->before = known->chain;
        known->chain = room_like(python, &known->before);
        known->gone = false;
    }
    gmr__peek_expire(&python->pages);
    return gmr__python_lists_settled(python) ? 0 : 1;
}

static const struct gmr__thread *thread_by_tid(const struct gmr__python *python, uint64_t tid)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(python->green, &count);
    for (size_t i = 0; i < count; i++)
        if ((uint64_t)threads[i].tid == tid)
            return &threads[i];
    return NULL;
}

/*
 * Which OS thread is it? glibc keeps the tid in struct pthread, where pthread_self() points, and corrects it after a fork, which
 * CPython does not always do with its own note of it. 0: not to be read.
 */
static pid_t noted_tid(struct gmr__python *python, const struct gmr__py_thread *thread)
{
    int32_t tid = 0;
    if (gmr__green_read(python->green, thread->pthread + gmr__arch_pthread_tid, &tid, sizeof(tid)) != 0)
        return 0;
    return tid > 0 ? tid : 0;
}

static pid_t tid_of(struct gmr__python *python, const struct gmr__py_thread *thread)
{
    pid_t tid = noted_tid(python, thread);
    if (tid != 0 && thread_by_tid(python, (uint64_t)tid))
        return tid;
    return thread_by_tid(python, thread->native) ? (pid_t)thread->native : 0;
}

/*
 * Several OS threads that run Python change one heap, one set of the collector's lists: they stand together. But where there is one, as in most
 * services that run on greenlets, those of C libraries beside it needn't stand for it.
 */
static bool apart(struct gmr__green *green, void *state)
{
    struct gmr__python *python = state;
    pid_t tid = python->thread_count == 1 ? noted_tid(python, &python->threads[0]) : 0;
    if (tid == 0 || (tid != gmr__green_snapshot(green)->pid && (uint64_t)tid != python->threads[0].native))
        return false;
    python->only = tid;
    python->only_pthread = python->threads[0].pthread;
    return true;
}

static bool carries(void *state, pid_t tid)
{
    const struct gmr__python *python = state;
    return python->only == 0 || python->only == tid;
}

static int collect(struct gmr__green *green, void *state)
{
    struct gmr__python *python = state;
    if (python->collected || (python->only != 0 && !thread_by_tid(python, (uint64_t)python->only)))
        return 0;
    python->collected = true;
    gmr__peek_refresh(&python->pages);
    return copy_all(python);
}

static void emit_threads(struct gmr__python *python)
{
    unsigned unknown = 0;
    for (size_t i = 0; i < python->thread_count; i++) {
        struct gmr__py_thread *thread = &python->threads[i];
        struct gmr__language_stack language;
        thread->tid = tid_of(python, thread);
        if (thread->tid == 0) {
            unknown += thread->chain.count > 0;
            continue;
        }
        gmr__python_language(python, &thread->chain, &language);
        language.thread_name = gmr__python_thread_name(python, &thread->chain);
        if (language.frame_count > 0 || language.end)
            gmr__green_emit_os_thread(python->green, thread->tid, &language);
    }
    if (unknown)
        gmr__green_note(python->green, "%u Python threads belong to no OS thread that was seen", unknown);
}

/* The OS thread that is on this greenlet's stack: the one whose stack pointer is below its end, in the same mapping. */
static const struct gmr__py_thread *runner_of(const struct gmr__python *python, const struct gmr__py_green *green)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(python->green);
    const struct gmr__py_thread *found = NULL;
    for (size_t i = 0; i < python->thread_count; i++)
        if (python->threads[i].current == green->address)
            return &python->threads[i];
    for (size_t i = 0; i < python->thread_count; i++) {
        const struct gmr__thread *os = thread_by_tid(python, (uint64_t)python->threads[i].tid);
        if (!os || !(os->regs.valid >> gmr__arch_sp & 1))
            continue;
        uint64_t sp = os->regs.value[gmr__arch_sp];
        const struct gmr__map *map = gmr__snapshot_map(snapshot, sp);
        if (python->threads[i].current == 0 && map && sp < green->stack_stop && green->stack_stop <= map->end)
            return &python->threads[i];
        if (green->stack_stop == UINT64_MAX && python->thread_count == 1)
            found = &python->threads[i]; /* a main greenlet has no end of its own */
    }
    return found;
}

/* The greenlet module keeps what an OS thread left behind when it ended: they look as they did at that moment, and will never run again. */
static bool has_lost_its_thread(struct gmr__python *python, const struct gmr__py_green *green)
{
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(python->green);
    uint64_t place =
        green->stack_stop == UINT64_MAX ? green->stack_start : green->stack_stop; /* a main one has no end */
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(python->green, &count);
    if (place < 4096 || count == 0 || (place >= python->live_low && place < python->live_high))
        return false;
    const struct gmr__map *map = gmr__snapshot_map(snapshot, place);
    for (size_t i = 0; i < python->thread_count; i++)
        if (python->threads[i].current == green->address || python->threads[i].tid == 0)
            return false;
    for (size_t i = 0; i < count; i++) {
        if (!(threads[i].regs.valid >> gmr__arch_sp & 1))
            return false;
        if (map && gmr__snapshot_map(snapshot, threads[i].regs.value[gmr__arch_sp]) == map) {
            python->live_low = map->start; /* so of all on that stack */
            python->live_high = map->end;
            return false;
        }
    }
    return true;
}

static void emit_green(struct gmr__python *python, const struct gmr__py_green *green)
{
    struct gmr__green_thread thread = {.address = green->address, .name = green->name, .state = green->state};
    struct gmr__py_chain chain = green->chain;
    if (chain.end == gmr__python_no_time && green->before.count > 0) {
        chain = green->before;
        thread.approximate = true;
    }
    thread.kind = green->class == GMR__PY_GREENLET ? "greenlet" : "asyncio task";
    bool lost = green->class == GMR__PY_GREENLET && has_lost_its_thread(python, green);
    if (lost && green->state == GMR__GREEN_RUNNING)
        thread.state = GMR__GREEN_DONE;
    if (!lost && green->class == GMR__PY_GREENLET && green->state == GMR__GREEN_RUNNING) {
        const struct gmr__py_thread *runner = runner_of(python, green);
        if (runner) {
            thread.carrier = runner->tid;
            chain = runner->chain;
        }
    }
    if (thread.state == GMR__GREEN_RUNNING && chain.count == 0 && !chain.end)
        chain.end = "it runs: its functions stand with its OS thread";
    gmr__python_language(python, &chain, &thread.language);
    if (thread.language.frame_count == 0 && !thread.language.end)
        thread.language.language = NULL;
    if (green->class == GMR__PY_GREENLET)
        gmr__python_greenlet_stack(python, green, &thread);
    if (green->order >= GMR__PY_FROZEN)
        thread.problem = "gc.freeze() has put it aside: Python's own gc.get_objects() does not list it";
    else if (lost)
        thread.problem = "the OS thread it belongs to has ended: it will never run again";
    if (green->waits_for) {
        thread.wait_object = green->waits_for;
        thread.wait_reason = green->wait;
    }
    gmr__green_emit(python->green, &thread);
}

static int by_order(const void *left, const void *right)
{
    const struct gmr__py_green *a = left, *b = right;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int finish(struct gmr__green *green, void *state)
{
    struct gmr__python *python = state;
    gmr__peek_forget(&python->peek);
    if (!python->collected) { /* nothing stood in time: what was seen while it ran */
        for (size_t i = 0; i < python->green_count; i++)
            python->greens[i].chain.end = gmr__python_no_time;
        gmr__green_note(
            green, "Python's OS thread did not stop: its functions and green threads are those of a moment before");
    }
    gmr__python_name_tasks(python);
    emit_threads(python);
    if (python->green_count > 1)
        qsort(python->greens, python->green_count, sizeof(*python->greens), by_order);
    for (size_t i = 0; i < python->green_count; i++)
        if (!python->greens[i].gone &&
            !(python->greens[i].class == GMR__PY_TASK && python->greens[i].state == GMR__GREEN_DONE))
            emit_green(python, &python->greens[i]);
    if (python->lists_broken)
        gmr__green_note(green, "The lists of Python's garbage collector could not be walked whole: greenlets and tasks"
                               " made in the last moment may be missing.");
    return 0;
}

static void release(void *state)
{
    struct gmr__python *python = state;
    if (!python)
        return;
    free(python->threads);
    gmr__python_free_codes(python);
    gmr__addrmap_free(&python->types);
    gmr__addrmap_free(&python->seen);
    gmr__addrmap_free(&python->marks);
    gmr__peek_forget(&python->peek);
    gmr__peek_forget(&python->pages);
    free(python);
}

const struct gmr__green_source gmr__green_source_python = {
    .name = "python",
    .find = find,
    .ahead = ahead,
    .collect = collect,
    .finish = finish,
    .release = release,
    .together = true,
    .apart = apart,
    .carries = carries,
};
