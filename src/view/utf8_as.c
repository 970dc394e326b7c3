/*
 * view/utf8_as.c - text of unknown origin on its way into a view: valid UTF-8 passes, everything else comes out escaped.
 *
 * Both halves, async-signal-safe. A byte that is not UTF-8 becomes \xNN, as Python's "backslashreplace" writes it. A control
 * character becomes \xNN in text (a terminal must not act on a value) and in XML (which can't hold it), \u00NN in JSON.
 * Strings may come in pieces; a character cut by a piece's end waits in the writer. Callers: the views.
 */
#include "view/view.h"

/* Unicode 15, table 3-7: the only well-formed sequences. */
static bool second_byte_fits(unsigned char first, unsigned char second)
{
    unsigned char low = 0x80, high = 0xbf;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f; /* surrogates */
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f; /* past U+10FFFF */
    return second >= low && second <= high;
}

static unsigned wanted(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

static bool fits(const unsigned char *bytes, unsigned have, unsigned char next)
{
    return have == 1 ? second_byte_fits(bytes[0], next) : (next & 0xc0) == 0x80;
}

static uint32_t code_point_of(const unsigned char *b, unsigned count)
{
    if (count == 1)
        return b[0];
    if (count == 2)
        return (uint32_t)(b[0] & 0x1f) << 6 | (b[1] & 0x3f);
    if (count == 3)
        return (uint32_t)(b[0] & 0x0f) << 12 | (uint32_t)(b[1] & 0x3f) << 6 | (b[2] & 0x3f);
    return (uint32_t)(b[0] & 0x07) << 18 | (uint32_t)(b[1] & 0x3f) << 12 | (uint32_t)(b[2] & 0x3f) << 6 | (b[3] & 0x3f);
}

unsigned gmr__utf8_decode(const unsigned char *text, size_t count, uint32_t *code_point)
{
    unsigned want = count ? wanted(text[0]) : 0;
    if (!want || want > count)
        return 0;
    for (unsigned i = 1; i < want; i++) {
        if (!fits(text, i, text[i]))
            return 0;
    }
    *code_point = code_point_of(text, want);
    return want;
}

size_t gmr__utf8_cut(const char *text, size_t count, size_t max)
{
    if (count <= max)
        return count;
    size_t at = max;
    while (at > 0 && max - at < 4 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return ((unsigned char)text[at] & 0xc0) == 0x80 ? max : at;
}

static void hex(struct gmr_writer *w, const char *prefix, uint32_t value, int digits)
{
    char text[8];
    for (int i = digits - 1; i >= 0; i--, value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
    gmr__out_str(w, prefix);
    gmr__out(w, text, (size_t)digits);
}

static void json_character(struct gmr_writer *w, uint32_t c)
{
    static const char named[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    for (unsigned i = 0; c < 0x80 && named[i]; i++) {
        if ((uint32_t)named[i] == c) {
            gmr__out(w, "\\", 1);
            gmr__out(w, &letters[i], 1);
            return;
        }
    }
    if (c >= 0x20 && c < 0x7f) {
        char ascii = (char)c;
        gmr__out(w, &ascii, 1);
    } else if (c > 0xffff) {
        hex(w, "\\u", 0xd800 + ((c - 0x10000) >> 10), 4);
        hex(w, "\\u", 0xdc00 + ((c - 0x10000) & 0x3ff), 4);
    } else {
        hex(w, "\\u", c, 4);
    }
}

static void xml_character(struct gmr_writer *w, bool attribute, uint32_t c, const char *bytes, unsigned count)
{
    if (c == '&')
        gmr__out_str(w, "&amp;");
    else if (c == '<')
        gmr__out_str(w, "&lt;");
    else if (c == '>')
        gmr__out_str(w, "&gt;");
    else if (c == '"' && attribute)
        gmr__out_str(w, "&quot;");
    else if (c == '\r' || (attribute && (c == '\n' || c == '\t')))
        gmr__out_str(w, c == '\r' ? "&#13;" : c == '\n' ? "&#10;" : "&#9;"); /* a parser would normalise them */
    else if ((c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0))
        hex(w, "\\x", c, 2);
    else if (c == 0xfffe || c == 0xffff)
        hex(w, "\\u", c, 4); /* not an XML character */
    else
        gmr__out(w, bytes, count);
}

static void character(struct gmr_writer *w, enum gmr__escape how, const unsigned char *bytes, unsigned count,
                      void (*newline)(struct gmr_writer *w))
{
    uint32_t c = code_point_of(bytes, count);
    if (how == GMR__ESCAPE_JSON)
        json_character(w, c);
    else if (how != GMR__ESCAPE_TEXT)
        xml_character(w, how == GMR__ESCAPE_XML_ATTRIBUTE, c, (const char *)bytes, count);
    else if (c == '\n' && newline)
        newline(w);
    else if ((c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0))
        hex(w, "\\x", c, 2);
    else
        gmr__out(w, (const char *)bytes, count);
}

static void stray_byte(struct gmr_writer *w, enum gmr__escape how, unsigned char byte)
{
    hex(w, how == GMR__ESCAPE_JSON ? "\\\\x" : "\\x", byte, 2);
}

/* Plain in every view: most of all text goes this way, a run at a time. */
static bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '&' && c != '<' && c != '>';
}

void gmr__escape_piece(struct gmr_writer *w, enum gmr__escape how, const char *bytes, size_t count,
                       void (*newline)(struct gmr_writer *w))
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + count;
    struct gmr__utf8 *u = &w->utf8;
    while (at < end) {
        if (u->have) {
            if (fits(u->bytes, u->have, *at)) {
                u->bytes[u->have++] = *at++;
                if (u->have == u->want) {
                    character(w, how, u->bytes, u->want, newline);
                    u->have = 0;
                }
            } else {
                gmr__escape_end(w, how);
            }
            continue;
        }
        const unsigned char *run = at;
        while (at < end && plain(*at))
            at++;
        gmr__out(w, (const char *)run, (size_t)(at - run));
        if (at == end)
            break;
        u->want = wanted(*at);
        if (u->want == 1)
            character(w, how, at, 1, newline);
        else if (u->want == 0)
            stray_byte(w, how, *at);
        else
            u->bytes[u->have++] = *at;
        at++;
    }
}

void gmr__escape_end(struct gmr_writer *w, enum gmr__escape how)
{
    for (unsigned i = 0; i < w->utf8.have; i++)
        stray_byte(w, how, w->utf8.bytes[i]);
    w->utf8.have = 0;
}

void gmr__escape_whole(struct gmr_writer *w, enum gmr__escape how, const char *text)
{
    gmr__escape_piece(w, how, text, gmr__strlen(text), NULL);
    gmr__escape_end(w, how);
}
