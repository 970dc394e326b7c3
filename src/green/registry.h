/*
 * green/registry.h - how the registry of green threads lies in memory: written by libgmr in the target, read from outside.
 *
 * Plain data with fixed sizes; addresses as uint64_t, so that reader and writer agree whatever compiled them. A change that an
 * older reader would misread raises GMR__REGISTRY_VERSION and the symbol's number.
 *
 * Found through an ELF note (section .note.gmr, name "gmr", type 1): its descriptor is a struct gmr__registry_note. The
 * exported symbol gmr_green_registry_1 is for debuggers and for those who strip notes.
 *
 * Records never move and are never unmapped. Slabs are aligned to their size, so that a record's detail is found by
 * arithmetic. A record is in use while its generation is odd; the generation is written last at creation and
 * first at destruction, with release order.
 */
#ifndef GMR_GREEN_REGISTRY_H
#define GMR_GREEN_REGISTRY_H

#include <stdint.h>

#define GMR__REGISTRY_VERSION 1u
#define GMR__REGISTRY_MAGIC "gmrgreen" /* 8 bytes, without a NUL */
#define GMR__REGISTRY_NOTE_NAME "gmr"
#define GMR__REGISTRY_NOTE_TYPE 1u

struct gmr__registry_note {
    int64_t offset; /* registry's address - address of this member */
    uint32_t version;
    uint32_t reserved;
};

#define GMR__SLAB_RECORDS 4096u
#define GMR__SLAB_MAX 16384u /* 67 million records */
#define GMR__LIST_MAX 1024u

struct gmr__record {
    uint64_t layout;   /* struct gmr_layout *; free: index of the next free one of its batch */
    uint64_t slot;     /* free, and first of its batch: index of the next batch */
    uint64_t saved_sp; /* where slot points to it */
    uint64_t stack_low;
    uint64_t entry;
    uint64_t argument;
    uint32_t stack_units; /* size in 16 bytes */
    uint32_t generation;  /* odd: in use */
    uint32_t home;        /* tid that created it, flags in the top byte */
    uint32_t switches;
};
#define GMR__RECORD_DETAIL 0x01000000u /* its detail has been written to */
#define GMR__RECORD_IDLE 0x02000000u
#define GMR__RECORD_COUNTED 0x04000000u /* `switches` is kept */
#define GMR__RECORD_BOUND 0x08000000u   /* only the OS thread of that tid runs it */
#define GMR__RECORD_TID 0x00ffffffu

/* A flag of layouts beside gmr/green.h's: contexts that gmr saw being made, and of whose end nobody tells (interpose.c). Such a
 * record keeps in `switches` a number that grows with each made, in `saved_sp` the stack pointer it starts with (0: not known), and the
 * layout in entry_low what stands there as long as it has not ended. */
#define GMR__LAYOUT_UNOWNED 0x40u

#define GMR__DETAIL_CREATOR 4
#define GMR__LANGUAGE_READER 1u /* a reader of the inspector's, by name */
#define GMR__LANGUAGE_TOLD 2u   /* struct gmr_green_frame, linked */

struct gmr__detail {
    uint64_t name;
    uint64_t wait_reason, wait_object, since_ns;
    uint64_t copy, copy_bytes; /* addresses of the variables */
    uint64_t id;
    uint64_t parent;                   /* record */
    uint64_t language, language_state; /* state: for frames told by the program, address of the head's variable */
    uint32_t language_kind;            /* 0: none, else GMR__LANGUAGE_* */
    uint32_t reserved;
    uint64_t creator[GMR__DETAIL_CREATOR];
    uint64_t copy_owner; /* address of a variable; 0: none */
};

/* records, then details, then nothing up to the alignment */
#define GMR__SLAB_DETAILS (GMR__SLAB_RECORDS * 64u)
#define GMR__SLAB_BYTES (1u << 20)

struct gmr__list_entry {
    uint64_t list; /* struct gmr_green_list *; 0: free */
    uint64_t head, count;
    uint32_t tid;
    uint32_t generation; /* odd: in use */
};

struct gmr__registry {
    char magic[8];
    uint32_t version, bytes; /* of this struct */
    uint32_t record_bytes, detail_bytes;
    uint32_t slab_records, slab_bytes;
    uint32_t slab_details, slab_max;
    uint64_t slabs; /* uint64_t[slab_max]: addresses, 0 where there's none yet */
    uint64_t lists; /* struct gmr__list_entry[list_max] */
    uint32_t list_max, pad;
    uint64_t fresh;     /* records ever handed out: indexes below it may be in use */
    uint64_t free_head; /* batches of free records: tag << 32 | index + 1 */
    uint64_t lost;      /* adds that found no memory */
    uint32_t list_high; /* entries ever used */
    uint32_t creation;  /* trace creation */
};

#endif
