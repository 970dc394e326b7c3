/*
 * cli/hello.c - what a process that carries libgmr says of itself.
 *
 * The gmr command only. The answer is a wire stream like every other; it is rendered to JSON in memory and read from there, so that one
 * decoder of the hostile bytes is enough.
 */
#include "cli/hello.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "report/client.h"

#define ANSWER_MAX_BYTES 65536

static void take_text(json_t *map, const char *key, char *to, size_t cap)
{
    const char *text = json_string_value(json_object_get(map, key));
    snprintf(to, cap, "%s", text ? text : "");
    gmr__tame(to);
}

/* "signal USR2, file /etc/x.touch, socket" */
static void take_triggers(json_t *map, struct gmr__hello *hello)
{
    size_t index, used = 0;
    json_t *item;
    char watched[160];
    take_text(map, "watch_file", watched, sizeof(watched));
    json_int_t signo = json_integer_value(json_object_get(map, "signal"));
    const char *signal_name = signo > 0 && signo < NSIG ? sigabbrev_np((int)signo) : NULL;
    json_array_foreach(json_object_get(map, "triggers"), index, item)
    {
        const char *text = json_string_value(item), *detail = "";
        if (!text || used >= sizeof(hello->triggers))
            continue;
        if (strcmp(text, "signal") == 0)
            detail = signal_name ? signal_name : "";
        else if (strcmp(text, "file") == 0)
            detail = watched;
        used += (size_t)snprintf(hello->triggers + used, sizeof(hello->triggers) - used, "%s%s%s%s", used ? ", " : "",
                                 text, *detail ? " " : "", detail);
    }
    gmr__tame(hello->triggers);
}

static int parse(const char *json, size_t bytes, struct gmr__hello *hello)
{
    json_error_t error;
    json_t *root = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &error);
    json_t *map = json_object_get(root, "hello");
    if (!json_is_object(map)) {
        json_decref(root);
        return -EBADMSG;
    }
    take_text(map, "service", hello->service, sizeof(hello->service));
    take_text(map, "libgmr", hello->version, sizeof(hello->version));
    take_text(map, "log_dir", hello->log_dir, sizeof(hello->log_dir));
    json_t *seconds = json_object_get(map, "armed_seconds");
    hello->armed_seconds = json_is_integer(seconds) ? (long)json_integer_value(seconds) : -1;
    take_triggers(map, hello);
    json_decref(root);
    return 0;
}

static int render(int fd, uint64_t deadline_ns, struct gmr_writer *w)
{
    struct gmr__doc doc = {0};
    struct gmr__cost cost = {0};
    struct gmr__wire_handlers handlers = {0};
    void *place = malloc(gmr__wire_in_size());
    if (!place)
        return -ENOMEM;
    int status = gmr__client_send(fd, "gmr/1 hello\n", deadline_ns);
    if (status == 0)
        status = gmr__doc_begin(w, &doc);
    if (status == 0) {
        struct gmr__wire_in *in = gmr__wire_in_init(place, gmr__wire_in_size(), w, &handlers);
        status = gmr__client_replay(fd, in, deadline_ns);
        int finish = gmr__wire_finish(in, "the answer was cut short");
        status = status ? status : finish;
    }
    free(place);
    return status ? status : gmr__doc_end(w, &doc, &cost);
}

int gmr__hello_ask(int fd, uint64_t deadline_ns, struct gmr__hello *hello)
{
    struct gmr__sink_mem sink;
    int status = -ENOMEM;
    memset(hello, 0, sizeof(*hello));
    void *place = malloc(gmr__writer_size());
    char *answer = malloc(ANSWER_MAX_BYTES);
    if (place && answer) {
        gmr__sink_mem_init(&sink, answer, ANSWER_MAX_BYTES);
        struct gmr_writer *w = gmr__writer_init(place, gmr__writer_size(), GMR_VIEW_JSON, GMR_VIEW_JSON, &sink.sink);
        status = render(fd, deadline_ns, w);
        if (status == 0)
            status = gmr__writer_flush(w);
        if (status == 0)
            status = parse(answer, sink.used, hello);
    }
    free(place);
    free(answer);
    close(fd);
    return status;
}
