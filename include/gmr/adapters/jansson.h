/*
 * gmr/adapters/jansson.h - the Configuration section from a JSON object held by jansson.
 *
 *     json_t *config = json_load_file("exampled.json", 0, NULL);
 *     gmr_config_register_provider(gmr_provide_jansson, config);     borrowed, and read when a report is made
 *
 * Header-only; needs jansson. Objects at the top become groups, other members belong to "default". jansson's values have no lock: see
 * gmr/adapters/gkeyfile.h. Secrets are masked by gmr.
 */
#ifndef GMR_ADAPTER_JANSSON_H
#define GMR_ADAPTER_JANSSON_H

#include <errno.h>

#include <jansson.h>

#include <gmr/gmr.h>

static inline void gmr__jansson_put(struct gmr_writer *writer, const char *key, json_t *value)
{
    const char *name;
    json_t *member;
    size_t index;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        if (gmr_begin_map(writer, key) != 0)
            return; /* too deep */
        json_object_foreach(value, name, member) gmr__jansson_put(writer, name, member);
        gmr_end_map(writer);
        break;
    case JSON_ARRAY:
        if (gmr_begin_list(writer, key) != 0)
            return;
        json_array_foreach(value, index, member) gmr__jansson_put(writer, NULL, member);
        gmr_end_list(writer);
        break;
    case JSON_STRING:
        gmr_put_bytes(writer, key, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        gmr_put_int(writer, key, json_integer_value(value));
        break;
    case JSON_REAL:
        gmr_put_double(writer, key, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        gmr_put_bool(writer, key, json_is_true(value));
        break;
    default:
        gmr_put_null(writer, key);
    }
}

static inline int gmr_provide_jansson(struct gmr_writer *writer, void *userdata)
{
    json_t *config = (json_t *)userdata, *member;
    const char *name;
    if (!json_is_object(config))
        return -EINVAL;
    json_object_foreach(config, name, member) gmr__jansson_put(writer, name, member);
    return 0;
}

#endif
