/*
 * view/xml_as.c - the XML view: <report> with the same members as JSON; a list's elements are <item>.
 *
 * Both halves, async-signal-safe. Elements are written as Python's ElementTree writes them (an empty one as <name />). A key that is
 * not an XML name becomes <member name="key">; a section of the program's own is <section title="...">. Callers: the front end.
 */
#include "view/view.h"

/* XML 1.0, fifth edition, production 4, without the colon. */
static bool name_start(uint32_t c)
{
    static const uint32_t ranges[][2] = {{'A', 'Z'},       {'_', '_'},       {'a', 'z'},        {0xc0, 0xd6},
                                         {0xd8, 0xf6},     {0xf8, 0x2ff},    {0x370, 0x37d},    {0x37f, 0x1fff},
                                         {0x200c, 0x200d}, {0x2070, 0x218f}, {0x2c00, 0x2fef},  {0x3001, 0xd7ff},
                                         {0xf900, 0xfdcf}, {0xfdf0, 0xfffd}, {0x10000, 0xeffff}};
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    }
    return false;
}

static bool name_character(uint32_t c)
{
    return name_start(c) || c == '-' || c == '.' || (c >= '0' && c <= '9') || c == 0xb7 || (c >= 0x300 && c <= 0x36f) ||
           (c >= 0x203f && c <= 0x2040);
}

static bool is_name(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = gmr__strlen(text);
    bool first = true;
    if (!left)
        return false;
    while (left) {
        uint32_t c;
        unsigned n = gmr__utf8_decode(at, left, &c);
        if (!n || !(first ? name_start(c) : name_character(c)))
            return false;
        at += n;
        left -= n;
        first = false;
    }
    return true;
}

/* The parent's start tag is complete once it has a child. */
static void close_tag(struct gmr_writer *w)
{
    if (w->tag_open)
        gmr__out(w, ">", 1);
    w->tag_open = false;
}

/* Remembers the name for the end tag; "" where there is no room: then the element must be a <member>. */
static bool push(struct gmr_writer *w, const char *name)
{
    size_t count = gmr__strlen(name) + 1;
    bool fits = w->names_used + count + 2 * GMR__MAX_DEPTH <= sizeof(w->names);
    w->name_at[w->name_count++] = (unsigned short)w->names_used;
    gmr__memcpy(w->names + w->names_used, fits ? name : "", fits ? count : 1);
    w->names_used += fits ? (unsigned)count : 1;
    return fits;
}

static void start_member(struct gmr_writer *w, const char *attribute)
{
    gmr__out_str(w, "<member name=\"");
    gmr__escape_whole(w, GMR__ESCAPE_XML_ATTRIBUTE, attribute);
    gmr__out(w, "\"", 1);
}

static void start(struct gmr_writer *w, const char *key)
{
    close_tag(w);
    if (!key)
        key = "item";
    if (is_name(key) && push(w, key)) {
        gmr__out(w, "<", 1);
        gmr__out_str(w, key);
    } else {
        if (!is_name(key))
            push(w, "");
        start_member(w, key);
    }
    w->tag_open = true;
}

static void finish(struct gmr_writer *w)
{
    if (!w->name_count)
        return;
    const char *name = w->names + w->name_at[--w->name_count];
    w->names_used = w->name_at[w->name_count];
    if (w->tag_open) {
        gmr__out_str(w, " />");
    } else {
        gmr__out_str(w, "</");
        gmr__out_str(w, *name ? name : "member");
        gmr__out(w, ">", 1);
    }
    w->tag_open = false;
}

static void xml_doc_begin(struct gmr_writer *w, const struct gmr__doc *doc)
{
    gmr__out_str(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<report schema=\"gmr-report/1\">");
}

static void xml_doc_end(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost)
{
    gmr__out_str(w, "\n</report>\n");
}

static void xml_section_begin(struct gmr_writer *w, const struct gmr__section_head *head, const char *title)
{
    bool own = head->flags & GMR__SECTION_OWN;
    if (own && !w->in_own)
        gmr__out_str(w, "\n<sections>");
    if (!own && w->in_own) {
        gmr__out_str(w, "\n</sections>");
        w->own_done = true;
    }
    gmr__out(w, "\n", 1);
    if (!own) {
        start(w, w->section_name);
        return;
    }
    push(w, "section");
    gmr__out_str(w, "<section title=\"");
    gmr__escape_whole(w, GMR__ESCAPE_XML_ATTRIBUTE, w->section_name);
    gmr__out(w, "\"", 1);
    w->tag_open = true;
}

static void xml_section_end(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step)
{
    finish(w);
}

void gmr__xml_root(struct gmr_writer *w, const char *name)
{
    start(w, name);
}

void gmr__xml_root_end(struct gmr_writer *w)
{
    finish(w);
}

static void start_child(struct gmr_writer *w, const char *key)
{
    close_tag(w);
    if (w->in_section && w->depth == 0 && w->container[0] == GMR__LIST)
        gmr__out(w, "\n", 1);
    start(w, key);
}

static void xml_begin(struct gmr_writer *w, const char *key, enum gmr__container container)
{
    start_child(w, key);
}

static void xml_end(struct gmr_writer *w, enum gmr__container container)
{
    finish(w);
}

static void xml_scalar(struct gmr_writer *w, const char *key, const struct gmr__scalar *value)
{
    char text[GMR__DOUBLE_TEXT];
    size_t count = gmr__scalar_text(value, text);
    start_child(w, key);
    close_tag(w);
    gmr__out(w, text, count);
    finish(w);
}

static void xml_string_begin(struct gmr_writer *w, const char *key, bool multiline, size_t bytes)
{
    start_child(w, key);
    if (bytes)
        close_tag(w);
}

static void xml_string_bytes(struct gmr_writer *w, const char *bytes, size_t count)
{
    if (count)
        close_tag(w);
    gmr__escape_piece(w, GMR__ESCAPE_XML, bytes, count, NULL);
}

static void xml_string_end(struct gmr_writer *w)
{
    gmr__escape_end(w, GMR__ESCAPE_XML);
    finish(w);
}

const struct gmr__view_ops gmr__xml_ops = {
    .escape = GMR__ESCAPE_XML,
    .doc_begin = xml_doc_begin,
    .doc_end = xml_doc_end,
    .section_begin = xml_section_begin,
    .section_end = xml_section_end,
    .begin = xml_begin,
    .end = xml_end,
    .scalar = xml_scalar,
    .string_begin = xml_string_begin,
    .string_bytes = xml_string_bytes,
    .string_end = xml_string_end,
};
