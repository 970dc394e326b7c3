/*
 * green/reader_lists.c - green threads of schedulers that keep a list of their own and described it (gmr_green_list_add).
 *
 * Inspector only. Ahead of the stop a list is walked link by link; at the stop all objects known by then are read again in one go and only
 * what is new is followed. Each object becomes a record like those of the registry, so that copying and emitting are the
 * same. Hostile lists: a cycle ends the walk, a description with absurd offsets is left out, the number of elements is bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "green/addrmap.h"
#include "green/reader.h"
#include "sys/grow.h"

#define MAX_SPAN 65536
#define MAX_LISTS 64

struct object {
    uint64_t address;
    unsigned char *bytes; /* from address + span.low; NULL: unreadable */
    struct gmr__record record;
    struct gmr__copied copied;
    uint64_t stack_object, stack_low, stack_second; /* as last read from it */
    bool seen;                                      /* in the walk under way */
    bool stored;                                    /* bytes are of this phase */
};

struct gmr__read_list {
    struct gmr__list_entry entry;
    struct gmr_green_list list;
    struct gmr__shape shape;
    const char *name;
    int64_t low, high; /* bytes of an object that are needed */
    struct object *objects;
    size_t count, cap;
    struct gmr__addrmap index; /* object -> number + 1 */
    bool usable, broken, cycle, out_of_time;
};

static void widen(struct gmr__read_list *l, int64_t offset, int64_t bytes)
{
    if (offset == GMR_NO_MEMBER)
        return;
    if (offset < l->low)
        l->low = offset;
    if (offset + bytes > l->high)
        l->high = offset + bytes;
}

static void prepare_list(struct gmr__green *green, struct gmr__reader *reader, struct gmr__read_list *l)
{
    struct gmr_green_list *d = &l->list;
    char name[64];
    struct gmr__record record = {0};
    struct gmr__copied copied = {0};
    if (gmr__green_read(green, l->entry.list, d, sizeof(*d)) < 0 || d->version != GMR_LIST_VERSION ||
        d->kind < GMR_LIST_LINKED || d->kind > GMR_LIST_ARRAY)
        return;
    record.layout = (uint64_t)(uintptr_t)d->layout;
    const struct gmr__shape *shape = gmr__reader_shape(green, reader, &record, &copied);
    if (!shape)
        return;
    l->shape = *shape;
    l->name = shape->name;
    if (gmr__green_read_string(green, (uint64_t)(uintptr_t)d->name, name, sizeof(name)) > 0)
        l->name = gmr__green_intern(green, name);
    bool apart = d->off_stack_object != GMR_NO_MEMBER;
    const int32_t words[] = {d->off_link,     apart ? d->off_stack_object : d->off_stack,
                             d->off_name,     apart ? GMR_NO_MEMBER : d->off_stack_size,
                             d->off_id,       d->off_state,
                             d->off_entry,    d->off_wait,
                             d->off_argument, d->off_context,
                             d->off_switches};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        widen(l, words[i], 8);
    if (d->flags & GMR_LIST_NAME_INLINE)
        widen(l, d->off_name, 64);
    bool links = d->kind != GMR_LIST_LINKED || d->off_link != GMR_NO_MEMBER;
    bool elements = d->kind != GMR_LIST_ARRAY || (d->element_bytes >= 8 && d->element_bytes <= 1u << 20);
    l->usable = l->high - l->low <= MAX_SPAN && links && elements && l->name;
    gmr__addrmap_init(&l->index, green->options.max_threads);
}

static uint64_t member(const struct gmr__read_list *l, const struct object *o, int32_t offset, unsigned bytes)
{
    uint64_t value = 0;
    if (offset != GMR_NO_MEMBER && o->bytes && bytes <= 8)
        memcpy(&value, o->bytes + (offset - l->low), bytes);
    return value;
}

static struct object *get_object(struct gmr__green *green, struct gmr__read_list *l, uint64_t address)
{
    uint64_t number;
    if (!address || address & 3)
        return NULL;
    if (!gmr__addrmap_get(&l->index, address, &number)) {
        if (l->count >= green->options.max_threads || !GMR__GROW(l->objects, l->cap, l->count + 1))
            return NULL;
        l->objects[l->count] = (struct object){.address = address};
        number = ++l->count;
        if (!gmr__addrmap_put(&l->index, address, number)) {
            l->count--;
            return NULL;
        }
    }
    struct object *o = &l->objects[number - 1];
    if (!o->bytes)
        o->bytes = gmr__arena_alloc(&green->arena, (size_t)(l->high - l->low));
    if (o->bytes && !o->stored) {
        if (gmr__green_read(green, address + (uint64_t)l->low, o->bytes, (size_t)(l->high - l->low)) < 0) {
            l->broken = true;
            return NULL;
        }
        o->stored = true;
    }
    return o->bytes ? o : NULL;
}

static void walk_links(struct gmr__green *green, struct gmr__read_list *l)
{
    const struct gmr_green_list *d = &l->list;
    uint64_t at, first;
    bool ring = d->flags & GMR_LIST_HEAD_IS_LINK;
    if (gmr__green_read(green, l->entry.head, &at, sizeof(at)) < 0) {
        l->broken = true;
        return;
    }
    first = at;
    for (size_t steps = 0; at && !(ring && at == l->entry.head); steps++) {
        if (steps && !ring && at == first)
            return;
        if (gmr__green_out_of_time(green)) {
            l->out_of_time = true;
            return;
        }
        struct object *o = get_object(green, l, d->flags & GMR_LIST_TO_LINK ? at - (uint64_t)d->off_link : at);
        if (!o) {
            l->broken = true;
            return;
        }
        if (o->seen) {
            l->cycle = true;
            return;
        }
        o->seen = true;
        at = member(l, o, d->off_link, 8);
    }
}

static void walk_array(struct gmr__green *green, struct gmr__read_list *l)
{
    const struct gmr_green_list *d = &l->list;
    uint64_t base = 0, count = 0, pointers[512];
    if (gmr__green_read(green, l->entry.head, &base, 8) < 0 || gmr__green_read(green, l->entry.count, &count, 8) < 0) {
        l->broken = true;
        return;
    }
    if (count > green->options.max_threads) {
        l->broken = true;
        count = green->options.max_threads;
    }
    for (uint64_t i = 0; i < count && !(l->out_of_time = gmr__green_out_of_time(green)); i++) {
        uint64_t address = base + i * d->element_bytes;
        if (d->kind == GMR_LIST_POINTERS) {
            uint64_t chunk = count - i / 512 * 512 < 512 ? count - i / 512 * 512 : 512;
            if (i % 512 == 0 && gmr__green_read(green, base + i * 8, pointers, chunk * 8) < 0) {
                l->broken = true;
                return;
            }
            address = pointers[i % 512];
            if (!address)
                continue;
        }
        struct object *o = get_object(green, l, address);
        if (o)
            o->seen = true;
        else if (l->broken)
            return;
    }
}

/* The objects known so far, in few calls. */
static void reread(struct gmr__green *green, struct gmr__read_list *l)
{
    struct gmr__green_piece *pieces = malloc((l->count + 1) * sizeof(*pieces));
    for (size_t i = 0; i < l->count; i++) {
        l->objects[i].stored = l->objects[i].seen = false;
        if (pieces)
            pieces[i] = (struct gmr__green_piece){.address = l->objects[i].address + (uint64_t)l->low,
                                                  .to = l->objects[i].bytes,
                                                  .bytes = l->objects[i].bytes ? (uint32_t)(l->high - l->low) : 0};
    }
    if (!pieces)
        return;
    gmr__green_read_many(green, pieces, l->count);
    for (size_t i = 0; i < l->count; i++)
        l->objects[i].stored = pieces[i].bytes && pieces[i].got == pieces[i].bytes;
    free(pieces);
}

static const struct gmr_green_list_state *state_of(const struct gmr__read_list *l, const struct object *o)
{
    const struct gmr_green_list *d = &l->list;
    if (d->off_state == GMR_NO_MEMBER)
        return NULL;
    uint64_t value = member(l, o, d->off_state, d->state_bytes);
    for (size_t i = 0; i < GMR_LIST_STATES && d->states[i].state; i++)
        if ((uint64_t)(uint32_t)d->states[i].value == (value & 0xffffffffu))
            return &d->states[i];
    return NULL;
}

/* Lowest address and bytes of an object's stack. */
static uint64_t stack_of(struct gmr__green *green, const struct gmr__read_list *l, struct object *o, uint64_t *bytes)
{
    const struct gmr_green_list *d = &l->list;
    uint64_t low = 0, second = d->stack_size;
    unsigned wide = d->stack_size_bytes ? d->stack_size_bytes : 8;
    if (d->off_stack_object == GMR_NO_MEMBER) {
        low = member(l, o, d->off_stack, 8);
        if (d->off_stack_size != GMR_NO_MEMBER)
            second = member(l, o, d->off_stack_size, wide);
    } else {
        uint64_t apart = member(l, o, d->off_stack_object, 8);
        if (apart != o->stack_object) {
            o->stack_object = apart;
            o->stack_low = 0;
            o->stack_second = d->stack_size;
            gmr__green_read(green, apart + (uint64_t)(int64_t)d->off_stack, &o->stack_low, 8);
            if (d->off_stack_size != GMR_NO_MEMBER && wide <= 8) {
                o->stack_second = 0;
                gmr__green_read(green, apart + (uint64_t)(int64_t)d->off_stack_size, &o->stack_second, wide);
            }
        }
        low = o->stack_low;
        second = o->stack_second;
    }
    *bytes = d->flags & GMR_LIST_STACK_END ? (second > low ? second - low : 0) : second;
    return low;
}

/* As the registry's records are. */
static void fill_record(struct gmr__green *green, struct gmr__read_list *l, struct object *o)
{
    const struct gmr_green_list *d = &l->list;
    uint64_t size, low = stack_of(green, l, o, &size);
    o->record = (struct gmr__record){
        .layout = (uint64_t)(uintptr_t)d->layout,
        .slot = d->off_context == GMR_NO_MEMBER ? 0 : o->address + (uint64_t)d->off_context,
        .stack_low = low,
        .entry = member(l, o, d->off_entry, 8),
        .argument = member(l, o, d->off_argument, 8),
        .stack_units = size / 16 > UINT32_MAX ? 0 : (uint32_t)(size / 16),
        .generation = 1,
        .home = d->flags & GMR_LIST_MIGRATES ? 0 : l->entry.tid & GMR__RECORD_TID,
        .switches = (uint32_t)member(l, o, d->off_switches, 4),
    };
}

static void copy_list(struct gmr__green *green, struct gmr__reader *reader, struct gmr__read_list *l)
{
    reread(green, l);
    l->broken = l->cycle = l->out_of_time = false;
    if (l->list.kind == GMR_LIST_LINKED)
        walk_links(green, l);
    else
        walk_array(green, l);
    for (size_t i = 0; i < l->count; i++) {
        struct object *o = &l->objects[i];
        if (!o->seen)
            continue;
        const struct gmr_green_list_state *state = state_of(l, o);
        if (state && state->state == GMR_GREEN_SKIP)
            o->seen = false;
        else
            fill_record(green, l, o);
        if (o->seen && green->phase == GMR__PHASE_FIND)
            gmr__green_claim(green, o->record.stack_low, o->record.stack_low + (uint64_t)o->record.stack_units * 16);
        if (o->seen && l->shape.usable)
            gmr__reader_copy_one(green, reader, &o->record, &o->copied, &l->shape);
    }
    gmr__reader_copy_one(green, reader, NULL, NULL, NULL);
}

void gmr__reader_find_lists(struct gmr__green *green, struct gmr__reader *reader)
{
    for (size_t r = 0; r < reader->root_count; r++) {
        const struct gmr__registry *registry = &reader->roots[r].registry;
        for (uint32_t i = 0; i < registry->list_high && i < GMR__LIST_MAX; i++) {
            struct gmr__list_entry entry;
            if (gmr__green_read(green, registry->lists + i * sizeof(entry), &entry, sizeof(entry)) < 0)
                break;
            bool known = false;
            for (size_t n = 0; n < reader->list_count; n++)
                known = known || memcmp(&reader->lists[n]->entry, &entry, sizeof(entry)) == 0;
            if (known || !(entry.generation & 1))
                continue;
            bool room = GMR__GROW_UP_TO(reader->lists, reader->list_cap, reader->list_count + 1, MAX_LISTS);
            struct gmr__read_list *l = room ? calloc(1, sizeof(*l)) : NULL;
            if (!l) {
                gmr__green_note(green, "not all lists of green threads were read: there are more than %d", MAX_LISTS);
                return;
            }
            l->entry = entry;
            prepare_list(green, reader, l);
            if (!l->usable)
                gmr__green_note(green, "a list of green threads is described in a way that can't be read");
            reader->lists[reader->list_count++] = l;
        }
    }
}

void gmr__reader_copy_lists(struct gmr__green *green, struct gmr__reader *reader)
{
    for (size_t i = 0; i < reader->list_count; i++)
        if (reader->lists[i]->usable && (!reader->standing || (pid_t)reader->lists[i]->entry.tid == reader->standing))
            copy_list(green, reader, reader->lists[i]);
}

bool gmr__reader_bound_lists(const struct gmr__reader *reader, bool (*home)(struct gmr__reader *reader, pid_t tid),
                             struct gmr__reader *told)
{
    for (size_t i = 0; i < reader->list_count; i++)
        if (reader->lists[i]->usable &&
            (!(reader->lists[i]->list.flags & GMR_LIST_BOUND) || !home(told, (pid_t)reader->lists[i]->entry.tid)))
            return false;
    return true;
}

static void put_members(struct gmr__green *green, struct gmr__reader *reader, const struct gmr__read_list *l,
                        const struct object *o, struct gmr__green_thread *t)
{
    const struct gmr_green_list *d = &l->list;
    const struct gmr_green_list_state *state = state_of(l, o);
    char name[65];
    t->address = o->address;
    t->kind = l->name;
    t->id = member(l, o, d->off_id, d->id_bytes);
    t->wait_object = member(l, o, d->off_wait, 8);
    t->switches = o->record.switches;
    if (d->off_name != GMR_NO_MEMBER && d->flags & GMR_LIST_NAME_INLINE) {
        memcpy(name, o->bytes + (d->off_name - l->low), 64);
        name[64] = '\0';
        t->name = name[0] ? gmr__green_intern(green, name) : NULL;
    } else if (d->off_name != GMR_NO_MEMBER) {
        t->name = gmr__reader_string(green, reader, member(l, o, d->off_name, 8));
    }
    if (state) {
        t->state = (enum gmr__green_state)state->state;
        t->wait_reason = gmr__reader_string(green, reader, (uint64_t)(uintptr_t)state->reason);
    }
}

/* The objects of lists that a source has emitted which knows the library by itself, and more of them (Pth). */
static void shown_already(struct gmr__green *green, struct gmr__addrmap *shown)
{
    gmr__addrmap_init(shown, green->options.max_threads);
    for (size_t i = 0; i < green->count; i++)
        if (!gmr__green_entry(green, i)->discovered)
            gmr__addrmap_put(shown, gmr__green_entry(green, i)->address, 1);
}

int gmr__reader_emit_lists(struct gmr__green *green, struct gmr__reader *reader, gmr__reader_each each, void *userdata)
{
    int error = 0;
    struct gmr__addrmap shown = {0};
    if (reader->list_count)
        shown_already(green, &shown);
    for (size_t i = 0; i < reader->list_count; i++) {
        struct gmr__read_list *l = reader->lists[i];
        if (!l->usable)
            continue;
        for (size_t n = 0; n < l->count; n++) {
            struct object *o = &l->objects[n];
            struct gmr__green_thread t = {0};
            if (!o->seen || gmr__addrmap_get(&shown, o->address, NULL))
                continue;
            put_members(green, reader, l, o, &t);
            int one = each(userdata, &l->shape, &o->record, &o->copied, &t);
            error = error ? error : one;
        }
        if (l->cycle)
            gmr__green_note(green, "the list of %s green threads runs in a circle: it was left after %zu of them",
                            l->name, l->count);
        if (l->broken)
            gmr__green_note(green, "the list of %s green threads is corrupt after %zu of them", l->name, l->count);
        if (l->out_of_time)
            gmr__green_note(green, "the list of %s green threads was too long for the time there was: %zu were read",
                            l->name, l->count);
    }
    gmr__addrmap_free(&shown);
    return error;
}

void gmr__reader_free_lists(struct gmr__reader *reader)
{
    for (size_t i = 0; i < reader->list_count; i++) {
        gmr__addrmap_free(&reader->lists[i]->index);
        free(reader->lists[i]->objects);
        free(reader->lists[i]);
    }
    free(reader->lists);
}
