/*
 * gmr/adapters/libconfig.h - the Configuration section from a libconfig config_t.
 *
 *     config_t config; ...
 *     gmr_config_register_provider(gmr_provide_libconfig, &config);     the config stays the program's, and is read when a report is made
 *
 * Header-only; needs libconfig. Groups at the top become groups, other settings there belong to "default". libconfig has no lock: see
 * gmr/adapters/gkeyfile.h. Secrets are masked by gmr.
 */
#ifndef GMR_ADAPTER_LIBCONFIG_H
#define GMR_ADAPTER_LIBCONFIG_H

#include <errno.h>

#include <libconfig.h>

#include <gmr/gmr.h>

static inline void gmr__libconfig_put(struct gmr_writer *writer, const config_setting_t *setting, int depth)
{
    const char *name = config_setting_name(setting);
    int members = config_setting_length(setting);
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_GROUP:
        if (depth > 0 && gmr_begin_map(writer, name) != 0)
            return; /* too deep */
        for (int i = 0; i < members; i++)
            gmr__libconfig_put(writer, config_setting_get_elem(setting, (unsigned)i), depth + 1);
        if (depth > 0)
            gmr_end_map(writer);
        break;
    case CONFIG_TYPE_ARRAY:
    case CONFIG_TYPE_LIST:
        if (gmr_begin_list(writer, name) != 0)
            return;
        for (int i = 0; i < members; i++)
            gmr__libconfig_put(writer, config_setting_get_elem(setting, (unsigned)i), depth + 1);
        gmr_end_list(writer);
        break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        gmr_put_int(writer, name, config_setting_get_int64(setting));
        break;
    case CONFIG_TYPE_FLOAT:
        gmr_put_double(writer, name, config_setting_get_float(setting));
        break;
    case CONFIG_TYPE_BOOL:
        gmr_put_bool(writer, name, config_setting_get_bool(setting) != 0);
        break;
    case CONFIG_TYPE_STRING:
        gmr_put_string(writer, name, config_setting_get_string(setting));
        break;
    default:
        gmr_put_null(writer, name);
    }
}

static inline int gmr_provide_libconfig(struct gmr_writer *writer, void *userdata)
{
    const config_t *config = (const config_t *)userdata;
    if (!config)
        return -EINVAL;
    gmr__libconfig_put(writer, config_root_setting(config), 0);
    return 0;
}

#endif
