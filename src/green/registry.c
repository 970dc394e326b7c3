/*
 * green/registry.c - records of green threads: the target's half of gmr/green.h.
 *
 * Runs in libgmr, on whatever thread the program's scheduler calls it. Hands out 64-byte records from slabs that are never moved
 * or unmapped; the inspector reads them from outside (registry.h has the format, reader.c the reading). A record costs a
 * pop from a free list of this OS thread; batches of 64 move between OS threads through one lock-free list.
 * Must not: take a lock on the common path, do anything at a switch, run when a report is made.
 */
#include "green/registry.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/arch.h"
#include "gmr/green.h"
#include "sys/sys.h"

_Static_assert(sizeof(struct gmr__record) == 64, "records are read by this size");
_Static_assert(sizeof(struct gmr__detail) == 128, "details are read by this size");
_Static_assert(GMR__SLAB_DETAILS + GMR__SLAB_RECORDS * 128u <= GMR__SLAB_BYTES, "a slab holds both");

#define BATCH 64u
#define EXPORTED __attribute__((visibility("default")))

static GMR__APART uint64_t slabs[GMR__SLAB_MAX];
static GMR__APART struct gmr__list_entry lists[GMR__LIST_MAX];

/* The name that debuggers look for; the note below finds it without symbols. */
EXPORTED extern struct gmr__registry gmr_green_registry_1;
struct gmr__registry gmr_green_registry_1 = {
    .magic = {'g', 'm', 'r', 'g', 'r', 'e', 'e', 'n'},
    .version = GMR__REGISTRY_VERSION,
    .bytes = sizeof(struct gmr__registry),
    .record_bytes = sizeof(struct gmr__record),
    .detail_bytes = sizeof(struct gmr__detail),
    .slab_records = GMR__SLAB_RECORDS,
    .slab_bytes = GMR__SLAB_BYTES,
    .slab_details = GMR__SLAB_DETAILS,
    .slab_max = GMR__SLAB_MAX,
    .slabs = (uint64_t)(uintptr_t)slabs,
    .lists = (uint64_t)(uintptr_t)lists,
    .list_max = GMR__LIST_MAX,
};
/* Within the library by a name that nothing can interpose. */
extern __typeof__(gmr_green_registry_1) gmr__registry_here
    __attribute__((alias("gmr_green_registry_1"), visibility("hidden")));
#define registry gmr__registry_here

/* An offset to the registry rather than its address: a note is read-only and is not relocated. */
__asm__(".pushsection .note.gmr,\"a\",%note\n"
        ".balign 4\n"
        ".long 4, 16, 1\n"
        ".asciz \"gmr\"\n"
        "1: .quad gmr__registry_here - 1b\n"
        ".long 1, 0\n"
        ".popsection\n");

/* Free records of this OS thread, linked through `layout`. initial-exec: no call into the loader for it. */
struct cache {
    struct gmr__record *first;
    uint32_t count;
    uint32_t tid;
    bool armed; /* the destructor that gives them back is set */
};
static __thread struct cache cache __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

static struct gmr__record *record_at(uint64_t index)
{
    uint64_t slab = __atomic_load_n(&slabs[index / GMR__SLAB_RECORDS], __ATOMIC_ACQUIRE);
    return (struct gmr__record *)(uintptr_t)slab + index % GMR__SLAB_RECORDS;
}

static struct gmr__detail *detail_of(struct gmr__record *record)
{
    uintptr_t slab = (uintptr_t)record & ~(uintptr_t)(GMR__SLAB_BYTES - 1);
    return (struct gmr__detail *)(slab + GMR__SLAB_DETAILS) + ((uintptr_t)record - slab) / sizeof(*record);
}

/* The slab's number stands in its last word, so that a record can be named by a number: the shared list's head holds that and a tag
 * against ABA in 64 bits. */
static uint64_t *slab_number(uintptr_t slab)
{
    return (uint64_t *)(slab + GMR__SLAB_BYTES - sizeof(uint64_t));
}

static uint64_t index_of(const struct gmr__record *record)
{
    uintptr_t slab = (uintptr_t)record & ~(uintptr_t)(GMR__SLAB_BYTES - 1);
    return *slab_number(slab) * GMR__SLAB_RECORDS + ((uintptr_t)record - slab) / sizeof(*record);
}

/* Puts a batch, linked through `layout` and ended by 0, on the list that all OS threads share. */
static void give_batch(struct gmr__record *first)
{
    uint64_t head = __atomic_load_n(&registry.free_head, __ATOMIC_RELAXED);
    uint64_t next;
    do {
        __atomic_store_n(&first->slot, head & 0xffffffffu, __ATOMIC_RELAXED);
        next = ((head >> 32) + 1) << 32 | (index_of(first) + 1);
    } while (!__atomic_compare_exchange_n(&registry.free_head, &head, next, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static struct gmr__record *take_batch(void)
{
    uint64_t head = __atomic_load_n(&registry.free_head, __ATOMIC_ACQUIRE);
    while (head & 0xffffffffu) {
        struct gmr__record *first = record_at((head & 0xffffffffu) - 1);
        /* May be stale already: then the tag differs and the exchange fails. The memory is there in any case. */
        uint64_t next = __atomic_load_n(&first->slot, __ATOMIC_RELAXED) & 0xffffffffu;
        next |= ((head >> 32) + 1) << 32;
        if (__atomic_compare_exchange_n(&registry.free_head, &head, next, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            return first;
    }
    return NULL;
}

/* Maps the slab that holds `index`. Slabs are aligned to their size; what the alignment cuts off is given back. */
static bool grow(uint64_t index)
{
    uint64_t number = index / GMR__SLAB_RECORDS;
    pthread_mutex_lock(&growing);
    bool there = slabs[number] != 0;
    if (!there) {
        void *raw = gmr__map_memory(2 * GMR__SLAB_BYTES);
        if (raw) {
            uintptr_t start = ((uintptr_t)raw + GMR__SLAB_BYTES - 1) & ~(uintptr_t)(GMR__SLAB_BYTES - 1);
            uintptr_t before = start - (uintptr_t)raw;
            if (before)
                gmr__unmap_memory(raw, before);
            if (before != GMR__SLAB_BYTES)
                gmr__unmap_memory((void *)(start + GMR__SLAB_BYTES), GMR__SLAB_BYTES - before);
            *slab_number(start) = number;
            __atomic_store_n(&slabs[number], start, __ATOMIC_RELEASE);
            there = true;
        }
    }
    pthread_mutex_unlock(&growing);
    return there;
}

/* A batch never used before. Once memory runs out the indexes drawn meanwhile are lost: at most a batch per failed add, and
 * `fresh` is drawn back where nobody drew after us. */
static struct gmr__record *fresh_batch(void)
{
    uint64_t index = __atomic_fetch_add(&registry.fresh, BATCH, __ATOMIC_RELAXED);
    uint64_t after = index + BATCH;
    if (after > (uint64_t)GMR__SLAB_MAX * GMR__SLAB_RECORDS ||
        (!__atomic_load_n(&slabs[index / GMR__SLAB_RECORDS], __ATOMIC_ACQUIRE) && !grow(index))) {
        __atomic_compare_exchange_n(&registry.fresh, &after, index, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        return NULL;
    }
    struct gmr__record *first = record_at(index);
    for (uint32_t i = 0; i + 1 < BATCH; i++)
        first[i].layout = (uint64_t)(uintptr_t)&first[i + 1];
    return first;
}

/* The OS thread ends: its free records go to the others. */
static void give_back(void *unused)
{
    (void)unused;
    struct gmr__record *first = cache.first;
    cache = (struct cache){0};
    if (first)
        give_batch(first);
}

static void forget_tid(void)
{
    cache.tid = 0; /* in a forked child this OS thread has another id */
}

static void prepare_once(void)
{
    have_key = pthread_key_create(&key, give_back) == 0;
    pthread_atfork(NULL, NULL, forget_tid);
    const char *wanted = secure_getenv("GMR_GREEN_CREATION");
    if (wanted && wanted[0] == '1')
        registry.creation = 1;
}

static __attribute__((noinline)) bool refill(void)
{
    pthread_once(&once, prepare_once);
    if (!cache.armed && have_key)
        cache.armed = pthread_setspecific(key, &cache) == 0;
    struct gmr__record *first = take_batch();
    if (!first)
        first = fresh_batch();
    if (!first) {
        __atomic_fetch_add(&registry.lost, 1, __ATOMIC_RELAXED);
        return false;
    }
    cache.first = first;
    cache.count = BATCH; /* a bound for when to give back, no exact number: a batch given back at exit may be shorter */
    return true;
}

/* More than two batches here: the older ones go to the others. */
static __attribute__((noinline)) void spill(void)
{
    struct gmr__record *last = cache.first;
    for (uint32_t i = 1; i < BATCH && last->layout; i++)
        last = (struct gmr__record *)(uintptr_t)last->layout;
    struct gmr__record *rest = (struct gmr__record *)(uintptr_t)last->layout;
    if (rest) {
        last->layout = 0;
        give_batch(rest);
    }
    cache.count = BATCH;
}

static void keep_creator(struct gmr__record *record)
{
    void *pcs[GMR__DETAIL_CREATOR + 2] = {0};
    int saved = errno;
    int count = backtrace(pcs, GMR__DETAIL_CREATOR + 2);
    errno = saved;
    struct gmr__detail *detail = detail_of(record);
    /* The first two are this function and gmr_green_add. */
    for (int i = 2; i < count; i++)
        detail->creator[i - 2] = (uint64_t)(uintptr_t)pcs[i];
    record->home |= GMR__RECORD_DETAIL;
}

struct gmr_green *gmr_green_add(const struct gmr_layout *layout, void *stack, size_t stack_size, void *slot,
                                void *entry, void *argument)
{
    if (!layout || (!cache.first && !refill()))
        return NULL;
    struct gmr__record *record = cache.first;
    cache.first = (struct gmr__record *)(uintptr_t)record->layout;
    cache.count--;
    if (!cache.tid)
        cache.tid = (uint32_t)gmr__gettid() & GMR__RECORD_TID;
    record->saved_sp = 0;
    record->layout = (uint64_t)(uintptr_t)layout;
    record->slot = (uint64_t)(uintptr_t)slot;
    record->stack_low = gmr__arch_strip((uint64_t)(uintptr_t)stack);
    record->stack_units = (uint32_t)(stack_size / 16);
    record->entry = (uint64_t)(uintptr_t)entry;
    record->argument = (uint64_t)(uintptr_t)argument;
    record->home = cache.tid;
    record->switches = 0;
    if (__builtin_expect(registry.creation != 0, 0))
        keep_creator(record);
    __atomic_store_n(&record->generation, record->generation + 1, __ATOMIC_RELEASE);
    return (struct gmr_green *)record;
}

void gmr_green_del(struct gmr_green *green)
{
    struct gmr__record *record = (struct gmr__record *)green;
    if (!record || !(record->generation & 1))
        return;
    __atomic_store_n(&record->generation, record->generation + 1, __ATOMIC_RELEASE);
    record->layout = (uint64_t)(uintptr_t)cache.first;
    cache.first = record;
    if (__builtin_expect(++cache.count >= 2 * BATCH, 0))
        spill();
    else if (__builtin_expect(!cache.armed, 0)) {
        pthread_once(&once, prepare_once);
        cache.armed = have_key && pthread_setspecific(key, &cache) == 0;
    }
}
