/*
 * config/registry.h - what is registered, as groups.c, providers.c and write.c share it.
 *
 * The target's half; private to src/config.
 */
#ifndef GMR_CONFIG_REGISTRY_H
#define GMR_CONFIG_REGISTRY_H

#include "config/config.h"
#include "gmr/gmr.h"

struct gmr__option {
    struct gmr__option *next;
    enum gmr_config_type type;
    const void *value;
    bool secret;
    char name[];
};

struct gmr__group {
    struct gmr__group *next;
    struct gmr__option *options;
    char name[];
};

/* groups.c. With the lock held; NULL: there is none. */
struct gmr__group *gmr__config_find(const char *name);
/* The n-th group's name: the lock is not held while a group is written, so the list may change between two. False: no more. */
bool gmr__config_group_name(size_t n, char *room, size_t cap);

#define GMR__MAX_PROVIDERS 64
/* providers.c: what all of them say. */
struct gmr__answers {
    struct gmr__answer list[GMR__MAX_PROVIDERS];
    unsigned char *arenas[GMR__MAX_PROVIDERS]; /* a writer and, behind it, what it wrote */
    size_t count;
    int error; /* the first provider's that failed */
};
/* text: they write for the text view. */
void gmr__providers_ask(struct gmr__answers *answers, bool text);
void gmr__answers_free(struct gmr__answers *answers);

#endif
