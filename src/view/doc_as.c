/*
 * view/doc_as.c - what a report says of itself at its end: who, when, what became of each section, what it cost.
 *
 * Both halves, async-signal-safe. The outcomes are known only when the sections are written, and nobody knows how many there
 * will be: they are packed into a few KiB; when those are full the sections that went well are counted only, and the last half is
 * kept for those that did not. Callers: writer_as.c.
 */
#include "view/view.h"

const char *gmr__status_name(enum gmr__status status)
{
    switch (status) {
    case GMR__OK:
        return "ok";
    case GMR__PARTIAL:
        return "partial";
    case GMR__FAILED:
        return "failed";
    case GMR__ABSENT:
        return "absent";
    }
    return "failed";
}

static void record_text(struct gmr_writer *w, const char *text, size_t most)
{
    size_t count = text ? gmr__utf8_cut(text, gmr__strlen(text), most) : 0;
    gmr__memcpy(w->record + w->records_used, text ? text : "", count);
    w->records_used += (unsigned)count;
    w->record[w->records_used++] = '\0';
}

void gmr__record_section(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step)
{
    const size_t name_most = 127, reason_most = 511, next_most = 255;
    if (status == GMR__PARTIAL || status == GMR__FAILED)
        w->worst = status > w->worst ? status : w->worst;
    size_t need = 2 + name_most + 1 + reason_most + 1 + next_most + 1;
    size_t room = status == GMR__OK ? sizeof(w->record) / 2 : sizeof(w->record);
    if (w->records_used + need > room) {
        w->records_dropped++;
        return;
    }
    w->record[w->records_used++] = (unsigned char)status;
    w->record[w->records_used++] = !!(w->section_flags & GMR__SECTION_OWN);
    record_text(w, w->section_name, name_most);
    record_text(w, reason, reason_most);
    record_text(w, next_step, next_most);
    w->records++;
}

struct outcome {
    enum gmr__status status;
    bool own;
    const char *name, *reason, *next_step;
};

static const char *record_next(const unsigned char **at)
{
    const char *text = (const char *)*at;
    *at += gmr__strlen(text) + 1;
    return text;
}

static const unsigned char *outcome_at(const unsigned char *at, struct outcome *o)
{
    o->status = at[0];
    o->own = at[1];
    at += 2;
    o->name = record_next(&at);
    o->reason = record_next(&at);
    o->next_step = record_next(&at);
    return at;
}

static void put_if(struct gmr_writer *w, const char *key, const char *value)
{
    if (value && *value)
        gmr_put_string(w, key, value);
}

/* Text says what went wrong, in a line each: "threads = partial: REASON; NEXT STEP". */
static void put_problems(struct gmr_writer *w)
{
    struct outcome o;
    const unsigned char *at = w->record;
    bool begun = false;
    for (unsigned i = 0; i < w->records; i++) {
        at = outcome_at(at, &o);
        if (o.status == GMR__OK)
            continue;
        if (!begun)
            gmr_begin_map(w, "problems");
        begun = true;
        gmr_put_format(w, o.name, "%s%s%s%s%s", gmr__status_name(o.status), *o.reason ? ": " : "", o.reason,
                       *o.next_step ? "; " : "", o.next_step);
    }
    if (begun)
        gmr_end_map(w);
}

static void put_outcomes(struct gmr_writer *w)
{
    struct outcome o;
    const unsigned char *at = w->record;
    gmr_begin_list(w, "sections");
    for (unsigned i = 0; i < w->records; i++) {
        at = outcome_at(at, &o);
        gmr_begin_map(w, NULL);
        gmr_put_string(w, "name", o.name);
        if (o.own)
            gmr_put_bool(w, "own", true);
        gmr_put_string(w, "status", gmr__status_name(o.status));
        put_if(w, "reason", o.reason);
        put_if(w, "next_step", o.next_step);
        gmr_end_map(w);
    }
    gmr_end_list(w);
}

static void put_cost(struct gmr_writer *w, const struct gmr__cost *cost)
{
    gmr_begin_map(w, "cost");
    gmr_put_uint(w, "wall_us", (cost->wall_ns + 500) / 1000);
    if (cost->known_pause) {
        gmr_put_uint(w, "pause_max_us", (cost->pause_max_ns + 500) / 1000);
        gmr_put_uint(w, "pause_median_us", (cost->pause_median_ns + 500) / 1000);
        gmr_put_uint(w, "copied_bytes", cost->copied_bytes);
    }
    gmr_end_map(w);
}

void gmr__put_report(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost)
{
    static const struct gmr__section_head head = {.name = "report", .title = "Report", .shape = GMR__SHAPE_MAP};
    if (gmr__section_begin(w, &head))
        return;
    if (doc) {
        put_if(w, "id", doc->id);
        put_if(w, "service", doc->service);
        if (doc->pid)
            gmr_put_int(w, "pid", doc->pid);
        put_if(w, "host", doc->host);
        put_if(w, "trigger", doc->trigger);
        put_if(w, "time", doc->time);
        put_if(w, "method", doc->method);
    }
    gmr_put_string(w, "status", w->worst == GMR__OK ? "complete" : "partial");
    if (gmr__writer_text(w))
        put_problems(w);
    else
        put_outcomes(w);
    if (w->records_dropped)
        gmr_put_uint(w, "sections_not_listed", w->records_dropped);
    if (cost)
        put_cost(w, cost);
    unsigned records = w->records_used; /* of itself it says nothing */
    gmr__section_end(w, GMR__OK, NULL, NULL);
    w->records_used = records;
}
