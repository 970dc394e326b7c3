/* report/standin.c - weak places for what src/config and src/section will bring. */
#include "report/standin.h"
#include "section/section.h"
#define WEAK __attribute__((weak))
WEAK int gmr__ini_read(const char *path, struct gmr__ini *ini)
{
    return 0;
}
WEAK int gmr__config_write(struct gmr_writer *writer)
{
    return 0;
}
static void nothing(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    status->status = GMR__ABSENT;
}
#define SECTION(variable, n, t) \
    WEAK const struct gmr__proc_section variable = {{.name = n, .title = t, .shape = GMR__SHAPE_MAP}, nothing}
SECTION(gmr__section_processes, "processes", "Processes");
SECTION(gmr__section_limits, "limits", "Limits");
SECTION(gmr__section_files, "open_files", "Open Files");
SECTION(gmr__section_modules, "modules", "Modules");
SECTION(gmr__section_resources, "resources", "Resource Usage");
SECTION(gmr__section_cgroup, "cgroup", "Control Group");
SECTION(gmr__section_host, "host", "Host");
WEAK void gmr__section_package(struct gmr_writer *w, const struct gmr__target *target,
                               const struct gmr__package *package, struct gmr__section_status *status)
{
    gmr_put_string(w, "product", package->product);
    gmr_put_string(w, "vendor", package->vendor);
    gmr_put_string(w, "version", package->version);
}
