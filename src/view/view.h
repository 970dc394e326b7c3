/*
 * view/view.h - what the files of src/view share: the writer's state and the operations a view implements.
 *
 * Both halves, async-signal-safe. Nobody outside src/view includes this: sections see view/writer.h only.
 *
 * The front end (writer_as.c, put_as.c) checks nesting, keys and the byte budget; a view may therefore trust the order of
 * the calls it gets. Views are stateless tables of functions; their state is a few members of the writer. They write with
 * gmr__out*, which remembers the first error of the output and makes the rest harmless.
 */
#ifndef GMR_VIEW_VIEW_H
#define GMR_VIEW_VIEW_H

#include "sys/buf.h"
#include "view/writer.h"

#define GMR__MAX_KEY 1024   /* longer keys and titles are cut, and end in "..." */
#define GMR__MAX_STYLE 64   /* bytes of one string of a gmr_text_style */
#define GMR__MAX_COLUMNS 36 /* of a table: a column is at least one character wide */
#define GMR__TEXT_WIDTH 72

/* How a string reaches the output. */
enum gmr__escape {
    GMR__ESCAPE_TEXT = 1,
    GMR__ESCAPE_JSON,
    GMR__ESCAPE_XML,
    GMR__ESCAPE_XML_ATTRIBUTE,
};

/* A character that is cut by the end of a piece of text: its first bytes. */
struct gmr__utf8 {
    unsigned char bytes[4];
    unsigned have, want;
};

enum gmr__scalar_kind {
    GMR__SCALAR_INT = 1,
    GMR__SCALAR_UINT,
    GMR__SCALAR_DOUBLE,
    GMR__SCALAR_TRUE,
    GMR__SCALAR_FALSE,
    GMR__SCALAR_NULL,
    GMR__SCALAR_SECRET,
};

struct gmr__scalar {
    enum gmr__scalar_kind kind;
    union {
        int64_t i;
        uint64_t u;
        double d;
    };
};

enum gmr__container {
    GMR__MAP = 1,
    GMR__LIST = 2,
    GMR__ORDERED_LIST = 3, /* a list that is never sorted: the rows of a table */
    GMR__ORDERED_MAP = 4,
};

/* A view. key: NULL inside a list. All but the last group are required. */
struct gmr__view_ops {
    enum gmr__escape escape;
    void (*doc_begin)(struct gmr_writer *w, const struct gmr__doc *doc);
    void (*doc_end)(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost); /* the end mark */
    void (*section_begin)(struct gmr_writer *w, const struct gmr__section_head *head, const char *title);
    void (*section_end)(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step);
    void (*begin)(struct gmr_writer *w, const char *key, enum gmr__container container);
    void (*end)(struct gmr_writer *w, enum gmr__container container); /* w->depth is that of the parent again */
    void (*scalar)(struct gmr_writer *w, const char *key, const struct gmr__scalar *value);
    void (*string_begin)(struct gmr_writer *w, const char *key, bool multiline, size_t bytes);
    void (*string_bytes)(struct gmr_writer *w, const char *bytes, size_t count);
    void (*string_end)(struct gmr_writer *w);
    /* optional: without them a table is a list of maps, and raw, slot and cost are ignored */
    void (*table_begin)(struct gmr_writer *w, const char *key);
    void (*table_row)(struct gmr_writer *w, const char *const *cells);
    void (*table_end)(struct gmr_writer *w);
    void (*raw)(struct gmr_writer *w, const char *text, size_t count);
    void (*slot)(struct gmr_writer *w, const char *name);
    void (*cost)(struct gmr_writer *w, const struct gmr__cost *cost, const char *method);
};

extern const struct gmr__view_ops gmr__text_ops, gmr__json_ops, gmr__xml_ops, gmr__wire_ops;

#define GMR__STYLES 7

/* The strings of a gmr_text_style by place, and by name. */
enum {
    STYLE_INDENT,
    STYLE_KEY_SEP,
    STYLE_DICT_SEP,
    STYLE_LIST_SEP,
    STYLE_ANON_DICT,
    STYLE_BEFORE_DICT,
    STYLE_BEFORE_LIST
};

struct gmr_writer {
    const struct gmr__view_ops *ops;
    int view, final_view;
    struct gmr__sink *sink;
    int error;         /* of the output: for good */
    int section_error; /* a call that did not fit, or the budget: until the section's end */
    bool in_doc, in_section, skip, in_string, in_table, in_own, own_done;
    bool bare; /* events outside a document: an arena, a generic view */
    bool closed_some;
    const struct gmr__filter *filter; /* NULL: none */
    uint64_t budget, spent;           /* of the section; 0: none */
    /* nesting: level 0 is the section itself */
    unsigned depth;
    unsigned char container[GMR__MAX_DEPTH + 1];
    bool any[GMR__MAX_DEPTH + 1]; /* has a child already */
    struct gmr__utf8 utf8;
    /* the table that is open */
    unsigned column_count;
    char columns[1536];
    unsigned short column_at[GMR__MAX_COLUMNS];
    /* text */
    bool flat_table; /* a table that stands alone: no key, no indent */
    bool any_line, raw_open, string_multiline;
    char style[GMR__STYLES][GMR__MAX_STYLE];
    unsigned style_set; /* bit n: style[n] is not NULL */
    /* xml: names of the open elements, one after the other; "" for <member name="..."> */
    bool tag_open;
    unsigned name_count, names_used;
    unsigned short name_at[GMR__MAX_DEPTH + 8];
    char names[2048];
    /* titles and names used already (hashes), so that none comes twice */
    unsigned title_count, name_total;
    uint64_t titles[112];
    uint64_t section_names[32];
    /* what became of each section: status, flags, name, reason, next step, packed */
    char section_name[GMR__MAX_KEY + 64];
    unsigned section_flags;
    unsigned records_used, records, records_dropped;
    enum gmr__status worst;
    unsigned char record[6144];
    unsigned used;
    char buffer[4096];
};

/* Output, buffered; sink_as.c. */
void gmr__out(struct gmr_writer *w, const char *bytes, size_t count);
void gmr__out_str(struct gmr_writer *w, const char *text);
void gmr__out_uint(struct gmr_writer *w, uint64_t value);
void gmr__out_int(struct gmr_writer *w, int64_t value);
/* After an event: a direct sink (an arena that somebody else reads meanwhile) gets it whole. */
void gmr__out_event(struct gmr_writer *w);

/* utf8_as.c: text of any bytes, escaped; pieces of one string are joined. newline, if not NULL, is called for '\n'. */
void gmr__escape_piece(struct gmr_writer *w, enum gmr__escape how, const char *bytes, size_t count,
                       void (*newline)(struct gmr_writer *w));
void gmr__escape_end(struct gmr_writer *w, enum gmr__escape how);
void gmr__escape_whole(struct gmr_writer *w, enum gmr__escape how, const char *text);
/* The largest count <= max that does not cut a character. */
size_t gmr__utf8_cut(const char *text, size_t count, size_t max);
/* Bytes of the valid character at text, 0 if it is not one; its code point. */
unsigned gmr__utf8_decode(const unsigned char *text, size_t count, uint32_t *code_point);

/* double_as.c: to[GMR__DOUBLE_TEXT], as Python's repr. Returns the length. */
#define GMR__DOUBLE_TEXT 32
size_t gmr__double_text(double value, char *to);
/* conversion 'e', 'f' or 'g' as printf's; to[GMR__DOUBLE_FORMAT]; precision is cut to 60. */
#define GMR__DOUBLE_FORMAT 400
size_t gmr__double_format(double value, char conversion, int precision, bool alternate, char *to);

/* A scalar as text, XML and Python's str() have it; cap at least GMR__DOUBLE_TEXT. */
size_t gmr__scalar_text(const struct gmr__scalar *value, char *to);

/* format_as.c: printf's language (d i u x X o c s p e f g %%, flags, width, precision, lengths), never a locale.
 * An unknown conversion ends it: the rest of the format is put as it stands. */
void gmr__vformat(void (*put)(void *userdata, const char *bytes, size_t count), void *userdata, const char *format,
                  va_list arguments);

/* put_as.c: what a key may be here, and the string in pieces (the wire's decoder, gmr_put_format). */
int gmr__enter(struct gmr_writer *w, const char *key, size_t cost);
int gmr__begin(struct gmr_writer *w, const char *key, enum gmr__container container);
int gmr__end(struct gmr_writer *w, enum gmr__container kind);
int gmr__string_begin(struct gmr_writer *w, const char *key, bool multiline, size_t bytes);
int gmr__string_bytes(struct gmr_writer *w, const char *bytes, size_t count);
int gmr__string_end(struct gmr_writer *w);
int gmr__put_scalar(struct gmr_writer *w, const char *key, const struct gmr__scalar *value);
/* The key as it is written: cut to GMR__MAX_KEY, in `room` where it must be. */
const char *gmr__key(const char *key, char room[GMR__MAX_KEY + 1]);

/* filter_as.c: a string's bytes through the writer's filter, where it has one; between gmr__string_begin and gmr__string_end. */
void gmr__filter_bytes(struct gmr_writer *w, const char *bytes, size_t count);
void gmr__filter_vformat(struct gmr_writer *w, size_t bytes, const char *format, va_list arguments);
const char *gmr__filter_cell(const struct gmr_writer *w, const char *cell);

/* writer_as.c: data outside a document (generic.c) */
void gmr__writer_style(struct gmr_writer *w, const struct gmr_text_style *style);
void gmr__bare_begin(struct gmr_writer *w, const char *xml_name);
void gmr__bare_end(struct gmr_writer *w);
void gmr__xml_root(struct gmr_writer *w, const char *name);
void gmr__xml_root_end(struct gmr_writer *w);
/* sort_as.c: past the child at `at`, with all that is in it; `end` if it is cut. */
const unsigned char *gmr__past_child(const unsigned char *at, const unsigned char *end);

/* doc_as.c */
void gmr__record_section(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step);
void gmr__put_report(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost);
const char *gmr__status_name(enum gmr__status status);

/* text_as.c: also for tables. */
void gmr__text_line(struct gmr_writer *w, unsigned indent);
void gmr__text_style(struct gmr_writer *w, int which); /* one of STYLE_*, escaped */
void gmr__text_banner(struct gmr_writer *w, const char *title);
/* text_table_as.c */
void gmr__text_table_begin(struct gmr_writer *w, const char *key);
void gmr__text_table_row(struct gmr_writer *w, const char *const *cells);
void gmr__text_table_end(struct gmr_writer *w);

#endif
