/*
 * config/groups.c - the program's configuration: groups of options, by the addresses of their values.
 *
 * The target's half. Any thread of the program; may allocate. The lock is held while values are read (write.c), so that after unregistering they
 * may be freed; never while something could block: nothing is allocated under it, and providers run without it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "config/registry.h"
#include "section/secrets.h"
#include "sys/buf.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct gmr__group *groups;

void gmr__config_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void gmr__config_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static const char *group_name(const char *group)
{
    return strcmp(group, "DEFAULT") == 0 ? "default" : group;
}

static void free_options(struct gmr__option *option)
{
    while (option) {
        struct gmr__option *next = option->next;
        free(option);
        option = next;
    }
}

struct gmr__group *gmr__config_find(const char *name)
{
    struct gmr__group *group = groups;
    while (group && strcmp(group->name, name) != 0)
        group = group->next;
    return group;
}

static struct gmr__option *new_option(const struct gmr_config_option *from)
{
    size_t bytes = strlen(from->name) + 1;
    struct gmr__option *option = malloc(sizeof(*option) + bytes);
    if (!option)
        return NULL;
    option->next = NULL;
    option->type = from->type;
    option->value = from->value;
    option->secret =
        (from->flags & GMR_CONFIG_SECRET) ||
        (!(from->flags & GMR_CONFIG_NOT_SECRET) && from->type != GMR_CONFIG_BOOL && gmr__secret_name(from->name));
    memcpy(option->name, from->name, bytes);
    return option;
}

/* Everything is allocated before the lock is taken: malloc may hang, and the lock must not. */
static struct gmr__group *new_group(const char *name, const struct gmr_config_option *options, size_t count)
{
    size_t bytes = strlen(name) + 1;
    struct gmr__group *group = malloc(sizeof(*group) + bytes);
    if (!group)
        return NULL;
    memcpy(group->name, name, bytes);
    group->options = NULL;
    group->next = NULL;
    for (size_t i = 0; i < count; i++) {
        struct gmr__option *option = new_option(&options[i]);
        if (!option) {
            free_options(group->options);
            free(group);
            return NULL;
        }
        option->next = group->options;
        group->options = option;
    }
    return group;
}

/* Takes an option of that name out of the list. */
static struct gmr__option *take_option(struct gmr__option **list, const char *name)
{
    for (; *list; list = &(*list)->next) {
        if (strcmp((*list)->name, name) == 0) {
            struct gmr__option *found = *list;
            *list = found->next;
            found->next = NULL;
            return found;
        }
    }
    return NULL;
}

/* Adds fresh's options to those that are there; returns those that they replace. */
static struct gmr__option *merge(struct gmr__group *group, struct gmr__group *fresh)
{
    struct gmr__option *replaced = NULL;
    while (fresh->options) {
        struct gmr__option *option = fresh->options;
        fresh->options = option->next;
        struct gmr__option *old = take_option(&group->options, option->name);
        if (old) {
            old->next = replaced;
            replaced = old;
        }
        option->next = group->options;
        group->options = option;
    }
    return replaced;
}

static bool valid(const struct gmr_config_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!options[i].name || !options[i].value || options[i].type < GMR_CONFIG_STRING ||
            options[i].type > GMR_CONFIG_LIST)
            return false;
    }
    return true;
}

GMR_API int gmr_config_register_group(const char *group, const struct gmr_config_option *options, size_t option_count)
{
    if (!group || (!options && option_count) || !valid(options, option_count))
        return -EINVAL;
    struct gmr__group *fresh = new_group(group_name(group), options, option_count);
    if (!fresh)
        return -ENOMEM;
    struct gmr__option *replaced = NULL;
    gmr__config_lock();
    struct gmr__group *there = gmr__config_find(fresh->name);
    struct gmr__group *place = there;
    if (!place) { /* merged into itself, so that a name that comes twice stays once */
        place = groups = (fresh->next = groups, fresh);
    } else {
        replaced = merge(place, fresh);
    }
    gmr__config_unlock();
    if (there)
        free(fresh);
    free_options(replaced);
    return 0;
}

GMR_API int gmr_config_unregister_group(const char *group)
{
    if (!group)
        return -EINVAL;
    group = group_name(group);
    gmr__config_lock();
    struct gmr__group **place = &groups;
    while (*place && strcmp((*place)->name, group) != 0)
        place = &(*place)->next;
    struct gmr__group *found = *place;
    if (found)
        *place = found->next;
    gmr__config_unlock();
    if (!found)
        return -ENOENT;
    free_options(found->options);
    free(found);
    return 0;
}

bool gmr__config_group_name(size_t n, char *room, size_t cap)
{
    struct gmr__buf buf;
    gmr__config_lock();
    struct gmr__group *group = groups;
    while (group && n--)
        group = group->next;
    gmr__buf_init(&buf, room, cap);
    if (group)
        gmr__buf_str(&buf, group->name);
    gmr__config_unlock();
    return group != NULL;
}
