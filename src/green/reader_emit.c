/*
 * green/reader_emit.c - turns what was copied of the registry into green threads of the set.
 *
 * Inspector only, with the target running again: analysis has all the time the report has. Decides who runs (an OS thread's stack
 * pointer is inside the stack), decodes contexts, checks them, and says of what it can't believe why.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "green/reader.h"

#define CODE_CACHE 1024
#define LEARNT 64 /* records of each block that are looked at for the routine they return from */

struct carrier {
    uint64_t sp;
    const struct gmr__thread *thread;
};

struct emitter {
    struct gmr__green *green;
    struct gmr__reader *reader;
    struct carrier *carriers; /* sorted by sp */
    size_t carrier_count;
    uint64_t bad_records, bad_contexts, approximate, late;
    struct gmr__switches switches;
    struct gmr__unowned unowned;
    bool unowned_now;             /* their turn, after all others */
    bool settled;                 /* the copy of the one at hand was made ahead, and stands */
    uint64_t code[CODE_CACHE];    /* addresses known to be code */
    uint64_t returns[CODE_CACHE]; /* ... and to be returned to */
};

static int compare_carriers(const void *a, const void *b)
{
    const struct carrier *x = a, *y = b;
    return x->sp < y->sp ? -1 : x->sp > y->sp;
}

static void load_carriers(struct emitter *e)
{
    size_t count;
    const struct gmr__thread *threads = gmr__green_stopped(e->green, &count);
    e->carriers = calloc(count + 1, sizeof(*e->carriers));
    for (size_t i = 0; e->carriers && i < count; i++)
        if (threads[i].regs.valid >> gmr__arch_sp & 1)
            e->carriers[e->carrier_count++] = (struct carrier){threads[i].regs.value[gmr__arch_sp], &threads[i]};
    if (e->carriers)
        qsort(e->carriers, e->carrier_count, sizeof(*e->carriers), compare_carriers);
}

/* The OS thread whose stack pointer lies in [low, high). */
static const struct gmr__thread *carrier_of(const struct emitter *e, uint64_t low, uint64_t high)
{
    size_t from = 0, to = e->carrier_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (e->carriers[middle].sp < low)
            from = middle + 1;
        else
            to = middle;
    }
    return from < e->carrier_count && e->carriers[from].sp < high ? e->carriers[from].thread : NULL;
}

static const struct gmr__thread *thread_of(const struct emitter *e, pid_t tid)
{
    for (size_t i = 0; i < e->carrier_count; i++)
        if (e->carriers[i].thread->tid == tid)
            return e->carriers[i].thread;
    return NULL;
}

static bool is_code(struct emitter *e, uint64_t address)
{
    uint64_t *cached = &e->code[(address ^ address >> 12) % CODE_CACHE];
    if (*cached == address && address)
        return true;
    if (!gmr__green_is_code(e->green, address))
        return false;
    *cached = address;
    return true;
}

/* No call in front of it: where a green thread begins that has not run. */
static bool is_return(struct emitter *e, uint64_t address)
{
    uint64_t *cached = &e->returns[(address ^ address >> 12) % CODE_CACHE];
    if (*cached == address)
        return true;
    if (!gmr__green_is_return_address(e->green, address))
        return false;
    *cached = address;
    return true;
}

static void grow_strings(struct gmr__reader *reader)
{
    size_t cap = reader->string_cap ? reader->string_cap * 2 : 256, old_cap = reader->string_cap;
    __typeof__(reader->strings) old = reader->strings, table = calloc(cap, sizeof(*table));
    if (!table)
        return;
    for (size_t i = 0; i < old_cap; i++) {
        if (!old[i].address)
            continue;
        size_t at = (size_t)(old[i].address * 0x9e3779b97f4a7c15u >> 20) & (cap - 1);
        while (table[at].address)
            at = (at + 1) & (cap - 1);
        table[at] = old[i];
    }
    free(old);
    reader->strings = table;
    reader->string_cap = cap;
}

const char *gmr__reader_string(struct gmr__green *green, struct gmr__reader *reader, uint64_t address)
{
    char text[256];
    if (!address)
        return NULL;
    if (reader->string_count * 2 >= reader->string_cap)
        grow_strings(reader);
    if (reader->string_count * 2 >= reader->string_cap)
        return NULL;
    size_t at = (size_t)(address * 0x9e3779b97f4a7c15u >> 20) & (reader->string_cap - 1);
    for (; reader->strings[at].address; at = (at + 1) & (reader->string_cap - 1))
        if (reader->strings[at].address == address)
            return reader->strings[at].text;
    if (gmr__green_out_of_time(green))
        return NULL;
    const char *kept = gmr__green_read_string(green, address, text, sizeof(text)) < 0 ? "(unreadable)"
                                                                                      : gmr__green_intern(green, text);
    reader->strings[at].address = address;
    reader->strings[at].text = kept;
    reader->string_count++;
    return kept;
}

static void put_detail(struct emitter *e, const struct gmr__detail *detail, struct gmr__green_thread *t)
{
    t->name = gmr__reader_string(e->green, e->reader, detail->name);
    t->wait_reason = gmr__reader_string(e->green, e->reader, detail->wait_reason);
    t->wait_object = t->wait_reason ? detail->wait_object : 0;
    t->since_ns = t->wait_reason ? detail->since_ns : 0;
    t->id = detail->id;
    t->parent = detail->parent;
    memcpy(t->creator, detail->creator, sizeof(detail->creator));
    if (t->wait_reason)
        t->state = GMR__GREEN_WAITING;
    if (detail->language_kind)
        gmr__reader_language(e->green, e->reader, detail, t);
}

/* swapcontext that saves its own exit as pc saves that in the link register, too; without either pc is the caller's already. */
static void leave_first(struct emitter *e, const struct gmr__shape *shape, const unsigned char *block,
                        struct gmr__regs *regs)
{
    const struct gmr_layout *l = &shape->layout;
    uint64_t *pc = &regs->value[gmr__arch_pc], alternate;
    if (l->off_alternate_pc == GMR_NO_OFFSET)
        return;
    bool inside = l->switch_low ? *pc >= (uint64_t)(uintptr_t)l->switch_low && *pc < (uint64_t)(uintptr_t)l->switch_high
                                : *pc == regs->value[gmr__arch_return];
    memcpy(&alternate, block + (l->off_alternate_pc - shape->low), sizeof(alternate));
    alternate = gmr__arch_strip(alternate);
    if (inside && is_return(e, alternate))
        *pc = alternate;
}

/* A suspended one's registers, checked. A sentence if they can't be had. */
static const char *decode(struct emitter *e, const struct gmr__shape *shape, const struct gmr__record *record,
                          const struct gmr__copied *copied, struct gmr__green_thread *t)
{
    const struct gmr_layout *l = &shape->layout;
    const unsigned char *block = copied->block;
    uint64_t base = record->slot;
    if (l->flags & GMR_LAYOUT_MANGLED && !e->reader->has_guard)
        return "its saved registers are mangled, and the process's pointer guard can't be read";
    if (!copied->stack_start)
        return l->flags & GMR_LAYOUT_NULL_RUNS ? "its context is in flight: it was just being switched to or from"
                                               : "its saved context can't be read";
    if (l->kind == GMR_CONTEXT_SP_SLOT) {
        base = copied->stack_start;
        if (!copied->stack_got)
            return "its saved stack pointer lies outside its stack, or the stack can't be read";
        if (copied->stack_got < (uint32_t)shape->high || shape->low < 0)
            return "its saved registers lie beyond its stack";
        block = copied->stack + shape->low;
    }
    if (!block || !gmr__context_decode(shape, base, block, e->reader->guard, &t->regs))
        return "its saved context can't be read";
    uint64_t *sp = &t->regs.value[gmr__arch_sp], *pc = &t->regs.value[gmr__arch_pc];
    if (t->stack_low && (*sp < t->stack_low || *sp > t->stack_high))
        return "its saved stack pointer lies outside its stack";
    if (l->flags & GMR_LAYOUT_PC_ON_STACK && copied->stack_got >= 8 && *sp == copied->stack_start) {
        uint64_t back;
        memcpy(&back, copied->stack, sizeof(back));
        back = gmr__arch_strip(back);
        if (is_code(e, back)) {
            *pc = back;
            *sp += 8;
            t->regs.valid |= (uint64_t)1 << gmr__arch_pc;
        }
    }
    if (l->flags & GMR_LAYOUT_PC_IN_FIRST && t->regs.valid >> gmr__arch_pc & 1)
        leave_first(e, shape, block, &t->regs);
    if (!(t->regs.valid >> gmr__arch_pc & 1) || !is_code(e, *pc))
        return "its saved program counter is not in code";
    if (!copied->stack_got)
        return "its stack can't be read";
    return NULL;
}

static bool in_range(uint64_t pc, const void *low, const void *high)
{
    return low && pc >= (uint64_t)(uintptr_t)low && pc < (uint64_t)(uintptr_t)high;
}

static void put_running(const struct gmr__thread *carrier, struct gmr__green_thread *t)
{
    t->state = GMR__GREEN_RUNNING;
    t->carrier = carrier->tid;
    t->wait_reason = NULL;
    t->regs = carrier->regs;
    t->activation = true;
    t->copy = carrier->stack;
    t->copy_lasts = true; /* the snapshot outlives the set */
    if (!carrier->stack.bytes && !t->problem)
        t->problem = carrier->reason ? carrier->reason : "the OS thread's stack was not copied";
}

/* The one OS thread that may run it has ended. */
static bool nobody_runs_it(const struct emitter *e, const struct gmr__record *record)
{
    return e->reader->apart && !thread_of(e, (pid_t)(record->home & GMR__RECORD_TID));
}

static void put_suspended(struct emitter *e, const struct gmr__shape *shape, const struct gmr__record *record,
                          const struct gmr__copied *copied, struct gmr__green_thread *t)
{
    if (t->state == GMR__GREEN_UNKNOWN)
        t->state = GMR__GREEN_SUSPENDED;
    if (shape->layout.kind == 0)
        return; /* frames of a language only */
    t->problem = decode(e, shape, record, copied, t);
    if (t->problem) {
        t->regs.valid = 0;
        e->bad_contexts++;
        return;
    }
    uint64_t pc = t->regs.value[gmr__arch_pc];
    if (pc == t->entry || (!t->entry && !is_return(e, pc)) ||
        in_range(pc, shape->layout.entry_low, shape->layout.entry_high)) {
        t->state = GMR__GREEN_NEW;
        t->activation = true;
    }
    uint64_t sp = t->regs.value[gmr__arch_sp];
    uint64_t skip = sp > copied->stack_start ? sp - copied->stack_start : 0;
    if (skip < copied->stack_got)
        t->copy =
            (struct gmr__segment){copied->stack_start + skip, copied->stack_got - (uint32_t)skip, copied->stack + skip};
    else
        t->copy = (struct gmr__segment){copied->stack_start, copied->stack_got, copied->stack};
    t->copy_lasts = true;
    t->approximate = e->reader->stopped && !copied->fresh && !e->settled && !nobody_runs_it(e, record);
    e->approximate += t->approximate;
}

/* Stopped inside the switch routine: the one it switches from still, or the one it switches to already. */
static void leave_switch(struct emitter *e, const struct gmr__switch *routine, const struct gmr__shape *shape,
                         const struct gmr__record *record, const struct gmr__copied *copied,
                         const struct gmr__thread *carrier, struct gmr__green_thread *t)
{
    struct gmr__green_thread saved = *t;
    if (gmr__switch_leave(e->green, routine, shape, &carrier->stack, &saved.regs)) {
        t->regs = saved.regs;
        t->activation = false;
        return;
    }
    if (carrier->regs.value[gmr__arch_pc] < routine->loaded)
        return; /* the routine may have unwind information */
    saved.activation = false;
    put_suspended(e, shape, record, copied, &saved);
    if (saved.problem)
        return;
    *t = saved;
    t->state = GMR__GREEN_RUNNING;
}

static int emit_one(void *userdata, const struct gmr__shape *shape, const struct gmr__record *record,
                    const struct gmr__copied *copied, struct gmr__green_thread *t)
{
    struct emitter *e = userdata;
    t->entry = record->entry;
    t->argument = record->argument;
    t->has_argument = record->entry != 0;
    t->carrier = shape->layout.flags & GMR_LAYOUT_MIGRATES ? 0 : (pid_t)(record->home & GMR__RECORD_TID);
    t->stack_low = record->stack_low;
    t->stack_high = record->stack_low + (uint64_t)record->stack_units * 16;
    if (t->stack_high < t->stack_low)
        t->stack_low = t->stack_high = 0;
    const struct gmr__thread *carrier =
        t->stack_low < t->stack_high ? carrier_of(e, t->stack_low, t->stack_high) : NULL;
    if (!carrier && t->state == GMR__GREEN_RUNNING) /* the list says so; on the OS thread's own stack, perhaps */
        carrier = thread_of(e, t->carrier);
    if (carrier && !copied->copied_away) {
        put_running(carrier, t);
        const struct gmr__switch *routine = gmr__switch_at(&e->switches, carrier->regs.value[gmr__arch_pc]);
        if (routine && t->stack_low < t->stack_high)
            leave_switch(e, routine, shape, record, copied, carrier, t);
    } else {
        put_suspended(e, shape, record, copied, t);
    }
    if (gmr__unowned(shape) && !gmr__unowned_there(e->green, &e->unowned, shape, record, copied, t))
        return 0;
    return gmr__green_emit(e->green, t);
}

static int emit_record(struct emitter *e, const struct gmr__slab *slab, uint32_t i)
{
    const struct gmr__record *record = &slab->records[i];
    const struct gmr__copied *copied = &slab->copied[i];
    if (!(record->generation & 1) || copied->lua)
        return 0;
    if (copied->shape == UINT16_MAX) {
        e->bad_records += !e->unowned_now;
        return 0;
    }
    struct gmr__copied unread = {0};
    if (!copied->shape) { /* the time ended before it was looked at: what the record says is there still */
        gmr__reader_shape(e->green, e->reader, record, &unread);
        e->late += !e->unowned_now;
        if (!unread.shape || unread.shape == UINT16_MAX)
            return 0;
        copied = &unread;
    }
    const struct gmr__shape *shape = &e->reader->shapes[copied->shape - 1];
    if (gmr__unowned(shape) != e->unowned_now)
        return 0;
    struct gmr__green_thread t = {
        .address = slab->address + i * sizeof(*record),
        .kind = shape->name,
        .idle = record->home & GMR__RECORD_IDLE,
        .claimed = copied->claimed == record->generation,
        .switches = record->home & GMR__RECORD_COUNTED ? (record->switches + 1) / 2 : 0,
    };
    if (record->home & GMR__RECORD_DETAIL && copied->detail)
        put_detail(e, copied->detail, &t);
    e->settled = slab->class[i] == GMR__RECORD_SETTLED;
    return emit_one(e, shape, record, copied, &t);
}

static void put_notes(struct emitter *e)
{
    uint64_t left_out = 0, lost = 0;
    for (size_t r = 0; r < e->reader->root_count; r++) {
        left_out += e->reader->roots[r].left_out;
        lost += e->reader->roots[r].registry.lost;
    }
    if (lost)
        gmr__green_note(e->green, "the program had no memory to tell of %llu green threads", (unsigned long long)lost);
    if (e->reader->unreadable_slabs)
        gmr__green_note(e->green, "%llu blocks of the registry can't be read",
                        (unsigned long long)e->reader->unreadable_slabs);
    if (e->bad_records)
        gmr__green_note(e->green, "%llu records of the registry are corrupt or of a layout this gmr does not know",
                        (unsigned long long)e->bad_records);
    if (e->late)
        gmr__green_note(e->green, "%llu green threads were not reached in the time there was: they have no stack here",
                        (unsigned long long)e->late);
    if (left_out)
        gmr__green_note(e->green, "%llu records of the registry, past the %llu that a report takes, were not read",
                        (unsigned long long)left_out, (unsigned long long)e->green->options.max_threads);
    if (e->approximate)
        gmr__green_note(
            e->green,
            "the stacks of %llu green threads were copied while they could run (the stop's budget of %llu ms was "
            "used up): they are marked approximate",
            (unsigned long long)e->approximate, (unsigned long long)(e->green->options.stop_budget_ns / 1000000));
    if (!e->reader->stopped)
        gmr__green_note(e->green, "the OS threads were not stopped for the green threads: their stacks may be torn");
}

static int emit_records(struct emitter *e)
{
    int error = 0;
    for (size_t r = 0; r < e->reader->root_count; r++) {
        const struct gmr__root *root = &e->reader->roots[r];
        for (size_t s = 0; s < root->slab_count; s++)
            for (uint32_t i = 0; i < root->slabs[s]->count; i++) {
                int one = emit_record(e, root->slabs[s], i);
                error = error ? error : one;
            }
    }
    return error;
}

/* The switch routines: those that layouts tell, that have a known name, and that suspended green threads return from. */
static void find_switches(struct emitter *e)
{
    const struct gmr__reader *reader = e->reader;
    for (size_t i = 0; i < reader->shape_count; i++)
        if (reader->shapes[i].layout.version == GMR_LAYOUT_VERSION)
            gmr__switches_add(e->green, &e->switches, (uint64_t)(uintptr_t)reader->shapes[i].layout.switch_low,
                              (uint64_t)(uintptr_t)reader->shapes[i].layout.switch_high);
    gmr__switches_by_name(e->green, &e->switches);
    for (size_t r = 0; r < reader->root_count; r++)
        for (size_t s = 0; s < reader->roots[r].slab_count; s++) {
            const struct gmr__slab *slab = reader->roots[r].slabs[s];
            for (uint32_t i = 0; i < slab->count && i < LEARNT; i++) {
                const struct gmr__copied *copied = &slab->copied[i];
                struct gmr__green_thread t = {0};
                if (slab->records[i].generation & 1 && copied->shape && copied->shape != UINT16_MAX &&
                    !decode(e, &reader->shapes[copied->shape - 1], &slab->records[i], copied, &t))
                    gmr__switches_learn(e->green, &e->switches, t.regs.value[gmr__arch_pc]);
            }
        }
}

int gmr__reader_emit(struct gmr__green *green, struct gmr__reader *reader)
{
    struct emitter *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->green = green;
    e->reader = reader;
    load_carriers(e);
    find_switches(e);
    int error = emit_records(e);
    e->settled = false;
    int lists = gmr__reader_emit_lists(green, reader, emit_one, e);
    error = error ? error : lists;
    gmr__unowned_begin(green, reader, &e->unowned);
    if (e->unowned.count) {
        e->unowned_now = true;
        int unowned = emit_records(e);
        error = error ? error : unowned;
    }
    gmr__unowned_end(green, &e->unowned);
    put_notes(e);
    free(e->carriers);
    free(e);
    return error == -ENOSPC ? 0 : error; /* past the limit: said by the set */
}
