/* tests/unit/test_green_registry.c - green/registry.c: records of green threads as a scheduler makes them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gmr/green.h"
#include "green/registry.h"

extern struct gmr__registry gmr_green_registry_1;

static size_t live(void)
{
    size_t count = 0;
    const uint64_t *slabs = (const uint64_t *)(uintptr_t)gmr_green_registry_1.slabs;
    for (uint64_t i = 0; i < gmr_green_registry_1.fresh; i++) {
        const struct gmr__record *records =
            (const struct gmr__record *)(uintptr_t)slabs[i / gmr_green_registry_1.slab_records];
        count += records[i % gmr_green_registry_1.slab_records].generation & 1;
    }
    return count;
}

static const struct gmr_layout *layout(void)
{
    return gmr_green_layout(GMR_LAYOUT_UCONTEXT);
}

static void what_is_added_can_be_read_and_is_gone_when_deleted(void **state)
{
    (void)state;
    static char stack[4096];
    int argument = 0;
    size_t before = live();
    struct gmr_green *green = gmr_green_add(layout(), stack, sizeof(stack), &argument, (void *)live, &argument);
    assert_non_null(green);
    const struct gmr__record *record = (const struct gmr__record *)green;
    assert_int_equal(live(), before + 1);
    assert_true(record->generation & 1);
    assert_true(record->stack_low == (uintptr_t)stack);
    assert_int_equal(record->stack_units * 16, sizeof(stack));
    assert_true(record->slot == (uintptr_t)&argument);
    gmr_green_del(green);
    assert_int_equal(live(), before);
    gmr_green_del(green); /* twice does no harm */
    assert_int_equal(live(), before);
    struct gmr_green *again = gmr_green_add(layout(), stack, sizeof(stack), NULL, NULL, NULL);
    assert_int_equal(live(), before + 1);
    gmr_green_del(again);
}

static void nothing_breaks_on_null(void **state)
{
    (void)state;
    assert_null(gmr_green_add(NULL, NULL, 0, NULL, NULL, NULL));
    gmr_green_del(NULL);
    gmr_green_name(NULL, "x");
    gmr_green_id(NULL, 1);
    gmr_green_wait(NULL, "x", NULL);
    gmr_green_wait_since(NULL, "x", NULL, 1);
    gmr_green_idle(NULL, true);
    gmr_green_set_slot(NULL, NULL);
    gmr_green_set_entry(NULL, NULL, NULL);
    gmr_green_copied(NULL, NULL, NULL);
    gmr_green_parent(NULL, NULL);
    gmr_green_language(NULL, NULL, NULL);
    gmr_green_frames(NULL, NULL, NULL);
    assert_null(gmr_green_slot(NULL));
    assert_null(gmr_green_switches(NULL));
    assert_int_not_equal(gmr_green_list_add(NULL, NULL, NULL), 0);
    assert_int_not_equal(gmr_green_list_del(NULL, NULL), 0);
    assert_null(gmr_green_layout((enum gmr_known_layout)0));
    assert_null(gmr_green_layout((enum gmr_known_layout)9999));
}

static void a_detail_is_cleared_when_a_record_is_used_anew(void **state)
{
    (void)state;
    struct gmr_green *green = gmr_green_add(layout(), NULL, 0, NULL, NULL, NULL);
    gmr_green_name(green, "first");
    gmr_green_wait(green, "a lock", &state);
    gmr_green_del(green);
    struct gmr_green *again = gmr_green_add(layout(), NULL, 0, NULL, NULL, NULL);
    assert_ptr_equal(green, again); /* the free list is last in, first out */
    assert_false(((struct gmr__record *)again)->home & GMR__RECORD_DETAIL);
    gmr_green_id(again, 7);
    uintptr_t slab = (uintptr_t)again & ~(uintptr_t)(GMR__SLAB_BYTES - 1);
    const struct gmr__detail *detail =
        (const struct gmr__detail *)(slab + GMR__SLAB_DETAILS) + ((uintptr_t)again - slab) / sizeof(struct gmr__record);
    assert_true(detail->name == 0 && detail->wait_reason == 0 && detail->id == 7);
    gmr_green_del(again);
}

#define MANY 30000
static void many_are_all_different(void **state)
{
    (void)state;
    struct gmr_green **all = calloc(MANY, sizeof(*all));
    size_t before = live();
    for (uintptr_t i = 0; i < MANY; i++) {
        all[i] = gmr_green_add(layout(), (void *)(i * 4096), 4096, NULL, NULL, NULL);
        assert_non_null(all[i]);
    }
    assert_int_equal(live(), before + MANY);
    for (uintptr_t i = 0; i < MANY; i++)
        assert_true(((struct gmr__record *)all[i])->stack_low == i * 4096);
    for (size_t i = 0; i < MANY; i++)
        gmr_green_del(all[i]);
    assert_int_equal(live(), before);
    uint64_t fresh = gmr_green_registry_1.fresh;
    for (size_t i = 0; i < MANY; i++)
        all[i] = gmr_green_add(layout(), NULL, 0, NULL, NULL, NULL);
    assert_true(gmr_green_registry_1.fresh - fresh <= 64); /* used anew, not drawn anew */
    for (size_t i = 0; i < MANY; i++)
        gmr_green_del(all[i]);
    free(all);
}

#define THREADS 8
#define ROUNDS 3000
static struct gmr_green *shared[THREADS][256];

/* Adds, and deletes what the neighbour added: records wander between the threads' free lists. */
static void *churn(void *number)
{
    uintptr_t self = (uintptr_t)number;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct gmr_green *green =
            gmr_green_add(layout(), (void *)(self << 32 | round << 12), 4096, NULL, NULL, (void *)self);
        if (!green)
            return "no record";
        struct gmr_green *old = __atomic_exchange_n(&shared[self][round % 256], green, __ATOMIC_ACQ_REL);
        if (old)
            gmr_green_del(old);
        old = __atomic_exchange_n(&shared[(self + 1) % THREADS][round * 7 % 256], NULL, __ATOMIC_ACQ_REL);
        if (old)
            gmr_green_del(old);
    }
    return NULL;
}

static void records_wander_between_os_threads_unharmed(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    size_t before = live(), left = 0;
    for (int again = 0; again < 3; again++) {
        for (uintptr_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
        for (int i = 0; i < THREADS; i++) {
            void *problem;
            pthread_join(threads[i], &problem);
            assert_null(problem);
        }
    }
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < 256; i++)
            left += shared[t][i] != NULL;
    assert_int_equal(live(), before + left);
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < 256; i++)
            gmr_green_del(shared[t][i]);
    assert_int_equal(live(), before);
    assert_true(gmr_green_registry_1.fresh < MANY + 2 * 4096);
}

static void lists_come_and_go(void **state)
{
    (void)state;
    static const struct gmr_green_list list = {.version = GMR_LIST_VERSION, .kind = GMR_LIST_LINKED, .name = "test"};
    static const struct gmr_green_list array = {.version = GMR_LIST_VERSION, .kind = GMR_LIST_ARRAY, .name = "test"};
    static void *heads[GMR__LIST_MAX + 1];
    assert_int_not_equal(gmr_green_list_add(&array, &heads[0], NULL), 0); /* needs a count */
    for (size_t i = 0; i < GMR__LIST_MAX; i++)
        assert_int_equal(gmr_green_list_add(&list, &heads[i], NULL), 0);
    assert_int_not_equal(gmr_green_list_add(&list, &heads[GMR__LIST_MAX], NULL), 0);
    for (size_t i = 0; i < GMR__LIST_MAX; i++)
        assert_int_equal(gmr_green_list_del(&list, &heads[i]), 0);
    assert_int_not_equal(gmr_green_list_del(&list, &heads[0]), 0);
    assert_int_equal(gmr_green_list_add(&list, &heads[0], NULL), 0);
    assert_int_equal(gmr_green_list_del(&list, &heads[0]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_can_be_read_and_is_gone_when_deleted), cmocka_unit_test(nothing_breaks_on_null),
        cmocka_unit_test(a_detail_is_cleared_when_a_record_is_used_anew),     cmocka_unit_test(many_are_all_different),
        cmocka_unit_test(records_wander_between_os_threads_unharmed),         cmocka_unit_test(lists_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
