/*
 * view/writer.h - the streaming writer that every section writes into.
 *
 * Used in both halves: in the target's reporter thread (possibly of a crashed process) and in the inspector. Everything
 * behind it is async-signal-safe (files *_as.c): no malloc, no stdio, no TLS, constant memory.
 *
 * A report is a document of sections; a section holds a tree of maps, lists and values, written as begin/end events.
 * One writer front end checks the nesting and the byte budget and hands the events to a view: text, json, xml, or
 * wire (the events themselves in a binary form, for the pipe between the inspector and libgmr, the control
 * socket, and the arena in which a section is sorted). gmr__wire_replay turns wire bytes back into events
 * on another writer.
 */
#ifndef GMR_VIEW_WRITER_H
#define GMR_VIEW_WRITER_H

#include "gmr/gmr.h"

#define GMR__MAX_DEPTH 64
#define GMR__VIEW_WIRE 100 /* beside enum gmr_view */

/* A place bytes go. write returns 0 or a negative errno, takes everything or fails. */
struct gmr__sink {
    int (*write)(struct gmr__sink *sink, const void *bytes, size_t count);
    bool direct; /* the writer hands over each event at once, whole, rather than a buffer at a time */
};

/* Buffered by the writer; waits at most until deadline_ns (CLOCK_MONOTONIC, 0: for ever), then -ETIMEDOUT, be the descriptor
 * blocking or not. A pipe or terminal that is closed raises SIGPIPE unless the caller blocks or ignores it; a socket doesn't. */
struct gmr__sink_fd {
    struct gmr__sink sink;
    int fd, kind;
    uint64_t deadline_ns;
};
void gmr__sink_fd_init(struct gmr__sink_fd *sink, int fd, uint64_t deadline_ns);

/* Fills base[0..cap) to the last byte, then fails with -EMSGSIZE. Another thread may read base[0..used) meanwhile, loading `used` with
 * acquire. */
struct gmr__sink_mem {
    struct gmr__sink sink;
    unsigned char *base;
    size_t used, cap;
};
void gmr__sink_mem_init(struct gmr__sink_mem *sink, void *base, size_t cap);

/* What kind of section: decides its place in JSON and XML and its layout in text. */
enum gmr__shape {
    GMR__SHAPE_MAP = 1,  /* "name": { ... } */
    GMR__SHAPE_LIST = 2, /* "name": [ ... ] */
};
#define GMR__SECTION_OWN 0x1u        /* the program's: JSON puts it under "sections", by title */
#define GMR__SECTION_STRUCTURED 0x2u /* only in JSON and XML (stacks): text skips it */
#define GMR__SECTION_SORTED 0x4u     /* already sorted, or to be left alone: set by the sorter */

struct gmr__section_head {
    const char *name;  /* JSON/XML member: "threads"; for own sections equal to the title */
    const char *title; /* text banner: "Threads" */
    enum gmr__shape shape;
    unsigned flags;
    struct gmr_text_style style; /* NULL members: defaults */
};

enum gmr__status {
    GMR__OK = 0,
    GMR__PARTIAL = 1, /* something is missing: reason says what, and the next step */
    GMR__FAILED = 2,
    GMR__ABSENT = 3, /* the section can't be had here (no libgmr in the process, ...) */
};

/* What the report says of itself, written last: report{} in JSON, the closing lines in text. Unknown members NULL/0. */
struct gmr__doc {
    const char *id, *service, *host, *trigger, *time, *method;
    int pid;
};
struct gmr__cost {
    uint64_t wall_ns, pause_max_ns, pause_median_ns, copied_bytes;
    bool known_pause;
};

struct gmr_writer;

/* Prepares a writer in place (NULL if it is too small or not aligned for a pointer). view: enum gmr_view or GMR__VIEW_WIRE. final_view: for
 * wire, the view the events will end up in (sections with a layout of their own ask gmr__writer_text). A wire writer takes events
 * before gmr__doc_begin, too: as the body of one section, in an arena. */
size_t gmr__writer_size(void); /* so that callers may place one on their stack or in static storage */
struct gmr_writer *gmr__writer_init(void *place, size_t place_bytes, int view, int final_view, struct gmr__sink *sink);

bool gmr__writer_text(const struct gmr_writer *w);         /* the final view is text */
int gmr__writer_error(const struct gmr_writer *w);         /* first error, 0 if none */
int gmr__writer_section_error(const struct gmr_writer *w); /* that, or why the current section takes nothing more */
int gmr__writer_flush(struct gmr_writer *w);
/* From here to the section's end at most so many bytes of keys and values (0: any): past them every call says -EMSGSIZE. */
void gmr__writer_budget(struct gmr_writer *w, uint64_t max_bytes);
/* Strings, formatted text and cells of tables that are put from here on are looked at, and masked where `finds` says so. NULL: none. */
struct gmr__filter {
    bool (*finds)(const char *text, size_t bytes);
    void (*mask)(const char *text, size_t bytes, char *to, size_t cap);
};
void gmr__writer_filter(struct gmr_writer *w, const struct gmr__filter *filter);
/* Closes what is open within the section; true if there was something. */
bool gmr__writer_close(struct gmr_writer *w);

int gmr__doc_begin(struct gmr_writer *w, const struct gmr__doc *doc);
/* Writes the "report" member (its status is derived from the sections'), the end mark, and flushes. */
int gmr__doc_end(struct gmr_writer *w, const struct gmr__doc *doc, const struct gmr__cost *cost);

int gmr__section_begin(struct gmr_writer *w, const struct gmr__section_head *head);
/* Closes whatever is still open (then status becomes at least PARTIAL). reason, next_step: NULL or a sentence. */
int gmr__section_end(struct gmr_writer *w, enum gmr__status status, const char *reason, const char *next_step);
/* Within a section of a text report: text that is laid out already; a character may be cut by a piece's end. Control characters but newline
 * and tab, and what isn't UTF-8, come out escaped. Newlines are obeyed, so that names within it must have none: gmr__buf_text,
 * gmr__raw_text. Ignored by JSON and XML. */
int gmr__raw(struct gmr_writer *w, const char *text, size_t count);
/* Wire only: the place where the other half fills in a section of its own ("package", "configuration", "own"). */
int gmr__slot(struct gmr_writer *w, const char *name);
/* Wire only: figures of the capture, for gmr__doc_end of the receiving half, and the method used ("ptrace", ...). */
int gmr__wire_cost(struct gmr_writer *w, const struct gmr__cost *cost, const char *method);

/*
 * The other end of a wire: feeds events to `to` as their bytes arrive. Hostile or cut input yields -EBADMSG and leaves `to` consistent
 * (call gmr__wire_finish to close what is open). The stream's own document is told to handlers->doc; `to` gets it only with
 * forward_doc, else `to` has a document already and the caller ends it.
 */
struct gmr__wire_in;
struct gmr__wire_handlers {
    int (*slot)(void *userdata, const char *name);
    void (*cost)(void *userdata, const struct gmr__cost *cost, const char *method);
    void (*section_done)(void *userdata, const char *name, enum gmr__status status);
    /* at the stream's beginning, and at its end once more, with what is known then; valid during the call */
    void (*doc)(void *userdata, const struct gmr__doc *doc);
    bool forward_doc; /* begin and end `to`'s document with the stream's; a broken stream's, too, in gmr__wire_finish */
    void *userdata;
};
size_t gmr__wire_in_size(void);
struct gmr__wire_in *gmr__wire_in_init(void *place, size_t place_bytes, struct gmr_writer *to,
                                       const struct gmr__wire_handlers *handlers);
int gmr__wire_feed(struct gmr__wire_in *in, const void *bytes, size_t count);
/* The stream ended: 0 if it was whole (doc_end came), else -EBADMSG/-EPIPE after closing an open section with `reason`. */
int gmr__wire_finish(struct gmr__wire_in *in, const char *reason);

/*
 * Replays an arena of events (one section's body) sorted as oslo.reports sorts: map keys by code point; list items by what
 * Python's str() makes of them, in text and XML only. scratch: memory for the index, 4 bytes an event at most. The caller has begun a section.
 * Returns 0, a mask of GMR__REPLAY_*, or a negative errno of the output; -EBADMSG if the arena does not hold events.
 */
#define GMR__REPLAY_CUT 1      /* the arena ended in the middle: what was open is closed */
#define GMR__REPLAY_UNSORTED 2 /* scratch was short: a part stayed in the order written */
int gmr__replay_sorted(struct gmr_writer *to, const void *events, size_t event_bytes, void *scratch,
                       size_t scratch_bytes);
/* The same in the order written (GMR_SECTION_KEEP_ORDER). */
int gmr__replay(struct gmr_writer *to, const void *events, size_t event_bytes);

#endif
