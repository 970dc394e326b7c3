/*
 * gmr/adapters/gkeyfile.h - the Configuration section from a GLib GKeyFile.
 *
 *     GKeyFile *file = ...;
 *     gmr_config_register_provider(gmr_provide_gkeyfile, file);     the file stays the program's, and is read when a report is made
 *
 * Header-only; needs glib-2.0. GKeyFile has no lock: a program that changes the file while it runs must keep reports from reading it meanwhile
 * (gmr_config_unregister_provider, change, register again). Secrets are masked by gmr.
 */
#ifndef GMR_ADAPTER_GKEYFILE_H
#define GMR_ADAPTER_GKEYFILE_H

#include <errno.h>

#include <glib.h>

#include <gmr/gmr.h>

static inline int gmr_provide_gkeyfile(struct gmr_writer *writer, void *userdata)
{
    GKeyFile *file = (GKeyFile *)userdata;
    gchar **groups;
    if (!file)
        return -EINVAL;
    groups = g_key_file_get_groups(file, NULL);
    for (gchar **group = groups; group && *group; group++) {
        gchar **keys = g_key_file_get_keys(file, *group, NULL, NULL);
        gmr_begin_map(writer, *group);
        for (gchar **key = keys; key && *key; key++) {
            gchar *value = g_key_file_get_value(file, *group, *key, NULL);
            gmr_put_string(writer, *key, value);
            g_free(value);
        }
        gmr_end_map(writer);
        g_strfreev(keys);
    }
    g_strfreev(groups);
    return 0;
}

#endif
