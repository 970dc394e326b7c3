/*
 * snapshot/arena.h - what the makers of a snapshot need beside snapshot.h.
 *
 * Inspector only. Used by the capture layer (ptrace, core file, green threads); readers have no use for it.
 */
#ifndef GMR_SNAPSHOT_ARENA_H
#define GMR_SNAPSHOT_ARENA_H

#include "snapshot/snapshot.h"

/* Room for `bytes` at the arena's end, not taken yet; NULL if there isn't that much. What claim then takes is the first `bytes` of it,
 * `touched` tells how many have been written at most (they are zeroed before somebody else gets them). */
void *gmr__snapshot_room(struct gmr__snapshot *snapshot, size_t bytes);
void gmr__snapshot_claim(struct gmr__snapshot *snapshot, size_t bytes, size_t touched);

/* Room for `want` elements in a list that stands in the arena; false: there is no memory. What it leaves behind is at most as much again. */
bool gmr__snapshot_grow(struct gmr__snapshot *snapshot, void *list, size_t element_bytes, size_t *cap, size_t want);

#define GMR__POPULATE_BYTES ((size_t)256 << 10)
/* Makes pages present, so that a copy made while a thread is stopped takes no page fault. */
void gmr__populate(void *place, size_t bytes);
/* The next `bytes` of an area that is filled from its start, once less than half of that is left. *present: how far it has been done. */
void gmr__populate_ahead(void *area, size_t area_bytes, size_t used, size_t *present, size_t bytes);
/* Likewise, of the arena. */
void gmr__snapshot_populate(struct gmr__snapshot *snapshot, size_t bytes);

/* From now on `other`, whose arena a second process filled, lives as long as snapshot, and is freed with it. */
void gmr__snapshot_adopt(struct gmr__snapshot *snapshot, struct gmr__snapshot *other);

/* Adds to the extra segments, keeps them sorted, cuts overlaps. Not for one segment at a time: O(n log n). */
int gmr__snapshot_add_extra(struct gmr__snapshot *snapshot, const struct gmr__segment *segments, size_t count);

/* Fills maps from PROC/PID/maps, or from that of the thread `tid` (0: none) where the leader is a zombie. An empty file is 0
 * maps. 0, -ENOENT, -EACCES, -ENOMEM, ... May wait for the target's mmap lock. */
int gmr__snapshot_read_maps(struct gmr__snapshot *snapshot, const char *proc, pid_t tid);

#endif
