/*
 * config/write.c - writes the configuration: the groups that are registered, read where the program keeps them, and what providers say.
 *
 * The target's half, runner thread; allocates nothing but by mmap. What is registered wins over what a provider says. Values are read as if
 * they were another process's: what has been unmapped meanwhile is null.
 */
#include <errno.h>

#include "config/registry.h"
#include "sys/sys.h"

#define STRING_BYTES 8192
#define MAX_LIST 10000
#define MAX_PASSES 10

const struct gmr_text_style gmr__config_style = {.dict_sep = ": ", .before_dict = ""};

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

static void put_option(struct gmr_writer *w, const struct gmr__option *option)
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
    struct gmr__answers answers;
};

/* False: it has been written already. */
static bool write_group(struct report *report, const char *name)
{
    if (!gmr__names_new(&report->names, name, NULL))
        return false;
    gmr_begin_map(report->w, name);
    gmr__config_lock();
    struct gmr__group *group = gmr__config_find(name);
    for (const struct gmr__option *option = group ? group->options : NULL; option; option = option->next) {
        if (gmr__names_new(&report->names, name, option->name))
            put_option(report->w, option);
    }
    gmr__config_unlock();
    for (size_t i = 0; i < report->answers.count; i++)
        gmr__answer_copy(report->w, &report->answers.list[i], name, &report->names);
    gmr_end_map(report->w);
    return true;
}

/* Again until nothing is new: where a group goes away meanwhile, the others move up. */
static bool write_registered(struct report *report)
{
    char name[1024];
    bool any = false, more = report->names.slots != NULL;
    for (int pass = 0; pass == 0 || (more && pass < MAX_PASSES); pass++) {
        more = false;
        for (size_t i = 0; gmr__config_group_name(i, name, sizeof(name)); i++)
            more |= write_group(report, name);
        any |= more;
    }
    return any;
}

static void write_all(struct report *report)
{
    char name[1024];
    bool any = write_registered(report) || report->answers.count;
    for (size_t i = 0; i < report->answers.count; i++) {
        for (size_t at = 0; gmr__answer_group(&report->answers.list[i], &at, name, sizeof(name));)
            write_group(report, name);
    }
    if (any)
        write_group(report, "default"); /* oslo.config always has it */
}

int gmr__config_write(struct gmr_writer *w)
{
    struct report report = {.w = w};
    size_t bytes = GMR__NAMES_SLOTS * sizeof(*report.names.slots);
    report.names.slots = gmr__map_memory(bytes);
    gmr__providers_ask(&report.answers, gmr__writer_text(w));
    write_all(&report);
    if (report.names.slots)
        gmr__unmap_memory(report.names.slots, bytes);
    gmr__answers_free(&report.answers);
    return report.answers.error;
}
