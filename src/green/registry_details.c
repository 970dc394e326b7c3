/*
 * green/registry_details.c - what a program may say of a green thread besides that it is there, and its lists.
 *
 * Runs in libgmr, on the scheduler's thread. A record's detail stands at a fixed place in the record's slab, and is cleared when
 * it is first written to, so that green threads of which nothing is said cost no memory for it. Plain stores only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gmr/green.h"
#include "green/registry.h"
#include "sys/sys.h"

extern struct gmr__registry gmr__registry_here __attribute__((visibility("hidden")));

static struct gmr__detail *use_detail(struct gmr_green *green)
{
    struct gmr__record *record = (struct gmr__record *)green;
    uintptr_t slab = (uintptr_t)record & ~(uintptr_t)(GMR__SLAB_BYTES - 1);
    struct gmr__detail *detail =
        (struct gmr__detail *)(slab + GMR__SLAB_DETAILS) + ((uintptr_t)record - slab) / sizeof(*record);
    if (!(record->home & GMR__RECORD_DETAIL)) {
        memset(detail, 0, sizeof(*detail));
        /* A reader that stops us here must not see another's old detail. */
        __atomic_store_n(&record->home, record->home | GMR__RECORD_DETAIL, __ATOMIC_RELEASE);
    }
    return detail;
}

static uint64_t word(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

void gmr_green_name(struct gmr_green *green, const char *name)
{
    if (green)
        use_detail(green)->name = word(name);
}

void gmr_green_id(struct gmr_green *green, uint64_t id)
{
    if (green)
        use_detail(green)->id = id;
}

void gmr_green_wait_since(struct gmr_green *green, const char *reason, const void *object, uint64_t since_ns)
{
    if (!green)
        return;
    struct gmr__detail *detail = use_detail(green);
    detail->wait_object = word(object);
    detail->since_ns = since_ns;
    detail->wait_reason = word(reason);
}

void gmr_green_wait(struct gmr_green *green, const char *reason, const void *object)
{
    gmr_green_wait_since(green, reason, object, 0);
}

void gmr_green_idle(struct gmr_green *green, bool idle)
{
    struct gmr__record *record = (struct gmr__record *)green;
    if (record)
        record->home = idle ? record->home | GMR__RECORD_IDLE : record->home & ~GMR__RECORD_IDLE;
}

void gmr_green_set_slot(struct gmr_green *green, void *slot)
{
    if (green && slot)
        ((struct gmr__record *)green)->slot = word(slot);
}

void gmr_green_set_entry(struct gmr_green *green, void *entry, void *argument)
{
    struct gmr__record *record = (struct gmr__record *)green;
    if (!record || !entry)
        return;
    record->entry = word(entry);
    record->argument = word(argument);
}

void gmr_green_copied(struct gmr_green *green, void *const *copy, const size_t *length)
{
    if (!green)
        return;
    struct gmr__detail *detail = use_detail(green);
    detail->copy_bytes = word(length);
    detail->copy = word(copy);
}

void gmr_green_copied_owner(struct gmr_green *green, void *const *owner)
{
    if (green)
        use_detail(green)->copy_owner = word(owner);
}

void gmr_green_parent(struct gmr_green *green, struct gmr_green *parent)
{
    if (green)
        use_detail(green)->parent = word(parent);
}

void **gmr_green_slot(struct gmr_green *green)
{
    struct gmr__record *record = (struct gmr__record *)green;
    if (!record)
        return NULL;
    record->slot = word(&record->saved_sp);
    return (void **)&record->saved_sp;
}

uint32_t *gmr_green_switches(struct gmr_green *green)
{
    struct gmr__record *record = (struct gmr__record *)green;
    if (!record)
        return NULL;
    record->home |= GMR__RECORD_COUNTED;
    return &record->switches;
}

void gmr_green_bound(struct gmr_green *green)
{
    struct gmr__record *record = (struct gmr__record *)green;
    if (record)
        record->home =
            (record->home & ~GMR__RECORD_TID) | ((uint32_t)gmr__gettid() & GMR__RECORD_TID) | GMR__RECORD_BOUND;
}

void gmr_green_trace_creation(bool on)
{
    gmr__registry_here.creation = on;
}

void gmr_green_language(struct gmr_green *green, const char *language, const void *state)
{
    if (!green)
        return;
    struct gmr__detail *detail = use_detail(green);
    detail->language = word(language);
    detail->language_state = word(state);
    detail->language_kind = GMR__LANGUAGE_READER;
}

void gmr_green_frames(struct gmr_green *green, const char *language, struct gmr_green_frame *const *head)
{
    if (!green)
        return;
    struct gmr__detail *detail = use_detail(green);
    detail->language = word(language);
    detail->language_state = word(head);
    detail->language_kind = GMR__LANGUAGE_TOLD;
}

/* ------------------------------------------------------------------------------------------------ lists */

int gmr_green_list_add(const struct gmr_green_list *list, const void *head, const size_t *count)
{
    if (!list || !head || list->version != GMR_LIST_VERSION || (list->kind != GMR_LIST_LINKED && !count))
        return -EINVAL;
    struct gmr__list_entry *entries = (struct gmr__list_entry *)(uintptr_t)gmr__registry_here.lists;
    for (uint32_t i = 0; i < GMR__LIST_MAX; i++) {
        struct gmr__list_entry *entry = &entries[i];
        uint64_t free_entry = 0;
        if (!__atomic_compare_exchange_n(&entry->list, &free_entry, word(list), false, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED))
            continue;
        entry->head = word(head);
        entry->count = word(count);
        entry->tid = (uint32_t)gmr__gettid();
        uint32_t high = __atomic_load_n(&gmr__registry_here.list_high, __ATOMIC_RELAXED);
        while (high < i + 1 && !__atomic_compare_exchange_n(&gmr__registry_here.list_high, &high, i + 1, true,
                                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        }
        __atomic_store_n(&entry->generation, entry->generation | 1, __ATOMIC_RELEASE);
        return 0;
    }
    return -ENOSPC;
}

int gmr_green_list_del(const struct gmr_green_list *list, const void *head)
{
    struct gmr__list_entry *entries = (struct gmr__list_entry *)(uintptr_t)gmr__registry_here.lists;
    for (uint32_t i = 0; list && i < gmr__registry_here.list_high; i++) {
        struct gmr__list_entry *entry = &entries[i];
        if (!(__atomic_load_n(&entry->generation, __ATOMIC_ACQUIRE) & 1) || entry->list != word(list) ||
            entry->head != word(head))
            continue;
        __atomic_store_n(&entry->generation, entry->generation + 1, __ATOMIC_RELEASE);
        __atomic_store_n(&entry->list, 0, __ATOMIC_RELEASE);
        return 0;
    }
    return -ENOENT;
}
