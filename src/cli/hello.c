/*
 * cli/hello.c - what a process that carries libgmr says of itself.
 *
 * The gmr command only. The answer is a wire stream like every other; it is rendered to JSON in memory and read from there, so that one
 * decoder of the hostile bytes is enough.
 */
#include "cli/hello.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/client.h"

#define ANSWER_MAX_BYTES 65536

static void take_text(json_t *map, const char *key, char *to, size_t cap)
{
    const char *text = json_string_value(json_object_get(map, key));
    snprintf(to, cap, "%s", text ? text : "");
    for (char *at = to; *at; at++) /* it goes to a terminal */
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

static void take_triggers(json_t *list, struct gmr__hello *hello)
{
    size_t index, used = 0;
    json_t *item;
    json_array_foreach(list, index, item)
    {
        const char *text = json_string_value(item);
        if (text && used < sizeof(hello->triggers))
            used += (size_t)snprintf(hello->triggers + used, sizeof(hello->triggers) - used, "%s%s", used ? ", " : "", text);
    }
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
    take_text(map, "version", hello->version, sizeof(hello->version));
    take_text(map, "log_dir", hello->log_dir, sizeof(hello->log_dir));
    take_triggers(json_object_get(map, "triggers"), hello);
    json_t *uptime = json_object_get(map, "uptime_seconds");
    hello->uptime_seconds = json_is_number(uptime) ? json_number_value(uptime) : -1;
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
    hello->uptime_seconds = -1;
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
