/*
 * view/writer_as.c - a writer's life: made in place, documents and sections begun and ended.
 *
 * Both halves, async-signal-safe, constant memory. The front end is what makes every view safe to write to: whatever a section
 * does, its containers are closed, its errors end with it, and the document goes on. Callers: report/, section/, the runner.
 */
#include <errno.h>

#include "view/view.h"

size_t gmr__writer_size(void)
{
    return sizeof(struct gmr_writer);
}

static void set_style(struct gmr_writer *w, int which, const char *text, const char *standard)
{
    if (!text)
        text = standard;
    if (text) {
        size_t count = gmr__utf8_cut(text, gmr__strlen(text), GMR__MAX_STYLE - 1);
        gmr__memcpy(w->style[which], text, count);
        w->style[which][count] = '\0';
        w->style_set |= 1u << which;
    } else {
        w->style_set &= ~(1u << which);
    }
}

void gmr__writer_style(struct gmr_writer *w, const struct gmr_text_style *style)
{
    set_style(w, STYLE_INDENT, style->indent_str, "  ");
    set_style(w, STYLE_KEY_SEP, style->key_sep, " = ");
    set_style(w, STYLE_DICT_SEP, style->dict_sep, " = ");
    set_style(w, STYLE_LIST_SEP, style->list_sep, " = ");
    set_style(w, STYLE_ANON_DICT, style->anon_dict, "[dict]");
    set_style(w, STYLE_BEFORE_DICT, style->before_dict, NULL);
    set_style(w, STYLE_BEFORE_LIST, style->before_list, NULL);
}

static const struct gmr__view_ops *ops_of(int view)
{
    switch (view) {
    case GMR_VIEW_JSON:
        return &gmr__json_ops;
    case GMR_VIEW_XML:
        return &gmr__xml_ops;
    case GMR__VIEW_WIRE:
        return &gmr__wire_ops;
    default:
        return &gmr__text_ops;
    }
}

struct gmr_writer *gmr__writer_init(void *place, size_t place_bytes, int view, int final_view, struct gmr__sink *sink)
{
    struct gmr_writer *w = place;
    if (place_bytes < sizeof(*w) || (uintptr_t)place % _Alignof(struct gmr_writer))
        return NULL;
    gmr__memset(w, 0, sizeof(*w));
    w->view = view == GMR_VIEW_DEFAULT ? GMR_VIEW_TEXT : view;
    w->final_view = view == GMR__VIEW_WIRE ? final_view : w->view;
    if (w->final_view == GMR_VIEW_DEFAULT)
        w->final_view = GMR_VIEW_TEXT;
    w->ops = ops_of(w->view);
    w->sink = sink;
    /* An arena has events and no document around them. */
    w->bare = view == GMR__VIEW_WIRE;
    w->container[0] = GMR__MAP;
    struct gmr_text_style standard = {0};
    gmr__writer_style(w, &standard);
    return w;
}

bool gmr__writer_text(const struct gmr_writer *w)
{
    return w->final_view == GMR_VIEW_TEXT;
}

int gmr__writer_error(const struct gmr_writer *w)
{
    return w->error;
}

int gmr__writer_section_error(const struct gmr_writer *w)
{
    return w->error ? w->error : w->section_error;
}

void gmr__writer_budget(struct gmr_writer *w, uint64_t max_bytes)
{
    w->budget = max_bytes ? w->spent + max_bytes : 0;
}

int gmr__doc_begin(struct gmr_writer *w, const struct gmr__doc *doc)
{
    if (w->in_doc || w->in_section || w->depth)
        return -EINVAL;
    w->in_doc = true;
    w->bare = false;
    w->ops->doc_begin(w, doc);
    gmr__out_event(w);
    return w->error;
}

void gmr__bare_begin(struct gmr_writer *w, const char *xml_name)
{
    if (w->view == GMR_VIEW_JSON)
        gmr__out(w, "{", 1);
    else if (w->view == GMR_VIEW_XML)
        gmr__xml_root(w, xml_name);
}

void gmr__bare_end(struct gmr_writer *w)
{
    if (w->view == GMR_VIEW_JSON)
        gmr__out(w, "}", 1);
    else if (w->view == GMR_VIEW_XML)
        gmr__xml_root_end(w);
}

/* FNV-1a; a collision only costs a title a needless " (2)". */
static uint64_t hash(const char *text)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
    return h;
}

static bool seen(const uint64_t *hashes, unsigned count, uint64_t h)
{
    for (unsigned i = 0; i < count; i++) {
        if (hashes[i] == h)
            return true;
    }
    return false;
}

/* The second "Load" becomes "Load (2)". Past what can be compared every title gets its ordinal, which keeps them apart as well. */
static void unique_title(struct gmr_writer *w, struct gmr__buf *buf)
{
    const unsigned most = sizeof(w->titles) / sizeof(w->titles[0]);
    unsigned kept = w->title_count < most ? w->title_count : most;
    unsigned n = w->title_count < most ? 2 : w->title_count + 1;
    bool must = w->title_count++ >= most;
    size_t plain = buf->used;
    uint64_t h = hash(buf->text);
    for (; must || seen(w->titles, kept, h); n++) {
        buf->used = plain;
        gmr__buf_str(buf, " (");
        gmr__buf_uint(buf, n);
        gmr__buf_char(buf, ')');
        if (must)
            plain = buf->used; /* if that is taken, too, it stays, and another follows */
        must = false;
        h = hash(buf->text);
    }
    if (kept < most)
        w->titles[kept] = h;
}

/* The section's name into w->section_name; false if a section of gmr's own comes twice. */
static bool unique_name(struct gmr_writer *w, const char *name, bool own)
{
    struct gmr__buf buf;
    size_t count = gmr__utf8_cut(name, gmr__strlen(name), GMR__MAX_KEY - 3);
    gmr__buf_init(&buf, w->section_name, sizeof(w->section_name));
    gmr__buf_bytes(&buf, name, count);
    if (name[count])
        gmr__buf_str(&buf, "...");
    if (own) {
        unique_title(w, &buf);
        return true;
    }
    uint64_t h = hash(w->section_name);
    if (w->name_total == sizeof(w->section_names) / sizeof(w->section_names[0]) ||
        seen(w->section_names, w->name_total, h))
        return false;
    w->section_names[w->name_total++] = h;
    return true;
}

int gmr__section_begin(struct gmr_writer *w, const struct gmr__section_head *head)
{
    if (w->error)
        return w->error;
    if (!w->in_doc || w->in_section || !head || !head->name)
        return -EINVAL;
    bool own = head->flags & GMR__SECTION_OWN;
    if ((own && w->own_done) || !unique_name(w, head->name, own))
        return -EINVAL;
    w->in_section = true;
    w->skip = (head->flags & GMR__SECTION_STRUCTURED) && gmr__writer_text(w);
    w->section_flags = head->flags;
    w->section_error = 0;
    w->closed_some = false;
    w->spent = w->budget = 0;
    w->depth = 0;
    w->any[0] = false;
    w->container[0] = head->shape == GMR__SHAPE_LIST ? GMR__LIST : GMR__MAP;
    gmr__writer_style(w, &head->style);
    if (!w->skip)
        w->ops->section_begin(w, head, head->title ? head->title : head->name);
    w->in_own = own;
    gmr__out_event(w);
    return w->error;
}

bool gmr__writer_close(struct gmr_writer *w)
{
    bool open = w->in_string || w->in_table || w->depth;
    if (w->in_string)
        gmr__string_end(w);
    if (w->in_table)
        gmr_end_table(w);
    while (w->depth)
        gmr__end(w, 0);
    return open;
}

int gmr__section_end(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step)
{
    if (!w->in_section)
        return w->error ? w->error : -EINVAL;
    int error = w->section_error;
    bool open = gmr__writer_close(w);
    if (status == GMR__OK && (open || error)) {
        status = GMR__PARTIAL;
        if (!reason)
            reason = error == -EMSGSIZE ? "it wrote more than a section may"
                     : open             ? "it left a map, list or table open, which was closed for it"
                                        : "it made a call that does not fit, and what followed was left out";
    }
    if (!w->skip)
        w->ops->section_end(w, status, reason, next_step);
    gmr__record_section(w, status, reason, next_step);
    w->in_section = w->skip = false;
    w->section_error = 0;
    gmr__out_event(w);
    return w->error;
}

int gmr__doc_end(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost)
{
    if (!w->in_doc)
        return -EINVAL;
    if (w->in_section)
        gmr__section_end(w, GMR__PARTIAL, "the report ended in the middle of it", NULL);
    if (w->view != GMR__VIEW_WIRE)
        gmr__put_report(w, doc, cost);
    w->ops->doc_end(w, doc, cost);
    w->in_doc = false;
    return gmr__writer_flush(w);
}

int gmr__raw(struct gmr_writer *w, const char *text, size_t count)
{
    if (w->error || w->section_error)
        return w->error ? w->error : w->section_error;
    if (!text || w->in_string || w->in_table || !(w->in_section || w->bare))
        return -EINVAL;
    if (!gmr__writer_text(w) || w->skip || !w->ops->raw)
        return 0;
    w->spent += count;
    if (w->budget && w->spent > w->budget)
        return w->section_error = -EMSGSIZE;
    w->ops->raw(w, text, count);
    gmr__out_event(w);
    return w->error;
}

int gmr__slot(struct gmr_writer *w, const char *name)
{
    if (!w->ops->slot || w->in_section)
        return -EINVAL;
    w->ops->slot(w, name);
    gmr__out_event(w);
    return w->error;
}

int gmr__wire_cost(struct gmr_writer *w, const struct gmr__cost *cost, const char *method)
{
    if (!w->ops->cost || w->in_section)
        return -EINVAL;
    w->ops->cost(w, cost, method);
    gmr__out_event(w);
    return w->error;
}
