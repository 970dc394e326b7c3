/*
 * green/addrmap.h - a map from 64-bit addresses to 64-bit values, for the sources of green threads.
 *
 * Inspector only (malloc). Open addressing; grows by doubling up to a limit given at the start, so that hostile input can't
 * make it eat all memory. Key 0 is not a key.
 */
#ifndef GMR_GREEN_ADDRMAP_H
#define GMR_GREEN_ADDRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gmr__addrmap {
    uint64_t *keys, *values;
    size_t used, slots, limit;
};

void gmr__addrmap_init(struct gmr__addrmap *map, size_t limit);
void gmr__addrmap_free(struct gmr__addrmap *map);
/* True and *value (may be NULL) if there. */
bool gmr__addrmap_get(const struct gmr__addrmap *map, uint64_t key, uint64_t *value);
/* False when full or out of memory. An old value is replaced. */
bool gmr__addrmap_put(struct gmr__addrmap *map, uint64_t key, uint64_t value);

#endif
