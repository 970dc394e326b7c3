/*
 * green/addrmap.c - see addrmap.h. Linear probing with Fibonacci hashing; never holds more than half of its slots.
 *
 * Inspector only; called by the sources of green threads. Must not trust that keys are spread: they are addresses chosen by
 * the target, hence the multiplication, and the caller's limit on how many there are.
 */
#include "green/addrmap.h"

#include <stdlib.h>
#include <string.h>

static size_t slot_of(const struct gmr__addrmap *map, uint64_t key)
{
    size_t slot = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (map->slots - 1);
    while (map->keys[slot] != 0 && map->keys[slot] != key)
        slot = (slot + 1) & (map->slots - 1);
    return slot;
}

void gmr__addrmap_init(struct gmr__addrmap *map, size_t limit)
{
    memset(map, 0, sizeof(*map));
    map->limit = limit;
}

void gmr__addrmap_free(struct gmr__addrmap *map)
{
    free(map->keys);
    free(map->values);
    gmr__addrmap_init(map, map->limit);
}

bool gmr__addrmap_get(const struct gmr__addrmap *map, uint64_t key, uint64_t *value)
{
    if (key == 0 || map->slots == 0)
        return false;
    size_t slot = slot_of(map, key);
    if (map->keys[slot] != key)
        return false;
    if (value)
        *value = map->values[slot];
    return true;
}

static bool grow(struct gmr__addrmap *map)
{
    struct gmr__addrmap bigger = {.slots = map->slots ? map->slots * 2 : 1024, .limit = map->limit};
    bigger.keys = calloc(bigger.slots, sizeof(uint64_t));
    bigger.values = calloc(bigger.slots, sizeof(uint64_t));
    if (!bigger.keys || !bigger.values) {
        gmr__addrmap_free(&bigger);
        return false;
    }
    for (size_t i = 0; i < map->slots; i++)
        if (map->keys[i] != 0) {
            size_t slot = slot_of(&bigger, map->keys[i]);
            bigger.keys[slot] = map->keys[i];
            bigger.values[slot] = map->values[i];
            bigger.used++;
        }
    gmr__addrmap_free(map);
    *map = bigger;
    return true;
}

bool gmr__addrmap_put(struct gmr__addrmap *map, uint64_t key, uint64_t value)
{
    if (key == 0)
        return false;
    if (gmr__addrmap_get(map, key, NULL)) {
        map->values[slot_of(map, key)] = value;
        return true;
    }
    if (map->used >= map->limit || (map->used * 2 >= map->slots && !grow(map)))
        return false;
    size_t slot = slot_of(map, key);
    map->keys[slot] = key;
    map->values[slot] = value;
    map->used++;
    return true;
}
