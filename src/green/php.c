/*
 * green/php.c - the source of PHP's fibers, told exactly by Zend's own table of objects; and what PHP's OS thread runs.
 *
 * Inspector only. The command and the modules of Debian (without thread safety) export executor_globals and zend_ce_fiber. `ahead` copies the table and notes the
 * objects of class Fiber; at the stop what changed in it since is looked at again. Offsets are those of PHP 8.2's and 8.4's headers; which of them it
 * is, is told by the table itself, where each object stands under its own number. A fiber's C stack is one of Boost's contexts.
 */
#include "green/php.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys/grow.h"
#include "sys/word.h"

#define MAX_OBJECTS 4000000u
#define MAX_FIBERS 1000000u
#define STACK_COPY 16384u
#define CHECKED 16

enum { OBJECT_NUMBER = 8, OBJECT_CLASS = 16, OBJECT_BYTES = 24 };                           /* zend_object */
enum { CONTEXT = 64, KIND = 72, STACK = 96, STATUS = 104, START = 248, FIBER_BYTES = 328 }; /* zend_fiber */
enum { STATUS_INIT, STATUS_RUNNING, STATUS_SUSPENDED, STATUS_DEAD };                        /* zend_fiber_status */

static const struct gmr__php_layout layouts[] = {
    {840, 1680, 280, 288, 152, 160}, /* 8.2 */
    {856, 1752, 288, 296, 168, 176}, /* 8.4 */
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

struct fiber {
    uint64_t address, stack_low, stack_high;
    uint32_t status, call_count;
    struct gmr__php_call *calls;
    struct gmr__regs regs;
    struct gmr__segment copy;
    const char *end;
    bool gone, active;
};

struct php {
    struct gmr__green *green;
    const struct gmr__php_layout *layout;
    uint64_t globals, fiber_class, active;
    uint64_t *table; /* of objects, as it was ahead */
    size_t table_count, table_cap;
    struct fiber *fibers;
    size_t count, cap;
    struct gmr__addrmap seen;    /* fibers, each once: one may be made where another was */
    struct gmr__php_call *calls; /* of the OS thread */
    uint32_t call_count;
    const char *calls_end;
    bool cut;
};

static uint64_t read_word(struct gmr__green *green, uint64_t address)
{
    uint64_t word;
    return gmr__green_read(green, address, &word, sizeof(word)) == 0 ? word : 0;
}

struct store {
    uint64_t table;
    uint32_t top, size;
};

static bool read_store(struct gmr__green *green, uint64_t globals, const struct gmr__php_layout *layout,
                       struct store *store)
{
    return gmr__green_read(green, globals + layout->objects, store, sizeof(*store)) == 0 && store->table % 8 == 0 &&
           store->top >= 1 && store->top <= store->size && store->size <= MAX_OBJECTS;
}

/* 1: objects stand under their own numbers; 0: there are none; -1: no table of objects. */
static int objects_agree(struct gmr__green *green, uint64_t globals, const struct gmr__php_layout *layout)
{
    struct store store;
    if (!read_store(green, globals, layout, &store))
        return -1;
    int agree = 0;
    for (uint32_t i = 1; i < store.top && i < CHECKED; i++) {
        uint64_t object = read_word(green, store.table + i * 8);
        uint32_t number;
        if (object & 1) /* free */
            continue;
        if (gmr__green_read(green, object + OBJECT_NUMBER, &number, sizeof(number)) != 0 || number != i)
            return -1;
        agree = 1;
    }
    return agree;
}

/* Without objects: does some call's function have a file? */
static bool files_agree(struct gmr__green *green, uint64_t globals, const struct gmr__php_layout *layout)
{
    uint32_t count;
    const char *end;
    struct gmr__php_call *calls = gmr__php_calls(green, read_word(green, globals + GMR__PHP_CURRENT), 0, &count, &end);
    for (uint32_t i = 0; i < count; i++)
        if (gmr__php_string(green, read_word(green, calls[i].function + layout->file), NULL))
            return true;
    return false;
}

static const struct gmr__php_layout *find_layout(struct gmr__green *green, uint64_t globals)
{
    for (size_t i = 0; i < LAYOUTS; i++)
        if (objects_agree(green, globals, &layouts[i]) == 1)
            return &layouts[i];
    for (size_t i = 0; i < LAYOUTS; i++)
        if (objects_agree(green, globals, &layouts[i]) == 0 && files_agree(green, globals, &layouts[i]))
            return &layouts[i];
    return NULL;
}

static int find(struct gmr__green *green, void **state)
{
    uint64_t globals, class_variable;
    if (gmr__arch_pc != 16 || gmr__green_symbol(green, NULL, "zend_ce_fiber", &class_variable, NULL) != 0 ||
        gmr__green_symbol(green, NULL, "executor_globals", &globals, NULL) != 0)
        return 0;
    uint64_t fiber_class = read_word(green, class_variable);
    if (!fiber_class || !read_word(green, globals + GMR__PHP_CURRENT))
        return 0; /* it has not begun, or waits for work */
    const struct gmr__php_layout *layout = find_layout(green, globals);
    if (!layout) {
        gmr__green_note(green, "this PHP is laid out otherwise than 8.2 and 8.4: functions of PHP are not named");
        return 0;
    }
    struct php *php = calloc(1, sizeof(*php));
    if (!php)
        return -ENOMEM;
    php->green = green;
    php->layout = layout;
    php->globals = globals;
    php->fiber_class = fiber_class;
    gmr__addrmap_init(&php->seen, MAX_FIBERS);
    *state = php;
    return 1;
}

static void see_object(struct php *php, uint64_t object)
{
    if ((object & 1) || !object || read_word(php->green, object + OBJECT_CLASS) != php->fiber_class ||
        gmr__addrmap_get(&php->seen, object, NULL))
        return;
    if (!gmr__addrmap_put(&php->seen, object, 1) ||
        !GMR__GROW_UP_TO(php->fibers, php->cap, php->count + 1, MAX_FIBERS)) {
        php->cut = true;
        return;
    }
    php->fibers[php->count++] = (struct fiber){.address = object};
}

/* Room for as many objects more is made now: at the stop is no time for it. */
static int ahead(struct gmr__green *green, void *state)
{
    struct php *php = state;
    struct store store;
    if (!read_store(green, php->globals, php->layout, &store))
        return 0;
    php->table_cap = store.size;
    php->table = calloc(store.size, sizeof(*php->table));
    if (!php->table || gmr__green_read(green, store.table, php->table, store.top * sizeof(*php->table)) != 0)
        return 0;
    php->table_count = store.top;
    for (uint32_t i = 1; i < store.top; i++) {
        if (i % 1024 == 0 && gmr__green_out_of_time(green)) {
            php->cut = true;
            break;
        }
        see_object(php, php->table[i]);
    }
    return 0;
}

/* Objects that were made since: where the table says something else than it did. */
static void see_changes(struct php *php)
{
    struct store store;
    if (!read_store(php->green, php->globals, php->layout, &store) || store.top > php->table_cap)
        return;
    uint64_t *now = gmr__green_alloc(php->green, store.top * sizeof(*now));
    if (!now || gmr__green_read(php->green, store.table, now, store.top * sizeof(*now)) != 0)
        return;
    for (uint32_t i = 1; i < store.top && !gmr__green_out_of_time(php->green); i++)
        if (i >= php->table_count || now[i] != php->table[i])
            see_object(php, now[i]);
}

/* What jump_fcontext pushed; PHP brings Boost's context of 1.81 or later, which keeps the return address 64 bytes up, earlier ones at 56. */
static void read_context(struct php *php, struct fiber *fiber, uint64_t context)
{
    static const uint8_t order[] = {12, 13, 14, 15, 3, 6, 16};
    unsigned char bytes[72];
    if (context < fiber->stack_low || context + sizeof(bytes) > fiber->stack_high ||
        gmr__green_read(php->green, context, bytes, sizeof(bytes)) != 0)
        return;
    uint32_t at = gmr__green_is_return_address(php->green, gmr__word(bytes, 64)) ? 64 : 56;
    if (!gmr__green_is_return_address(php->green, gmr__word(bytes, at)))
        return;
    for (uint32_t i = 0; i < sizeof(order); i++) {
        fiber->regs.value[order[i]] = gmr__word(bytes, at - 48 + i * 8);
        fiber->regs.valid |= 1ull << order[i];
    }
    uint64_t sp = context + at + 8;
    fiber->regs.value[7] = sp;
    fiber->regs.valid |= 1u << 7;
    uint32_t left = fiber->stack_high - sp < STACK_COPY ? (uint32_t)(fiber->stack_high - sp) : STACK_COPY;
    unsigned char *copy = left ? gmr__green_alloc(php->green, left) : NULL;
    if (copy && gmr__green_read(php->green, sp, copy, left) == 0)
        fiber->copy = (struct gmr__segment){.address = sp, .data = copy, .bytes = left};
}

static void copy_fiber(struct php *php, struct fiber *fiber)
{
    unsigned char bytes[FIBER_BYTES];
    uint64_t stack[2], call;
    fiber->gone = gmr__green_read(php->green, fiber->address, bytes, sizeof(bytes)) != 0 ||
                  gmr__word(bytes, OBJECT_CLASS) != php->fiber_class;
    if (fiber->gone)
        return;
    memcpy(&fiber->status, bytes + STATUS, sizeof(fiber->status));
    if (fiber->status == STATUS_INIT && (fiber->calls = gmr__green_alloc(php->green, sizeof(*fiber->calls)))) {
        *fiber->calls = (struct gmr__php_call){.function = gmr__word(bytes, START)};
        fiber->call_count = 1;
    }
    if (fiber->status != STATUS_RUNNING && fiber->status != STATUS_SUSPENDED)
        return;
    fiber->active = fiber->address == php->active;
    if (gmr__green_read(php->green, gmr__word(bytes, STACK), stack, sizeof(stack)) == 0 &&
        stack[0] + stack[1] > stack[0]) {
        fiber->stack_low = stack[0];
        fiber->stack_high = stack[0] + stack[1];
        gmr__green_claim(php->green, fiber->stack_low, fiber->stack_high);
    }
    call = fiber->active ? read_word(php->green, php->globals + GMR__PHP_CURRENT)
                         : gmr__word(bytes, php->layout->fiber_call);
    fiber->calls =
        gmr__php_calls(php->green, call, gmr__word(bytes, php->layout->fiber_bottom), &fiber->call_count, &fiber->end);
    if (!fiber->active)
        read_context(php, fiber, gmr__word(bytes, CONTEXT));
}

static int collect(struct gmr__green *green, void *state)
{
    struct php *php = state;
    php->active = read_word(green, php->globals + php->layout->active_fiber);
    uint64_t bottom = php->active ? read_word(green, php->active + php->layout->fiber_bottom) : 0;
    php->calls = gmr__php_calls(green, read_word(green, php->globals + GMR__PHP_CURRENT), bottom, &php->call_count,
                                &php->calls_end);
    if (php->table)
        see_changes(php);
    for (size_t i = 0; i < php->count; i++) {
        if (gmr__green_out_of_time(green)) {
            gmr__green_note(green, "the stop's budget was used up after %zu of %zu fibers of PHP", i, php->count);
            php->count = i;
            break;
        }
        copy_fiber(php, &php->fibers[i]);
    }
    return 0;
}

static int emit(struct php *php, struct gmr__php_names *names, const struct fiber *fiber)
{
    static const enum gmr__green_state states[] = {GMR__GREEN_NEW, GMR__GREEN_SUSPENDED, GMR__GREEN_SUSPENDED,
                                                   GMR__GREEN_DONE};
    struct gmr__green_thread thread = {.address = fiber->address,
                                       .kind = "PHP fiber",
                                       .state = fiber->active ? GMR__GREEN_RUNNING : states[fiber->status & 3],
                                       .idle = fiber->status >= STATUS_DEAD, /* ended, not yet forgotten */
                                       .carrier = gmr__green_snapshot(php->green)->pid,
                                       .stack_low = fiber->stack_low,
                                       .stack_high = fiber->stack_high,
                                       .regs = fiber->regs,
                                       .copy = fiber->copy,
                                       .copy_lasts = true,
                                       .claimed = fiber->stack_high != 0};
    gmr__php_name_calls(names, fiber->calls, fiber->call_count, fiber->end, &thread.language);
    return gmr__green_emit(php->green, &thread);
}

static int finish(struct gmr__green *green, void *state)
{
    struct php *php = state;
    struct gmr__php_names names = {.green = green, .layout = php->layout};
    uint64_t bytes;
    int error = 0;
    gmr__addrmap_init(&names.functions, MAX_FIBERS);
    if (gmr__green_symbol(green, NULL, "execute_ex", &names.interpreter, &bytes) == 0)
        names.interpreter_end = names.interpreter + bytes;
    struct gmr__language_stack language;
    gmr__php_name_calls(&names, php->calls, php->call_count, php->calls_end, &language);
    if (language.frame_count)
        gmr__green_emit_os_thread(green, gmr__green_snapshot(green)->pid, &language);
    for (size_t i = 0; i < php->count; i++) {
        int one = php->fibers[i].gone ? 0 : emit(php, &names, &php->fibers[i]);
        error = error ? error : one;
    }
    gmr__addrmap_free(&names.functions);
    if (php->cut)
        gmr__green_note(green, "PHP has too many objects to look at them all: fibers may be missing");
    return error == -ENOSPC ? 0 : error;
}

static void release(void *state)
{
    struct php *php = state;
    if (!php)
        return;
    gmr__addrmap_free(&php->seen);
    free(php->table);
    free(php->fibers);
    free(php);
}

const struct gmr__green_source gmr__green_source_php = {
    .name = "php",
    .find = find,
    .ahead = ahead,
    .collect = collect,
    .finish = finish,
    .release = release,
    .together = true,
};
