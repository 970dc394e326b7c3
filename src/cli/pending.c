/*
 * cli/pending.c - stands in for what other layers have yet to bring, so that the command links. Whoever brings the real one
 * takes its line out here: the weak one would keep the real one from being linked.
 *
 * The gmr command only.
 */
#include "cli/cli.h"
#include "section/section.h"

#define PENDING_COMMAND(name) \
    __attribute__((weak)) int gmr__cmd_##name(int argc, char **argv) \
    { \
        return gmr__fail(GMR__EXIT_FAILED, NULL, "gmr " #name " is not in this build"); \
    }
PENDING_COMMAND(show)
PENDING_COMMAND(scrub)
PENDING_COMMAND(symbolize)
PENDING_COMMAND(doctor)

static void nothing(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    status->status = GMR__ABSENT;
}
#define PENDING_SECTION(symbol, json, banner) \
    __attribute__((weak)) const struct gmr__proc_section gmr__section_##symbol = { \
        {.name = json, .title = banner, .shape = GMR__SHAPE_MAP}, nothing};
PENDING_SECTION(processes, "processes", "Processes")
PENDING_SECTION(limits, "limits", "Limits")
PENDING_SECTION(files, "open_files", "Open Files")
PENDING_SECTION(modules, "modules", "Modules")
PENDING_SECTION(resources, "resources", "Resource Usage")
PENDING_SECTION(cgroup, "cgroup", "Control Group")
PENDING_SECTION(host, "host", "Host")
__attribute__((weak)) void gmr__section_package(struct gmr_writer *w, const struct gmr__target *target,
                                                const struct gmr__package *package, struct gmr__section_status *status)
{
    status->status = GMR__ABSENT;
}
