/*
 * report/registry.c - the program's own sections: registered, removed, handed out one by one.
 *
 * Any thread of the program, and runner threads; may use libc. Must never be called by the reporter: the lock may be held by a thread that is
 * stuck for good.
 */
#include "report/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report/runtime.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static struct gmr__entry *first, *last;
static uint64_t next_id = 1;

static struct gmr__entry *new_entry(const struct gmr_section *section)
{
    const char *style[7] = {section->style.indent_str, section->style.key_sep,   section->style.dict_sep,
                            section->style.list_sep,   section->style.anon_dict, section->style.before_dict,
                            section->style.before_list};
    size_t bytes = strlen(section->title) + 1;
    for (int i = 0; i < 7; i++)
        bytes += style[i] ? strlen(style[i]) + 1 : 0;
    struct gmr__entry *entry = calloc(1, sizeof(*entry) + bytes);
    if (!entry)
        return NULL;
    char *at = (char *)(entry + 1);
    entry->title = at;
    at = stpcpy(at, section->title) + 1;
    for (int i = 0; i < 7; i++) {
        if (!style[i])
            continue;
        entry->style_text[i] = at;
        at = stpcpy(at, style[i]) + 1;
    }
    entry->generator = section->generator;
    entry->userdata = section->userdata;
    entry->flags = section->flags;
    return entry;
}

GMR_API int gmr_register_section_with(const struct gmr_section *given)
{
    if (!given || given->size < offsetof(struct gmr_section, flags))
        return -EINVAL;
    struct gmr_section section = {0};
    memcpy(&section, given, given->size < sizeof(section) ? given->size : sizeof(section));
    if (!section.title || !section.title[0] || !section.generator)
        return -EINVAL;
    int saved = errno;
    struct gmr__entry *entry = new_entry(&section);
    errno = saved;
    if (!entry)
        return -ENOMEM;
    pthread_mutex_lock(&lock);
    entry->id = next_id++;
    if (last)
        last->next = entry;
    else
        first = entry;
    last = entry;
    pthread_mutex_unlock(&lock);
    return 0;
}

GMR_API int gmr_register_section(const char *title, gmr_generator generator, void *userdata)
{
    struct gmr_section section = {
        .size = sizeof(section), .title = title, .generator = generator, .userdata = userdata};
    return gmr_register_section_with(&section);
}

/* Called locked. */
static void unlink_entry(struct gmr__entry *entry)
{
    struct gmr__entry *before = NULL;
    for (struct gmr__entry *e = first; e && e != entry; e = e->next)
        before = e;
    if (before)
        before->next = entry->next;
    else
        first = entry->next;
    if (last == entry)
        last = before;
}

/* Called locked; lets go while it waits. 0 or -EBUSY. */
static int wait_until_idle(const struct gmr__entry *entry)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    unsigned timeout_ms = atomic_load(&gmr__rt.section_timeout_ms);
    timeout_ms = timeout_ms ? timeout_ms : 2000; /* no setup so far */
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int error = 0;
    while (entry->running && error == 0)
        error = pthread_cond_clockwait(&idle, &lock, CLOCK_MONOTONIC, &until);
    return entry->running ? -EBUSY : 0;
}

GMR_API int gmr_unregister_section(const char *title, gmr_generator generator)
{
    if (!title || !generator)
        return -EINVAL;
    pthread_mutex_lock(&lock);
    struct gmr__entry *found = NULL;
    for (struct gmr__entry *e = first; e; e = e->next)
        if (e->generator == generator && strcmp(e->title, title) == 0)
            found = e;
    if (!found) {
        pthread_mutex_unlock(&lock);
        return -ENOENT;
    }
    unlink_entry(found);
    /* A generator that removes its own section can't wait for itself: its entry goes when it returns. */
    int result = !found->running || gmr__runner_is_self() ? 0 : wait_until_idle(found);
    bool free_it = !found->running;
    found->orphaned = !free_it;
    pthread_mutex_unlock(&lock);
    if (free_it)
        free(found);
    return result;
}

struct gmr__entry *gmr__registry_take(uint64_t after, uint64_t *until, const char *only_title, unsigned flags)
{
    pthread_mutex_lock(&lock);
    if (!*until && last)
        *until = last->id;
    struct gmr__entry *entry = first;
    while (entry && (entry->id <= after || (entry->flags & flags) != flags ||
                     (only_title && strcmp(entry->title, only_title) != 0)))
        entry = entry->next;
    if (entry && entry->id > *until)
        entry = NULL;
    if (entry)
        entry->running++;
    pthread_mutex_unlock(&lock);
    return entry;
}

void gmr__registry_done(struct gmr__entry *entry)
{
    pthread_mutex_lock(&lock);
    entry->running--;
    bool free_it = entry->running == 0 && entry->orphaned; /* removed, and nobody waits to free it */
    pthread_cond_broadcast(&idle);
    pthread_mutex_unlock(&lock);
    if (free_it)
        free(entry);
}

void gmr__registry_lock(void)
{
    pthread_mutex_lock(&lock);
}

void gmr__registry_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void gmr__registry_forget_running(void)
{
    /* glibc's condition variable counts its waiters, who are not here: a broadcast would wait for them. */
    idle = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    for (struct gmr__entry *e = first; e; e = e->next)
        e->running = 0;
}
