/*
 * config/groups.c - the program's configuration: groups of options whose values are read when a report is made, and providers.
 *
 * The target's half. gmr_config_* run on any thread of the program and may allocate; gmr__config_write runs on a runner thread and does not. The lock is
 * held while values are read, so that after unregistering they may be freed; it is never held while a provider runs, which may hang.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/config.h"
#include "section/secrets.h"
#include "sys/buf.h"
#include "sys/sys.h"

#define STRING_BYTES 8192
#define MAX_LIST 10000
#define MAX_PROVIDERS 64
#define MAX_PASSES 10
#define ARENA_BYTES ((size_t)4 << 20)
#define UNREGISTER_WAIT_NS 2000000000u

const struct gmr_text_style gmr__config_style = {.dict_sep = ": ", .before_dict = ""};

struct option {
    struct option *next;
    enum gmr_config_type type;
    const void *value;
    bool secret;
    char name[];
};

struct group {
    struct group *next;
    struct option *options;
    char name[];
};

struct provider {
    struct provider *next;
    gmr_generator generator;
    void *userdata;
    unsigned running;
    pid_t runner; /* the thread that runs it */
    bool removed; /* while it ran: freed when it ends */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct group *groups;
static struct provider *providers;

void gmr__config_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void gmr__config_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void gmr__config_forget_running(void)
{
    for (struct provider *p = providers; p; p = p->next)
        p->running = 0;
}

/* ------------------------------------------------------------------------------------------------ groups */

static const char *group_name(const char *group)
{
    return strcmp(group, "DEFAULT") == 0 ? "default" : group;
}

static void free_options(struct option *option)
{
    while (option) {
        struct option *next = option->next;
        free(option);
        option = next;
    }
}

static struct group *find_group(const char *name)
{
    struct group *group = groups;
    while (group && strcmp(group->name, name) != 0)
        group = group->next;
    return group;
}

static struct option *new_option(const struct gmr_config_option *from)
{
    size_t bytes = strlen(from->name) + 1;
    struct option *option = malloc(sizeof(*option) + bytes);
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
static struct group *new_group(const char *name, const struct gmr_config_option *options, size_t count)
{
    size_t bytes = strlen(name) + 1;
    struct group *group = malloc(sizeof(*group) + bytes);
    if (!group)
        return NULL;
    memcpy(group->name, name, bytes);
    group->options = NULL;
    group->next = NULL;
    for (size_t i = 0; i < count; i++) {
        struct option *option = new_option(&options[i]);
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
static struct option *take_option(struct option **list, const char *name)
{
    for (; *list; list = &(*list)->next) {
        if (strcmp((*list)->name, name) == 0) {
            struct option *found = *list;
            *list = found->next;
            found->next = NULL;
            return found;
        }
    }
    return NULL;
}

/* Adds fresh's options to those that are there; returns those that they replace. */
static struct option *merge(struct group *group, struct group *fresh)
{
    struct option *replaced = NULL;
    while (fresh->options) {
        struct option *option = fresh->options;
        fresh->options = option->next;
        struct option *old = take_option(&group->options, option->name);
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
    struct group *fresh = new_group(group_name(group), options, option_count);
    if (!fresh)
        return -ENOMEM;
    struct option *replaced = NULL;
    gmr__config_lock();
    struct group *there = find_group(fresh->name);
    struct group *place = there;
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
    struct group **place = &groups;
    while (*place && strcmp((*place)->name, group) != 0)
        place = &(*place)->next;
    struct group *found = *place;
    if (found)
        *place = found->next;
    gmr__config_unlock();
    if (!found)
        return -ENOENT;
    free_options(found->options);
    free(found);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ providers */

GMR_API int gmr_config_register_provider(gmr_generator generator, void *userdata)
{
    if (!generator)
        return -EINVAL;
    struct provider *provider = malloc(sizeof(*provider));
    if (!provider)
        return -ENOMEM;
    *provider = (struct provider){.generator = generator, .userdata = userdata};
    gmr__config_lock();
    struct provider **end = &providers;
    while (*end)
        end = &(*end)->next;
    *end = provider;
    gmr__config_unlock();
    return 0;
}

/* Unlinks it; frees it, too, unless it runs. */
static bool remove_provider(struct provider *provider)
{
    struct provider **place = &providers;
    while (*place && *place != provider)
        place = &(*place)->next;
    if (!*place)
        return false;
    *place = provider->next;
    provider->removed = true;
    return provider->running == 0;
}

GMR_API int gmr_config_unregister_provider(gmr_generator generator, void *userdata)
{
    if (!generator)
        return -EINVAL;
    uint64_t until = gmr__now_ns() + UNREGISTER_WAIT_NS;
    for (;;) {
        gmr__config_lock();
        struct provider *found = NULL;
        for (struct provider *p = providers; p; p = p->next)
            found = p->generator == generator && p->userdata == userdata ? p : found;
        bool itself = found && found->running && found->runner == gmr__gettid();
        bool wait = found && found->running && !itself && gmr__now_ns() < until;
        bool running = found && found->running;
        bool mine = found && !wait && remove_provider(found);
        gmr__config_unlock();
        if (wait) {
            gmr__sleep_ns(1000000);
            continue;
        }
        if (mine)
            free(found);
        return !found ? -ENOENT : running && !itself ? -EBUSY : 0;
    }
}

/* ------------------------------------------------------------------------------------------------ writing */

static void put_list(struct gmr_writer *w, const char *name, const char *const *items)
{
    char text[STRING_BYTES];
    gmr_begin_list(w, name);
    for (int i = 0; i < MAX_LIST; i++) {
        const char *item;
        if (!gmr__safe_read(items + i, &item, sizeof(item)) || !item)
            break;
        long n = gmr__safe_string(item, text, sizeof(text));
        if (n >= 0)
            gmr__config_string(w, NULL, text, (size_t)n, false);
        else
            gmr_put_null(w, NULL);
    }
    gmr_end_list(w);
}

static void put_string(struct gmr_writer *w, const char *name, const char *from)
{
    char text[STRING_BYTES];
    long n = from ? gmr__safe_string(from, text, sizeof(text)) : -EFAULT;
    if (n < 0)
        gmr_put_null(w, name);
    else
        gmr__config_string(w, name, text, (size_t)n, false);
}

static size_t size_of(enum gmr_config_type type)
{
    switch (type) {
    case GMR_CONFIG_BOOL:
        return sizeof(bool);
    case GMR_CONFIG_INT:
    case GMR_CONFIG_UINT:
        return sizeof(int);
    default:
        return sizeof(int64_t);
    }
}

static void put_option(struct gmr_writer *w, const struct option *option)
{
    union {
        unsigned char b;
        int i;
        unsigned u;
        int64_t i64;
        uint64_t u64;
        double d;
        const void *p;
    } value = {.u64 = 0};
    const char *name = option->name;
    if (option->secret)
        gmr_put_secret(w, name);
    else if (!gmr__safe_read(option->value, &value, size_of(option->type)))
        gmr_put_null(w, name);
    else if (option->type == GMR_CONFIG_STRING)
        put_string(w, name, value.p);
    else if (option->type == GMR_CONFIG_LIST && value.p)
        put_list(w, name, value.p);
    else if (option->type == GMR_CONFIG_LIST)
        gmr_put_null(w, name);
    else if (option->type == GMR_CONFIG_BOOL)
        gmr_put_bool(w, name, value.b != 0);
    else if (option->type == GMR_CONFIG_INT)
        gmr_put_int(w, name, value.i);
    else if (option->type == GMR_CONFIG_UINT)
        gmr_put_uint(w, name, value.u);
    else if (option->type == GMR_CONFIG_DOUBLE)
        gmr_put_double(w, name, value.d);
    else if (option->type == GMR_CONFIG_LONG || option->type == GMR_CONFIG_INT64)
        gmr_put_int(w, name, value.i64);
    else
        gmr_put_uint(w, name, value.u64);
}

struct report {
    struct gmr_writer *w;
    struct gmr__names names;
    struct gmr__answer answers[MAX_PROVIDERS];
    size_t answer_count;
    int error; /* the first provider's that failed */
};

/* False: it has been written already. */
static bool write_group(struct report *report, const char *name)
{
    if (!gmr__names_new(&report->names, name, NULL))
        return false;
    gmr_begin_map(report->w, name);
    gmr__config_lock();
    struct group *group = find_group(name);
    for (const struct option *option = group ? group->options : NULL; option; option = option->next) {
        if (gmr__names_new(&report->names, name, option->name))
            put_option(report->w, option);
    }
    gmr__config_unlock();
    for (size_t i = 0; i < report->answer_count; i++)
        gmr__answer_copy(report->w, &report->answers[i], name, &report->names);
    gmr_end_map(report->w);
    return true;
}

/* The n-th group's name: the lock is not held while a group is written, so the list may change between two. */
static bool registered_name(size_t n, char *room, size_t cap)
{
    struct gmr__buf buf;
    gmr__config_lock();
    struct group *group = groups;
    while (group && n--)
        group = group->next;
    gmr__buf_init(&buf, room, cap);
    if (group)
        gmr__buf_str(&buf, group->name);
    gmr__config_unlock();
    return group != NULL;
}

static struct provider *take_provider(size_t n)
{
    gmr__config_lock();
    struct provider *provider = providers;
    while (provider && n--)
        provider = provider->next;
    if (provider) {
        provider->running++;
        provider->runner = gmr__gettid();
    }
    gmr__config_unlock();
    return provider;
}

static void done_with(struct provider *provider)
{
    gmr__config_lock();
    bool last = provider->running > 0 && --provider->running == 0 && provider->removed;
    gmr__config_unlock();
    if (last)
        free(provider);
}

/* memory: a writer and, behind it, its arena. */
static void ask(struct report *report, struct provider *provider, unsigned char *memory, size_t bytes)
{
    struct gmr__sink_mem sink;
    size_t place = (gmr__writer_size() + 63) & ~(size_t)63;
    gmr__sink_mem_init(&sink, memory + place, bytes - place);
    struct gmr_writer *writer =
        gmr__writer_init(memory, gmr__writer_size(), GMR__VIEW_WIRE,
                         gmr__writer_text(report->w) ? GMR_VIEW_TEXT : GMR_VIEW_JSON, &sink.sink);
    int result = provider->generator(writer, provider->userdata);
    int error = gmr__writer_section_error(writer);
    gmr__writer_close(writer);
    gmr__writer_flush(writer);
    report->answers[report->answer_count++] = (struct gmr__answer){sink.base, sink.used};
    if (!report->error)
        report->error = result < 0 ? result : error;
}

static void ask_providers(struct report *report, unsigned char **arenas)
{
    struct provider *provider;
    for (size_t i = 0; (provider = take_provider(i)); i++) {
        bool room = report->answer_count < MAX_PROVIDERS;
        unsigned char *memory = room ? gmr__map_memory(ARENA_BYTES) : NULL;
        if (memory)
            arenas[report->answer_count] = memory;
        if (memory)
            ask(report, provider, memory, ARENA_BYTES);
        else if (!report->error)
            report->error = room ? -ENOMEM : -E2BIG;
        done_with(provider);
    }
}

/* Again until nothing is new: where a group goes away meanwhile, the others move up. */
static bool write_registered(struct report *report)
{
    char name[1024];
    bool any = false, more = report->names.slots != NULL;
    for (int pass = 0; pass == 0 || (more && pass < MAX_PASSES); pass++) {
        more = false;
        for (size_t i = 0; registered_name(i, name, sizeof(name)); i++)
            more |= write_group(report, name);
        any |= more;
    }
    return any;
}

static void write_all(struct report *report)
{
    char name[1024];
    bool any = write_registered(report) || report->answer_count;
    for (size_t i = 0; i < report->answer_count; i++) {
        for (size_t at = 0; gmr__answer_group(&report->answers[i], &at, name, sizeof(name));)
            write_group(report, name);
    }
    if (any)
        write_group(report, "default"); /* oslo.config always has it */
}

int gmr__config_write(struct gmr_writer *w)
{
    struct report report = {.w = w};
    unsigned char *arenas[MAX_PROVIDERS] = {NULL};
    size_t bytes = GMR__NAMES_SLOTS * sizeof(*report.names.slots);
    report.names.slots = gmr__map_memory(bytes);
    ask_providers(&report, arenas);
    write_all(&report);
    if (report.names.slots)
        gmr__unmap_memory(report.names.slots, bytes);
    for (size_t i = 0; i < MAX_PROVIDERS; i++) {
        if (arenas[i])
            gmr__unmap_memory(arenas[i], ARENA_BYTES);
    }
    return report.error;
}
