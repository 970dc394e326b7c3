/*
 * green/reader.c - finds and reads the registry of green threads that a program with libgmr keeps (registry.h has its format).
 *
 * Inspector only; no line runs in the target. The registry is found through an ELF note of the loaded modules, so in stripped
 * programs and in core files, too. Everything read is believed only as far as it can be checked: sizes must be those we know,
 * counts are bounded, an address that can't be read costs one system call.
 */
#include "green/reader.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "green/lua.h"
#include "green/sources.h"
#include "sys/grow.h"

#define MAX_PHDRS 64
#define MAX_NOTE_BYTES 65536u

/* Does this registry say what we know how to read? */
static bool sane_registry(const struct gmr__registry *r)
{
    return memcmp(r->magic, GMR__REGISTRY_MAGIC, sizeof(r->magic)) == 0 && r->version == GMR__REGISTRY_VERSION &&
           r->bytes >= sizeof(*r) && r->record_bytes == sizeof(struct gmr__record) &&
           r->detail_bytes == sizeof(struct gmr__detail) && r->slab_records == GMR__SLAB_RECORDS &&
           r->slab_bytes == GMR__SLAB_BYTES && r->slab_details == GMR__SLAB_DETAILS && r->slab_max <= GMR__SLAB_MAX &&
           r->list_max <= GMR__LIST_MAX;
}

static void add_root(struct gmr__green *green, struct gmr__reader *reader, uint64_t address)
{
    struct gmr__registry registry;
    for (size_t i = 0; i < reader->root_count; i++)
        if (reader->roots[i].address == address)
            return;
    if (reader->root_count == GMR__READER_ROOTS)
        return;
    if (gmr__green_read(green, address, &registry, sizeof(registry)) < 0 || !sane_registry(&registry)) {
        gmr__green_note(green, "the registry of green threads at 0x%llx is corrupt or of another version",
                        (unsigned long long)address);
        return;
    }
    reader->roots[reader->root_count++] = (struct gmr__root){.address = address, .registry = registry};
}

/* Looks through the notes of one segment. */
static void read_notes(struct gmr__green *green, struct gmr__reader *reader, uint64_t address, uint64_t bytes)
{
    unsigned char *notes = malloc(bytes);
    if (!notes || gmr__green_read(green, address, notes, bytes) < 0) {
        free(notes);
        return;
    }
    for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= bytes;) {
        Elf64_Nhdr head;
        memcpy(&head, notes + at, sizeof(head));
        uint64_t name = at + sizeof(head), desc = name + (((uint64_t)head.n_namesz + 3) & ~3ull);
        uint64_t next = desc + (((uint64_t)head.n_descsz + 3) & ~3ull);
        if (next > bytes || next <= at)
            break;
        struct gmr__registry_note note;
        if (head.n_type == GMR__REGISTRY_NOTE_TYPE && head.n_namesz == sizeof(GMR__REGISTRY_NOTE_NAME) &&
            memcmp(notes + name, GMR__REGISTRY_NOTE_NAME, sizeof(GMR__REGISTRY_NOTE_NAME)) == 0 &&
            head.n_descsz >= sizeof(note)) {
            memcpy(&note, notes + desc, sizeof(note));
            if (note.version == GMR__REGISTRY_VERSION)
                add_root(green, reader, address + desc + (uint64_t)note.offset);
        }
        at = next;
    }
    free(notes);
}

/* The notes of the ELF file that is mapped from `start` on. */
static void read_module(struct gmr__green *green, struct gmr__reader *reader, uint64_t start)
{
    Elf64_Ehdr head;
    Elf64_Phdr phdrs[MAX_PHDRS];
    if (gmr__green_read(green, start, &head, sizeof(head)) < 0 || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phnum > MAX_PHDRS ||
        gmr__green_read(green, start + head.e_phoff, phdrs, head.e_phnum * sizeof(Elf64_Phdr)) < 0)
        return;
    uint64_t first = UINT64_MAX; /* the file's own address of its start */
    for (unsigned i = 0; i < head.e_phnum; i++)
        if (phdrs[i].p_type == PT_LOAD && phdrs[i].p_vaddr < first)
            first = phdrs[i].p_vaddr & ~4095ull;
    for (unsigned i = 0; first != UINT64_MAX && i < head.e_phnum; i++)
        if (phdrs[i].p_type == PT_NOTE && phdrs[i].p_memsz <= MAX_NOTE_BYTES)
            read_notes(green, reader, phdrs[i].p_vaddr - first + start, phdrs[i].p_memsz);
}

static int registry_find(struct gmr__green *green, void **state)
{
    struct gmr__reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return -ENOMEM;
    const struct gmr__snapshot *snapshot = gmr__green_snapshot(green);
    for (size_t i = 0; i < snapshot->map_count && !gmr__green_out_of_time(green); i++) {
        const struct gmr__map *map = &snapshot->maps[i];
        if (map->offset == 0 && map->read && map->path && map->path[0] == '/')
            read_module(green, reader, map->start);
    }
    bool any = false;
    for (size_t i = 0; i < reader->root_count; i++)
        any = any || reader->roots[i].registry.fresh || reader->roots[i].registry.list_high;
    if (!any) {
        free(reader);
        return 0;
    }
    *state = reader;
    return 1;
}

/* ------------------------------------------------------------------------------------------------ records */

static struct gmr__slab *slab_at(struct gmr__root *root, size_t number)
{
    if (!GMR__GROW_ZEROED(root->slabs, root->slab_cap, number + 1))
        return NULL;
    if (!root->slabs[number]) {
        void *slab = mmap(NULL, sizeof(struct gmr__slab), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        root->slabs[number] = slab == MAP_FAILED ? NULL : slab;
        if (slab != MAP_FAILED)
            madvise(slab, sizeof(struct gmr__slab), MADV_DONTFORK); /* as the set's arena */
    }
    return root->slabs[number];
}

/* How many records there are to look at, and the addresses of their slabs (malloc'ed). */
static int list_slabs(struct gmr__green *green, struct gmr__root *root, uint64_t *records, uint64_t **addresses)
{
    struct gmr__registry registry;
    if (gmr__green_read(green, root->address, &registry, sizeof(registry)) < 0 || !sane_registry(&registry))
        return -EFAULT;
    root->registry = registry;
    uint64_t limit = green->options.max_threads;
    *records = registry.fresh;
    if (*records > (uint64_t)registry.slab_max * GMR__SLAB_RECORDS)
        *records = (uint64_t)registry.slab_max * GMR__SLAB_RECORDS;
    root->left_out = *records > limit ? *records - limit : 0;
    *records -= root->left_out;
    size_t count = (size_t)((*records + GMR__SLAB_RECORDS - 1) / GMR__SLAB_RECORDS);
    *addresses = calloc(count + 1, sizeof(**addresses));
    if (!*addresses)
        return -ENOMEM;
    return count ? gmr__green_read(green, registry.slabs, *addresses, count * sizeof(**addresses)) : 0;
}

/* class_count holds what stands in class[0 .. count): a new one counts as dead. */
static void set_class(struct gmr__slab *slab, uint32_t i, enum gmr__record_class class)
{
    slab->class_count[slab->class[i]]--;
    slab->class[i] = (uint8_t) class;
    slab->class_count[class]++;
}

static void classify_ahead(struct gmr__slab *slab)
{
    for (uint32_t i = 0; i < slab->count; i++)
        set_class(slab, i, slab->records[i].generation & 1 ? GMR__RECORD_UNSURE : GMR__RECORD_DEAD);
}

/* fresh: the records as they stand now; those that differ are taken over. An odd count: it runs, or ran when it was copied. */
static void classify_stopped(const struct gmr__reader *reader, struct gmr__slab *slab, const struct gmr__record *fresh,
                             uint32_t known)
{
    for (uint32_t i = 0; i < slab->count; i++) {
        const struct gmr__record *now = &fresh[i];
        if (!gmr__reader_stands(reader, now) && !gmr__reader_stands(reader, &slab->records[i]))
            continue; /* that of an OS thread that runs */
        if (i < known && memcmp(now, &slab->records[i], sizeof(*now)) == 0) {
            if (!(now->generation & 1))
                set_class(slab, i, GMR__RECORD_DEAD);
            else if (!(now->home & GMR__RECORD_COUNTED))
                set_class(slab, i, GMR__RECORD_UNSURE);
            else if (now->switches & 1 || (!slab->copied_ahead && !slab->copied[i].shape))
                set_class(slab, i, GMR__RECORD_CHANGED);
            else
                set_class(slab, i, GMR__RECORD_SETTLED);
            continue;
        }
        slab->records[i] = *now;
        set_class(slab, i, now->generation & 1 ? GMR__RECORD_CHANGED : GMR__RECORD_DEAD);
    }
}

static int read_slab(struct gmr__green *green, struct gmr__reader *reader, struct gmr__slab *slab, uint32_t count,
                     bool ahead)
{
    /* At the stop through one small buffer that stays in the processor's cache: half the memory traffic. */
    struct gmr__record *to = ahead ? slab->records : reader->scratch;
    uint32_t known = slab->count;
    struct gmr__green_piece piece = {.address = slab->address, .to = to, .bytes = count * (uint32_t)sizeof(*to)};
    gmr__green_read_many(green, &piece, 1);
    slab->count = piece.got / (uint32_t)sizeof(*to);
    memset(slab->class_count, 0, sizeof(slab->class_count));
    for (uint32_t i = 0; i < slab->count; i++)
        slab->class_count[slab->class[i]]++;
    if (ahead)
        classify_ahead(slab);
    else
        classify_stopped(reader, slab, to, known);
    return piece.got == piece.bytes ? 0 : -EFAULT;
}

static int read_root(struct gmr__green *green, struct gmr__reader *reader, struct gmr__root *root, bool ahead)
{
    uint64_t records = 0, *addresses = NULL;
    size_t n = 0;
    int error = list_slabs(green, root, &records, &addresses);
    for (; !error && n * GMR__SLAB_RECORDS < records; n++) {
        struct gmr__slab *slab = slab_at(root, n);
        uint64_t here = records - n * GMR__SLAB_RECORDS;
        if (!slab) {
            error = -ENOMEM;
            break;
        }
        if (!ahead && slab->count && gmr__green_out_of_time(green))
            continue; /* what was read ahead stands, marked approximate */
        if (slab->address != addresses[n])
            slab->count = 0; /* a slab never moves: nothing that was copied of another can be right */
        slab->address = addresses[n];
        if (read_slab(green, reader, slab, here < GMR__SLAB_RECORDS ? (uint32_t)here : GMR__SLAB_RECORDS, ahead) < 0)
            reader->unreadable_slabs++;
    }
    root->slab_count = n;
    free(addresses);
    return error;
}

int gmr__reader_records(struct gmr__green *green, struct gmr__reader *reader, bool ahead)
{
    int error = 0;
    reader->unreadable_slabs = 0;
    if (!reader->scratch) {
        reader->scratch = gmr__arena_alloc(&green->arena, GMR__SLAB_RECORDS * sizeof(*reader->scratch));
        if (!reader->scratch)
            return -ENOMEM;
        memset(reader->scratch, 0, GMR__SLAB_RECORDS * sizeof(*reader->scratch)); /* touched ahead of the stop */
    }
    for (size_t i = 0; i < reader->root_count; i++) {
        int e = read_root(green, reader, &reader->roots[i], ahead);
        error = error ? error : e;
    }
    return error;
}

/* ------------------------------------------------------------------------------------------------ layouts */

static size_t load_shape(struct gmr__green *green, struct gmr__reader *reader, uint64_t address)
{
    for (size_t i = 0; i < reader->shape_count; i++)
        if (reader->shape_address[i] == address)
            return i;
    if (reader->shape_count == GMR__READER_SHAPES)
        return SIZE_MAX;
    size_t index = reader->shape_count++;
    struct gmr__shape *shape = &reader->shapes[index];
    reader->shape_address[index] = address;
    char name[64];
    *shape = (struct gmr__shape){.name = "green thread"};
    if (gmr__green_read(green, address, &shape->layout, sizeof(shape->layout)) < 0) {
        shape->layout.version = 0;
        return index;
    }
    gmr__shape_check(shape);
    if (shape->layout.version == GMR_LAYOUT_VERSION &&
        gmr__green_read_string(green, (uint64_t)(uintptr_t)shape->layout.name, name, sizeof(name)) > 0)
        shape->name = gmr__green_intern(green, name);
    if (shape->layout.flags & GMR_LAYOUT_MANGLED && !reader->has_guard)
        reader->has_guard = gmr__green_pointer_guard(green, &reader->guard) == 0;
    return index;
}

const struct gmr__shape *gmr__reader_shape(struct gmr__green *green, struct gmr__reader *reader,
                                           const struct gmr__record *record, struct gmr__copied *copied)
{
    /* The same layout as last time is the rule: a record keeps its shape until another layout stands in it. */
    if (copied->shape && copied->shape != UINT16_MAX && reader->shape_address[copied->shape - 1] == record->layout)
        return &reader->shapes[copied->shape - 1];
    size_t index = load_shape(green, reader, record->layout);
    if (index == SIZE_MAX || reader->shapes[index].layout.version != GMR_LAYOUT_VERSION) {
        copied->shape = UINT16_MAX;
        return NULL;
    }
    copied->shape = (uint16_t)(index + 1);
    return &reader->shapes[index];
}

/* ------------------------------------------------------------------------------------------------ the source */

static void claim_slab(struct gmr__green *green, const struct gmr__reader *reader, struct gmr__slab *slab)
{
    for (uint32_t i = 0; i < slab->count; i++) {
        struct gmr__copied *copied = &slab->copied[i];
        if (slab->class[i] == GMR__RECORD_DEAD)
            continue;
        if (copied->shape && copied->shape != UINT16_MAX && gmr__unowned(&reader->shapes[copied->shape - 1]) &&
            !gmr__unowned_claims(green, &slab->records[i], copied))
            continue;
        gmr__green_claim(green, slab->records[i].stack_low,
                         slab->records[i].stack_low + (uint64_t)slab->records[i].stack_units * 16);
        copied->claimed = slab->records[i].generation;
    }
}

static int registry_ahead(struct gmr__green *green, void *state)
{
    struct gmr__reader *reader = state;
    int error = gmr__reader_records(green, reader, true);
    if (error < 0)
        return error;
    gmr__reader_copy_ahead(green, reader);
    gmr__reader_find_lists(green, reader);
    gmr__reader_copy_lists(green, reader);
    for (size_t r = 0; r < reader->root_count; r++)
        for (size_t s = 0; s < reader->roots[r].slab_count; s++)
            claim_slab(green, reader, reader->roots[r].slabs[s]);
    return 0;
}

static bool add_home(struct gmr__reader *reader, pid_t tid)
{
    for (size_t i = 0; i < reader->home_count; i++)
        if (reader->homes[i] == tid)
            return true;
    if (reader->home_count == GMR__READER_HOMES)
        return false;
    reader->homes[reader->home_count++] = tid;
    return true;
}

static bool is_bound(const struct gmr__reader *reader, const struct gmr__record *record,
                     const struct gmr__copied *copied)
{
    return record->home & GMR__RECORD_BOUND || (copied->shape && copied->shape != UINT16_MAX &&
                                                reader->shapes[copied->shape - 1].layout.flags & GMR_LAYOUT_BOUND);
}

/* May the OS threads be stopped one at a time? If each green thread is bound to one. */
static bool registry_apart(struct gmr__green *green, void *state)
{
    struct gmr__reader *reader = state;
    pid_t last = 0;
    if (reader->lua || !gmr__reader_bound_lists(reader, add_home, reader))
        return false;
    for (size_t r = 0; r < reader->root_count; r++)
        for (size_t s = 0; s < reader->roots[r].slab_count; s++) {
            const struct gmr__slab *slab = reader->roots[r].slabs[s];
            for (uint32_t i = 0; i < slab->count; i++) {
                const struct gmr__record *record = &slab->records[i];
                pid_t home = (pid_t)(record->home & GMR__RECORD_TID);
                if (!(record->generation & 1))
                    continue;
                if (!is_bound(reader, record, &slab->copied[i]) || (home != last && !add_home(reader, home)))
                    return false;
                last = home;
            }
        }
    reader->apart = reader->home_count > 0;
    return reader->apart;
}

static bool registry_carries(void *state, pid_t tid)
{
    const struct gmr__reader *reader = state;
    for (size_t i = 0; i < reader->home_count; i++)
        if (reader->homes[i] == tid)
            return true;
    return false;
}

static int registry_collect(struct gmr__green *green, void *state)
{
    struct gmr__reader *reader = state;
    bool each = green->stop == GMR__GREEN_STOP_EACH && green->standing_count == 1;
    reader->standing = each ? green->standing[0].tid : 0;
    int error = gmr__reader_records(green, reader, false);
    reader->stopped = reader->stopped || error == 0;
    if (!error) {
        gmr__reader_copy_stopped(green, reader);
        gmr__reader_copy_lists(green, reader);
        if (reader->lua)
            gmr__lua_collect(green, reader->lua);
    }
    return error;
}

static int registry_finish(struct gmr__green *green, void *state)
{
    struct gmr__reader *reader = state;
    reader->standing = 0;
    gmr__reader_copy_late(green, reader);
    int error = gmr__reader_emit(green, reader);
    int lua = reader->lua ? gmr__lua_finish(green, reader->lua) : 0;
    return error ? error : lua;
}

static void registry_release(void *state)
{
    struct gmr__reader *reader = state;
    for (size_t i = 0; i < reader->root_count; i++) {
        for (size_t n = 0; n < reader->roots[i].slab_cap; n++)
            if (reader->roots[i].slabs[n])
                munmap(reader->roots[i].slabs[n], sizeof(struct gmr__slab));
        free(reader->roots[i].slabs);
    }
    gmr__reader_free_lists(reader);
    gmr__lua_free(reader->lua);
    free(reader->strings);
    free(reader);
}

const struct gmr__green_source gmr__green_source_registry = {
    .name = "registry",
    .find = registry_find,
    .ahead = registry_ahead,
    .collect = registry_collect,
    .finish = registry_finish,
    .release = registry_release,
    .together = true,
    .apart = registry_apart,
    .carries = registry_carries,
};
