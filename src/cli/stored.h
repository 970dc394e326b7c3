/*
 * cli/stored.h - a report that was stored as JSON: read, and written in any view.
 *
 * The gmr command only (show, scrub, symbolize). The file may come from anywhere and say anything.
 */
#ifndef GMR_CLI_STORED_H
#define GMR_CLI_STORED_H

#include <jansson.h>

#include "view/writer.h"

/* Reads PATH ("-": standard input). Returns GMR__EXIT_WHOLE and *root, an object with "schema": "gmr-report/1", to be released with json_decref;
 * or, after a message, the exit code. */
int gmr__stored_read(const char *path, json_t **root);
/* The same from memory, without a message: `problem` says what is wrong. NULL: it is no report. */
json_t *gmr__stored_parse(const char *text, size_t bytes, char *problem, size_t problem_bytes);

/* Writes the report to PATH (NULL or "-": standard output). Returns the exit code. */
int gmr__stored_write(const json_t *root, int view, const char *path);
/* The same to a sink. 0 or the sink's error. */
int gmr__stored_render(const json_t *root, int view, struct gmr__sink *sink);

/* ---- shared by cli/stored*.c ---- */

/* A value and all that is in it. */
void gmr__stored_put(struct gmr_writer *w, const char *key, const json_t *value);
/* The body of a section in text, where it is laid out otherwise than its data; false: it is not. */
bool gmr__stored_text(struct gmr_writer *w, const char *name, const json_t *body, const json_t *root);
/* The lines of stack number `index` of the report's "stacks". */
void gmr__stored_stack(struct gmr_writer *w, const json_t *stacks, int64_t index);
/* Green threads (stored_green.c). */
bool gmr__stored_green_text(struct gmr_writer *w, const json_t *body, const json_t *root);
/* The same, of the sections about the process' surroundings (stored_proc.c). */
bool gmr__stored_proc_text(struct gmr_writer *w, const char *name, const json_t *body);

/* NULL or 0 if there is no such member, or it is something else. */
const char *gmr__stored_string(const json_t *object, const char *key);
int64_t gmr__stored_int(const json_t *object, const char *key, int64_t otherwise);
uint64_t gmr__stored_hex(const json_t *object, const char *key);
bool gmr__stored_true(const json_t *object, const char *key);
/* An integer past what jansson holds: its digits, else NULL. */
const char *gmr__stored_big(const json_t *value);

#endif
