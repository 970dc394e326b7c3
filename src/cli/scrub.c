/*
 * cli/scrub.c - gmr scrub: takes secrets out of a stored JSON report, and addresses and host names if asked, before it is handed on.
 *
 * The gmr command only. Secrets went out when the report was written; but a pattern may have been added since, the report may come from
 * elsewhere, and a program's own sections are its own words. So names and values are looked at again, everywhere. What stays is a valid
 * report. When in doubt it masks too much.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/scrub.h"
#include "cli/stored.h"
#include "section/secrets.h"

struct scrub {
    bool addresses, hosts;
    const char *host_names[4]; /* the host's name as the report has it, and its first part */
    size_t host_name_count;
    char short_names[2][256];
    bool failed; /* no memory */
};

static void set(struct scrub *s, json_t *value, const char *text, size_t bytes)
{
    if (json_string_setn(value, text, bytes))
        s->failed = true;
}

/* ------------------------------------------------------------------------------------------------ one string */

static bool in_code(const char *member)
{
    return member &&
           (strcmp(member, "function") == 0 || strcmp(member, "build_id") == 0 || strcmp(member, "schema") == 0);
}

/* Members that the schema wants as hexadecimal numbers; module_offset tells nothing of this process. */
static bool is_address(const char *member, const char *text)
{
    static const char *const names[] = {"pc", "start", "end", "address", "parent", "wait_object", "argument"};
    for (size_t i = 0; member && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], member) == 0)
            return strncmp(text, "0x", 2) == 0;
    }
    return false;
}

static void scrub_string(struct scrub *s, const char *member, json_t *value)
{
    const char *text = json_string_value(value);
    size_t bytes = json_string_length(value);
    if (in_code(member) || gmr__stored_big(value))
        return;
    if (gmr__value_has_secret(text, bytes)) {
        size_t cap = bytes * 2 + 64;
        char *masked = malloc(cap);
        if (masked) {
            gmr__mask_value(text, bytes, masked, cap);
            set(s, value, masked, strlen(masked));
        }
        s->failed |= !masked;
        free(masked);
        text = json_string_value(value);
        bytes = json_string_length(value);
    }
    if (s->addresses && is_address(member, text)) {
        set(s, value, "0x0", 3);
        return;
    }
    if ((!s->addresses && !s->hosts) || (member && strcmp(member, "module_offset") == 0))
        return;
    char *plain = gmr__scrub_text(text, bytes, s->addresses, s->hosts ? s->host_names : NULL, s->host_name_count);
    if (plain && strcmp(plain, text) != 0)
        set(s, value, plain, strlen(plain));
    s->failed |= !plain;
    free(plain);
}

/* ------------------------------------------------------------------------------------------------ trees */

struct arguments {
    json_t *list;
    size_t at;
    struct scrub *s;
};

static void put_argument(void *userdata, const char *text, size_t bytes)
{
    struct arguments *to = userdata;
    json_t *value = json_array_get(to->list, to->at++);
    if (json_is_string(value))
        set(to->s, value, text, bytes);
}

/* A command line is judged as a whole: "--password" says what the next argument is. */
static void scrub_command(struct scrub *s, json_t *command)
{
    size_t i, used = 0, bytes = 0;
    json_t *argument;
    json_array_foreach(command, i, argument)
    {
        if (!json_is_string(argument))
            return;
        bytes += json_string_length(argument) + 1;
    }
    char *line = malloc(bytes + 1);
    if (!line) {
        s->failed = true;
        return;
    }
    json_array_foreach(command, i, argument)
    {
        /* with its NUL; one within the argument would shift the rest */
        size_t length = strlen(json_string_value(argument));
        memcpy(line + used, json_string_value(argument), length + 1);
        used += length + 1;
    }
    struct arguments to = {.list = command, .s = s};
    gmr__each_argument(line, used, false, put_argument, &to);
    free(line);
}

static void scrub_value(struct scrub *s, const char *member, json_t *value, bool by_name, bool secret);

static void scrub_members(struct scrub *s, json_t *object, bool by_name, bool secret)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value)
    {
        bool named = by_name && gmr__secret_name(name);
        bool container = json_is_object(value) || json_is_array(value);
        if ((secret || named) && !container && !json_is_null(value)) {
            if (json_object_set_new(object, name, json_string("***")))
                s->failed = true;
        } else {
            scrub_value(s, name, value, by_name, secret || (named && json_is_array(value)));
        }
    }
}

/* by_name: names of members are the program's, and may tell that a value is secret. */
static void scrub_value(struct scrub *s, const char *member, json_t *value, bool by_name, bool secret)
{
    json_t *element;
    size_t i;
    if (json_is_object(value)) {
        scrub_members(s, value, by_name, secret);
    } else if (json_is_array(value)) {
        if (member && strcmp(member, "command") == 0)
            scrub_command(s, value);
        json_array_foreach(value, i, element)
        {
            if (secret && !json_is_object(element) && !json_is_array(element))
                s->failed |= json_array_set_new(value, i, json_string("***")) != 0;
            else
                scrub_value(s, member, element, by_name, secret);
        }
    } else if (json_is_string(value)) {
        scrub_string(s, member, value);
    }
}

static void add_host(struct scrub *s, const char *name, size_t slot)
{
    size_t label = name ? strcspn(name, ".") : 0;
    if (!label || label >= sizeof(s->short_names[0]))
        return;
    s->host_names[s->host_name_count++] = name;
    if (name[label]) {
        memcpy(s->short_names[slot], name, label);
        s->short_names[slot][label] = '\0';
        s->host_names[s->host_name_count++] = s->short_names[slot];
    }
}

bool gmr__scrub_report(json_t *root, bool addresses, bool hosts)
{
    struct scrub s = {.addresses = addresses, .hosts = hosts};
    json_t *report = json_object_get(root, "report"), *host = json_object_get(root, "host"), *body;
    /* the names are compared with while the values that hold them are replaced */
    json_t *names[] = {json_deep_copy(json_object_get(report, "host")), json_deep_copy(json_object_get(host, "name"))};
    const char *name;
    for (size_t i = 0; hosts && i < 2; i++)
        add_host(&s, json_is_string(names[i]) ? json_string_value(names[i]) : NULL, i);
    json_object_foreach(root, name, body)
    {
        bool own =
            strcmp(name, "configuration") == 0 || strcmp(name, "sections") == 0 || strcmp(name, "environment") == 0;
        scrub_value(&s, name, body, own, false);
    }
    static const char *const of_host[] = {"name", "boot_id"};
    for (size_t i = 0; hosts && i < 2; i++) {
        if (json_object_get(host, of_host[i]))
            s.failed |= json_object_set_new(host, of_host[i], json_string("***")) != 0;
    }
    if (hosts && json_object_get(report, "host"))
        s.failed |= json_object_set_new(report, "host", json_string("***")) != 0;
    json_decref(names[0]);
    json_decref(names[1]);
    return !s.failed;
}

/* ------------------------------------------------------------------------------------------------ the command */

int gmr__cmd_scrub(int argc, char **argv)
{
    static const struct option options[] = {
        {"addresses", no_argument, NULL, 'a'},
        {"hosts", no_argument, NULL, 'H'},
        {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *output = NULL;
    bool addresses = false, hosts = false;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        switch (option) {
        case 'a':
            addresses = true;
            break;
        case 'H':
            hosts = true;
            break;
        case 'o':
            output = optarg;
            break;
        case 'h':
            return gmr__command_help("scrub");
        default:
            return gmr__usage("scrub");
        }
    }
    if (argc - optind != 1)
        return gmr__usage("scrub");
    json_t *root;
    int code = gmr__stored_read(argv[optind], &root);
    if (code)
        return code;
    if (gmr__scrub_report(root, addresses, hosts))
        code = gmr__stored_write(root, GMR_VIEW_JSON, output);
    else /* half scrubbed is not scrubbed */
        code = gmr__fail(GMR__EXIT_FAILED, NULL, "there is not enough memory to scrub %s; nothing was written",
                         argv[optind]);
    json_decref(root);
    return code;
}
