/*
 * cli/stored_write.c - a stored report, written as text, JSON or XML.
 *
 * The gmr command only. The same views write it that wrote it first, so that JSON comes out byte for byte and text as the live report
 * would have been, as far as JSON tells: the separators a program chose for a section of its own are not in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/stored.h"
#include "report/order.h"
#include "section/section.h"
#include "sys/grow.h"

/* Those that aren't from /proc; the others are in gmr__report_order. */
static const struct {
    const char *name, *title;
    unsigned flags;
} sections[] = {
    {"crash", "Crash", 0},
    {"memory_map", "Memory Map", 0},
    {"package", "Package", 0},
    {"findings", "Findings", 0},
    {"threads", "Threads", 0},
    {"green_threads", "Green Threads", 0},
    {"stacks", "Stacks", GMR__SECTION_STRUCTURED},
    {"configuration", "Configuration", 0},
};

/* ------------------------------------------------------------------------------------------------ values */

static void put_container(struct gmr_writer *w, const char *key, const json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    if (json_is_object(value)) {
        if (gmr_begin_map(w, key))
            return; /* too deep, or the output is gone: the section says so */
        json_object_foreach((json_t *)value, name, member) gmr__stored_put(w, name, member);
        gmr_end_map(w);
    } else {
        if (gmr_begin_list(w, key))
            return;
        json_array_foreach(value, i, member) gmr__stored_put(w, NULL, member);
        gmr_end_list(w);
    }
}

void gmr__stored_put(struct gmr_writer *w, const char *key, const json_t *value)
{
    const char *big;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        put_container(w, key, value);
        break;
    case JSON_STRING:
        big = gmr__stored_big(value);
        if (big)
            gmr_put_uint(w, key, strtoull(big, NULL, 10));
        else
            gmr_put_bytes(w, key, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        gmr_put_int(w, key, json_integer_value(value));
        break;
    case JSON_REAL:
        gmr_put_double(w, key, json_real_value(value));
        break;
    case JSON_NULL:
        gmr_put_null(w, key);
        break;
    default:
        gmr_put_bool(w, key, json_is_true(value));
    }
}

static void put_body(struct gmr_writer *w, const json_t *body)
{
    const char *name;
    json_t *member;
    size_t i;
    if (json_is_object(body)) {
        json_object_foreach((json_t *)body, name, member) gmr__stored_put(w, name, member);
    } else {
        json_array_foreach(body, i, member) gmr__stored_put(w, NULL, member);
    }
}

/* ------------------------------------------------------------------------------------------------ sorting, as the report did */

struct grown {
    struct gmr__sink sink;
    unsigned char *bytes;
    size_t used, cap;
};

static int grown_write(struct gmr__sink *sink, const void *bytes, size_t count)
{
    struct grown *to = (struct grown *)sink;
    if (!GMR__GROW(to->bytes, to->cap, to->used + count))
        return -ENOMEM;
    memcpy(to->bytes + to->used, bytes, count);
    to->used += count;
    return 0;
}

/* Members out of order: the section was registered to keep it (GMR_SECTION_KEEP_ORDER). */
static bool is_sorted(const json_t *value)
{
    const char *name, *before = NULL;
    json_t *member;
    size_t i;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)value, name, member)
        {
            if ((before && strcmp(before, name) > 0) || !is_sorted(member))
                return false;
            before = name;
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, member)
        {
            if (!is_sorted(member))
                return false;
        }
    }
    return true;
}

/* JSON keeps the order of lists; text and XML have them sorted. */
static void put_sorted(struct gmr_writer *w, const json_t *body, int view)
{
    struct grown arena = {.sink.write = grown_write};
    void *place = malloc(gmr__writer_size()), *scratch = NULL;
    struct gmr_writer *to =
        place ? gmr__writer_init(place, gmr__writer_size(), GMR__VIEW_WIRE, view, &arena.sink) : NULL;
    if (to) {
        put_body(to, body);
        gmr__writer_close(to);
        gmr__writer_flush(to);
        scratch = malloc(arena.used * 4 + 4);
    }
    if (to && gmr__writer_error(to) == 0)
        gmr__replay_sorted(w, arena.bytes, arena.used, scratch, scratch ? arena.used * 4 + 4 : 0);
    else
        put_body(w, body);
    free(scratch);
    free(place);
    free(arena.bytes);
}

/* ------------------------------------------------------------------------------------------------ the document */

/* What the report said became of that section. */
static const json_t *outcome_of(const json_t *root, const char *name, bool own)
{
    const json_t *outcomes = json_object_get(json_object_get(root, "report"), "sections");
    json_t *outcome;
    size_t i;
    json_array_foreach(outcomes, i, outcome)
    {
        const char *other = gmr__stored_string(outcome, "name");
        if (other && strcmp(other, name) == 0 && gmr__stored_true(outcome, "own") == own)
            return outcome;
    }
    return NULL;
}

static enum gmr__status status_of(const json_t *outcome)
{
    const char *status = gmr__stored_string(outcome, "status");
    if (!status || strcmp(status, "ok") == 0)
        return GMR__OK;
    if (strcmp(status, "absent") == 0)
        return GMR__ABSENT;
    return strcmp(status, "failed") == 0 ? GMR__FAILED : GMR__PARTIAL;
}

static void put_section(struct gmr_writer *w, const json_t *root, const struct gmr__section_head *head,
                        const json_t *body, int view)
{
    bool own = head->flags & GMR__SECTION_OWN, sorted = own || strcmp(head->name, "configuration") == 0;
    if (gmr__section_begin(w, head))
        return;
    if (view == GMR_VIEW_TEXT && !own && gmr__stored_text(w, head->name, body, root)) {
    } else if (sorted && view != GMR_VIEW_JSON && is_sorted(body)) {
        put_sorted(w, body, view);
    } else {
        put_body(w, body);
    }
    const json_t *outcome = outcome_of(root, head->name, own);
    gmr__section_end(w, status_of(outcome), gmr__stored_string(outcome, "reason"),
                     gmr__stored_string(outcome, "next_step"));
}

static void put_own(struct gmr_writer *w, const json_t *root, const json_t *own, int view)
{
    const char *title;
    json_t *body;
    json_object_foreach((json_t *)own, title, body)
    {
        struct gmr__section_head head = {
            .name = title, .title = title, .shape = GMR__SHAPE_MAP, .flags = GMR__SECTION_OWN};
        if (json_is_object(body))
            put_section(w, root, &head, body, view);
    }
}

static void put_known(struct gmr_writer *w, const json_t *root, const char *name, const json_t *body, int view)
{
    struct gmr__section_head head = {.name = name, .title = name};
    head.shape = json_is_array(body) ? GMR__SHAPE_LIST : GMR__SHAPE_MAP;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (strcmp(sections[i].name, name) == 0) {
            head.title = sections[i].title;
            head.flags = sections[i].flags;
        }
    }
    for (const struct gmr__order_entry *entry = gmr__report_order; entry->name; entry++) {
        if (entry->proc && strcmp(entry->name, name) == 0)
            head.title = entry->proc->head.title;
    }
    if (strcmp(name, "configuration") == 0)
        head.style = (struct gmr_text_style){.dict_sep = ": ", .before_dict = ""};
    if (json_is_array(body) || json_is_object(body))
        put_section(w, root, &head, body, view);
}

static struct gmr__doc doc_of(const json_t *report)
{
    return (struct gmr__doc){
        .id = gmr__stored_string(report, "id"),
        .service = gmr__stored_string(report, "service"),
        .pid = (int)gmr__stored_int(report, "pid", 0),
        .host = gmr__stored_string(report, "host"),
        .trigger = gmr__stored_string(report, "trigger"),
        .time = gmr__stored_string(report, "time"),
        .method = gmr__stored_string(report, "method"),
    };
}

static uint64_t ns_of(const json_t *cost, const char *key)
{
    int64_t us = gmr__stored_int(cost, key, 0);
    return us > 0 && us < INT64_MAX / 1000 ? (uint64_t)us * 1000 : 0;
}

int gmr__stored_render(const json_t *root, int view, struct gmr__sink *sink)
{
    const json_t *report = json_object_get(root, "report"), *figures = json_object_get(report, "cost");
    struct gmr__doc doc = doc_of(report);
    struct gmr__cost cost = {
        .wall_ns = ns_of(figures, "wall_us"),
        .pause_max_ns = ns_of(figures, "pause_max_us"),
        .pause_median_ns = ns_of(figures, "pause_median_us"),
        .copied_bytes = (uint64_t)gmr__stored_int(figures, "copied_bytes", 0),
        .known_pause = json_object_get(figures, "pause_max_us") != NULL,
    };
    const char *name;
    json_t *body;
    void *place = malloc(gmr__writer_size());
    if (!place)
        return -ENOMEM;
    struct gmr_writer *w = gmr__writer_init(place, gmr__writer_size(), view, view, sink);
    gmr__doc_begin(w, &doc);
    json_object_foreach((json_t *)root, name, body)
    {
        if (strcmp(name, "sections") == 0)
            put_own(w, root, body, view);
        else if (strcmp(name, "schema") != 0 && strcmp(name, "report") != 0)
            put_known(w, root, name, body, view);
    }
    int status = gmr__doc_end(w, &doc, json_is_object(figures) ? &cost : NULL);
    free(place);
    return status;
}

int gmr__stored_write(const json_t *root, int view, const char *path)
{
    struct gmr__output output;
    struct gmr__sink_fd sink;
    int code = gmr__output_open(&output, path);
    if (code)
        return code;
    gmr__sink_fd_init(&sink, output.fd, 0);
    int status = gmr__stored_render(root, view, &sink.sink);
    if (status) {
        code = gmr__output_failed(&output, status);
        gmr__output_close(&output, false);
        return code;
    }
    return gmr__output_close(&output, true);
}
