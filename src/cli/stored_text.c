/*
 * cli/stored_text.c - the sections of a stored report whose text is laid out otherwise than their data: threads and their stacks.
 *
 * The gmr command only. Uses the functions that lay out a live report (section/), fed from JSON.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/stored.h"
#include "section/frames.h"
#include "section/recursion.h"
#include "section/thread_text.h"

static struct gmr__line line_of(const json_t *frame, struct gmr__module *module)
{
    const char *path = gmr__stored_string(frame, "module");
    *module = (struct gmr__module){.path = path};
    struct gmr__line line = {
        .pc = gmr__stored_hex(frame, "pc"),
        .function = gmr__stored_string(frame, "function"),
        .has_offset = json_is_integer(json_object_get(frame, "offset")),
        .offset = (uint64_t)gmr__stored_int(frame, "offset", 0),
        .module = path ? module : NULL,
        .file = gmr__stored_string(frame, "file"),
        .line = (int)gmr__stored_int(frame, "line", 0),
        .language = gmr__stored_string(frame, "language"),
        .problem = gmr__stored_string(frame, "problem"),
        .inlined = gmr__stored_true(frame, "inlined"),
        .tail_call = gmr__stored_true(frame, "tail_call"),
        .guessed = gmr__stored_true(frame, "guessed"),
        .signal_frame = gmr__stored_true(frame, "signal_frame"),
        .interpreter = gmr__stored_true(frame, "interpreter"),
    };
    module->bias = line.pc - gmr__stored_hex(frame, "module_offset");
    return line;
}

void gmr__stored_stack(struct gmr_writer *w, const json_t *stacks, int64_t index)
{
    const json_t *stack = json_array_get(stacks, (size_t)index), *frames = json_object_get(stack, "frames");
    struct gmr__recursion recursion = {0};
    struct gmr__module module;
    json_t *frame;
    size_t i, folded = 0;
    bool shown = true;
    gmr__raw(w, "\n", 1);
    json_array_foreach(frames, i, frame)
    {
        struct gmr__line line = line_of(frame, &module);
        if (!line.interpreter)
            gmr__recursion_see(&recursion, &line);
    }
    json_array_foreach(frames, i, frame)
    {
        struct gmr__line line = line_of(frame, &module);
        shown = !line.interpreter; /* else it is only counted */
        folded += !shown;
        if (shown && gmr__recursion_shows(&recursion, w))
            gmr__line_text(w, &line, gmr__stored_string(frame, "source"));
    }
    gmr__recursion_end(&recursion);
    gmr__folded_text(w, folded);
    const char *end = gmr__stored_string(stack, "end");
    gmr__stack_end_text(w, !stack ? "the report does not hold it" : shown ? end : NULL, json_array_size(frames) > 0);
}

static void put_stack(struct gmr_writer *w, void *userdata, int64_t index)
{
    gmr__stored_stack(w, userdata, index);
}

static struct gmr__lock_wait wait_of(const json_t *thread)
{
    const json_t *wait = json_object_get(thread, "waits_for");
    return (struct gmr__lock_wait){.tid = gmr__stored_int(thread, "id", 0),
                                   .kind = gmr__stored_string(wait, "kind"),
                                   .address = gmr__stored_hex(wait, "address"),
                                   .holder = gmr__stored_int(wait, "thread", 0),
                                   .timed = gmr__stored_true(wait, "timed"),
                                   .deadlock = gmr__stored_true(wait, "deadlock")};
}

static bool threads_text(struct gmr_writer *w, const json_t *body, const json_t *root)
{
    size_t count = json_array_size(body);
    struct gmr__thread_text *threads = calloc(count + 1, sizeof(*threads));
    for (size_t i = 0; threads && i < count; i++) {
        const json_t *thread = json_array_get(body, i);
        threads[i] = (struct gmr__thread_text){
            .tid = gmr__stored_int(thread, "id", 0),
            .name = gmr__stored_string(thread, "name"),
            .language_name = gmr__stored_string(thread, "language_name"),
            .state = gmr__stored_string(thread, "state"),
            .call = gmr__stored_string(thread, "syscall"),
            .wait_channel = gmr__stored_string(thread, "wait_channel"),
            .reason = gmr__stored_string(thread, "problem"),
            .stack = gmr__stored_int(thread, "stack", -1),
            .crashed = gmr__stored_true(thread, "crashed"),
            .wait = wait_of(thread),
        };
    }
    bool done = threads && gmr__threads_text(w, threads, count, false, put_stack, json_object_get(root, "stacks"));
    free(threads);
    return done;
}

static void findings_text(struct gmr_writer *w, const json_t *body)
{
    json_t *finding;
    size_t i;
    json_array_foreach(body, i, finding)
    {
        const char *text = gmr__stored_string(finding, "text");
        gmr__raw_text(w, text ? text : "?");
        gmr__raw_format(w, "\n");
    }
}

bool gmr__stored_text(struct gmr_writer *w, const char *name, const json_t *body, const json_t *root)
{
    if (strcmp(name, "findings") == 0 && json_is_array(body)) {
        findings_text(w, body);
        return true;
    }
    if (strcmp(name, "threads") == 0 && json_is_array(body))
        return threads_text(w, body, root);
    if (strcmp(name, "green_threads") == 0 && json_is_array(body))
        return gmr__stored_green_text(w, body, root);
    return gmr__stored_proc_text(w, name, body);
}
