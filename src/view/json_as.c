/*
 * view/json_as.c - the JSON view.
 *
 * Both halves, async-signal-safe. Values are written as Python's json.dumps writes them (", " and ": ", non-ASCII as \uXXXX); each
 * member of the report, and each element of a list at the top (threads, stacks), stands on a line of its own, so that grep, tail
 * and an eye get along with a file of megabytes. Not-a-number and infinities, which JSON has no number for, are strings. Callers: the front end.
 */
#include "view/view.h"

static void put_name(struct gmr_writer *w, const char *name)
{
    gmr__out(w, "\"", 1);
    gmr__escape_whole(w, GMR__ESCAPE_JSON, name);
    gmr__out_str(w, "\": ");
}

static void json_doc_begin(struct gmr_writer *w, const struct gmr__doc *doc)
{
    gmr__out_str(w, "{\"schema\": \"gmr-report/1\"");
}

static void end_own(struct gmr_writer *w)
{
    if (w->in_own) {
        gmr__out_str(w, "}");
        w->in_own = false;
        w->own_done = true;
    }
}

static void json_doc_end(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost)
{
    gmr__out_str(w, "}\n");
}

static void json_section_begin(struct gmr_writer *w, const struct gmr__section_head *head, const char *title)
{
    bool own = head->flags & GMR__SECTION_OWN;
    if (own && !w->in_own)
        gmr__out_str(w, ",\n\"sections\": {\n");
    else if (!own)
        end_own(w);
    if (!own || w->in_own)
        gmr__out_str(w, ",\n");
    put_name(w, w->section_name);
    gmr__out_str(w, w->container[0] == GMR__LIST ? "[" : "{");
}

static void json_section_end(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step)
{
    gmr__out_str(w, w->container[0] == GMR__LIST ? "]" : "}");
}

static void separate(struct gmr_writer *w, const char *key)
{
    bool element = w->depth == 0 && w->container[0] == GMR__LIST;
    if (w->any[w->depth])
        gmr__out_str(w, element ? ",\n" : ", ");
    else if (element)
        gmr__out_str(w, "\n");
    if (key)
        put_name(w, key);
}

static void json_begin(struct gmr_writer *w, const char *key, enum gmr__container container)
{
    separate(w, key);
    gmr__out_str(w, container == GMR__MAP || container == GMR__ORDERED_MAP ? "{" : "[");
}

static void json_end(struct gmr_writer *w, enum gmr__container container)
{
    gmr__out_str(w, container == GMR__MAP || container == GMR__ORDERED_MAP ? "}" : "]");
}

static void json_scalar(struct gmr_writer *w, const char *key, const struct gmr__scalar *value)
{
    static const char *const names[] = {[GMR__SCALAR_TRUE] = "true",
                                        [GMR__SCALAR_FALSE] = "false",
                                        [GMR__SCALAR_NULL] = "null",
                                        [GMR__SCALAR_SECRET] = "\"***\""};
    char text[GMR__DOUBLE_TEXT];
    separate(w, key);
    if (value->kind >= GMR__SCALAR_TRUE) {
        gmr__out_str(w, names[value->kind]);
        return;
    }
    size_t count = gmr__scalar_text(value, text);
    char last = text[count - 1];
    bool number = last >= '0' && last <= '9';
    gmr__out_str(w, number ? "" : "\"");
    gmr__out(w, text, count);
    gmr__out_str(w, number ? "" : "\"");
}

static void json_string_begin(struct gmr_writer *w, const char *key, bool multiline, size_t bytes)
{
    separate(w, key);
    gmr__out(w, "\"", 1);
}

static void json_string_bytes(struct gmr_writer *w, const char *bytes, size_t count)
{
    gmr__escape_piece(w, GMR__ESCAPE_JSON, bytes, count, NULL);
}

static void json_string_end(struct gmr_writer *w)
{
    gmr__escape_end(w, GMR__ESCAPE_JSON);
    gmr__out(w, "\"", 1);
}

const struct gmr__view_ops gmr__json_ops = {
    .escape = GMR__ESCAPE_JSON,
    .doc_begin = json_doc_begin,
    .doc_end = json_doc_end,
    .section_begin = json_section_begin,
    .section_end = json_section_end,
    .begin = json_begin,
    .end = json_end,
    .scalar = json_scalar,
    .string_begin = json_string_begin,
    .string_bytes = json_string_bytes,
    .string_end = json_string_end,
};
