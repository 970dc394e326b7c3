/*
 * gmr/view.h - oslo.reports' generic views of a piece of data, outside a report: for a log line, an admin socket, a test.
 *
 *     static int state(struct gmr_writer *writer, void *userdata)
 *     {
 *         gmr_put_int(writer, "jobs", jobs);
 *         return 0;
 *     }
 *     struct gmr_render_options options = { .size = sizeof(options), .kind = GMR_RENDER_XML, .xml_name = "state" };
 *     gmr_render(1, &options, state, NULL);        prints <state><jobs>7</jobs></state>
 *
 * On the same data the bytes are those of oslo.reports, but for what would not be valid or safe: control characters and bytes
 * that are not UTF-8 come out escaped, infinities in JSON as strings, a key that is no XML name as <member name="...">, and a
 * table's cells are cut to their column, as oslo.reports promises and does not do.
 *
 * Conventions are those of gmr/gmr.h. These functions allocate memory and are not async-signal-safe.
 *
 * Licensed under the Apache License, Version 2.0.
 */
#ifndef GMR_VIEW_H
#define GMR_VIEW_H

#include "gmr/gmr.h"

#ifdef __cplusplus
extern "C" {
#endif

enum gmr_render_kind {
    GMR_RENDER_KEY_VALUE = 1, /* text: nested "key = value" lines (KeyValueView) */
    GMR_RENDER_BASIC =
        2, /* text: a line for each top member, nested values as Python prints them (BasicKeyValueView) */
    GMR_RENDER_MULTI = 3, /* text: the members' own texts, sorted, without their keys (MultiView) */
    GMR_RENDER_TABLE = 4, /* text: the one table that the generator writes (TableView) */
    GMR_RENDER_JSON = 5,
    GMR_RENDER_XML = 6,
};

struct gmr_render_options {
    size_t size; /* sizeof(struct gmr_render_options) */
    enum gmr_render_kind kind;
    const char *title;           /* text: a banner above (TitledView); default none */
    const char *header;          /* text: a line above (HeaderView); default none */
    const char *xml_name;        /* the outermost element; default "model" */
    unsigned flags;              /* GMR_SECTION_KEEP_ORDER */
    struct gmr_text_style style; /* its strings are cut at 63 bytes */
};

/*
 * Runs the generator and writes its data to fd.
 * fd: stays the caller's; if it blocks, so does this.
 * Returns 0; the generator's own error, or that of a call that did not fit (-EINVAL), after what there was has been written; -ENOMEM; write's error.
 */
GMR_API int gmr_render(int fd, const struct gmr_render_options *options, gmr_generator generator, void *userdata);

/*
 * The same into memory: *text is NUL-terminated, *bytes (may be NULL) its length; the caller frees it with free().
 * On an error that left data, *text holds it; else it is NULL.
 */
GMR_API int gmr_render_text(char **text, size_t *bytes, const struct gmr_render_options *options,
                            gmr_generator generator, void *userdata);

#ifdef __cplusplus
}
#endif

#endif
