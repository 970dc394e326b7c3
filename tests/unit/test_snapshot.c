/* tests/unit/test_snapshot.c - snapshot/: the arena, look-ups by address, reading across pieces, the memory map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "snapshot/arena.h"

static void the_arena_gives_zeroed_memory_also_where_it_was_used_before(void **state)
{
    (void)state;
    struct gmr__snapshot *snapshot = gmr__snapshot_new(1);
    assert_non_null(snapshot);
    char *room = gmr__snapshot_room(snapshot, 100000);
    assert_non_null(room);
    memset(room, 'x', 100000);
    gmr__snapshot_claim(snapshot, 10, 100000);
    char *next = gmr__snapshot_alloc(snapshot, 200000);
    assert_ptr_equal(next, room + 16);
    for (size_t i = 0; i < 200000; i++)
        assert_int_equal(next[i], 0);
    assert_string_equal(gmr__snapshot_strdup(snapshot, "text"), "text");
    assert_null(gmr__snapshot_alloc(snapshot, (size_t)1 << 62));
    uint64_t *list = NULL;
    size_t cap = 0;
    for (size_t i = 0; i < 1000; i++) {
        assert_true(gmr__snapshot_grow(snapshot, &list, sizeof(*list), &cap, i + 1));
        list[i] = i;
    }
    assert_false(gmr__snapshot_grow(snapshot, &list, sizeof(*list), &cap, SIZE_MAX / 16));
    assert_false(gmr__snapshot_grow(snapshot, &list, sizeof(*list), &cap, SIZE_MAX / 4));
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(list[i], i);
    gmr__snapshot_free(snapshot);
    gmr__snapshot_free(NULL);
}

static int live(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    (void)snapshot;
    memset(to, 'l', bytes);
    return address >= 0x9000 ? -1 : 0;
}

static void reads_come_from_the_stack_then_the_extra_pieces_then_the_target(void **state)
{
    (void)state;
    struct gmr__snapshot *snapshot = gmr__snapshot_new(1);
    const unsigned char *stack_bytes = (const unsigned char *)"ssss", *extra_bytes = (const unsigned char *)"eeeeeeee";
    struct gmr__segment stack = {0x1000, 4, stack_bytes};
    struct gmr__segment extra[2] = {{0x1002, 8, extra_bytes}, {0x1000, 4, extra_bytes}};
    char text[20] = "";
    assert_int_equal(gmr__snapshot_add_extra(snapshot, extra, 2), 0);
    assert_int_equal(snapshot->extra_count, 2);
    assert_int_equal(snapshot->extra[1].address, 0x1004); /* what overlapped is cut */
    assert_int_equal(gmr__snapshot_read(snapshot, &stack, 0x1001, text, 6), 0);
    assert_string_equal(text, "ssseee");
    assert_int_not_equal(gmr__snapshot_read(snapshot, &stack, 0xffe, text, 6), 0);
    snapshot->read_live = live;
    assert_int_equal(gmr__snapshot_read(snapshot, &stack, 0xffe, text, 14), 0);
    assert_memory_equal(text, "llsssseeeeeell", 14);
    assert_int_not_equal(gmr__snapshot_read(snapshot, NULL, 0x8fff, text, 0x2), -1);
    assert_int_not_equal(gmr__snapshot_read(snapshot, NULL, 0x9000, text, 1), 0);
    gmr__snapshot_free(snapshot);
}

static void the_map_of_a_process_is_found_by_address(void **state)
{
    (void)state;
    struct gmr__snapshot *snapshot = gmr__snapshot_new(getpid());
    int local = 0;
    assert_int_equal(gmr__snapshot_read_maps(snapshot, "/proc", 0), 0);
    assert_true(snapshot->map_count > 5);
    const struct gmr__map *map = gmr__snapshot_map(snapshot, (uint64_t)(uintptr_t)&local);
    assert_non_null(map);
    assert_string_equal(map->path, "[stack]");
    assert_true(map->read && map->write);
    map = gmr__snapshot_map(snapshot, (uint64_t)(uintptr_t)the_map_of_a_process_is_found_by_address);
    assert_non_null(map);
    assert_true(map->exec);
    assert_non_null(strstr(map->path, "test_snapshot"));
    assert_null(gmr__snapshot_map(snapshot, 0));
    assert_null(gmr__snapshot_map(snapshot, UINT64_MAX));
    for (size_t i = 1; i < snapshot->map_count; i++)
        assert_true(snapshot->maps[i - 1].end <= snapshot->maps[i].start);
    assert_int_not_equal(gmr__snapshot_read_maps(snapshot, "/nowhere", 0), 0);
    gmr__snapshot_free(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_arena_gives_zeroed_memory_also_where_it_was_used_before),
        cmocka_unit_test(reads_come_from_the_stack_then_the_extra_pieces_then_the_target),
        cmocka_unit_test(the_map_of_a_process_is_found_by_address),
    };
    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
