/*
 * report/order.c - the report's table of contents.
 *
 * Both halves; data only.
 */
#include "report/order.h"

#include <stddef.h>

#include "section/section.h"

const struct gmr__order_entry gmr__report_order[] = {
    {"package", GMR__HALF_TARGET, NULL},
    {"findings", GMR__HALF_FINDINGS, NULL},
    {"threads", GMR__HALF_INSPECTOR, NULL},
    {"green_threads", GMR__HALF_INSPECTOR, NULL},
    {"stacks", GMR__HALF_INSPECTOR, NULL},
    {"processes", GMR__HALF_PROC, &gmr__section_processes},
    {"configuration", GMR__HALF_TARGET, NULL},
    {"own", GMR__HALF_TARGET, NULL},
    {"limits", GMR__HALF_PROC, &gmr__section_limits},
    {"environment", GMR__HALF_PROC, &gmr__section_environment},
    {"open_files", GMR__HALF_PROC, &gmr__section_files},
    {"modules", GMR__HALF_PROC, &gmr__section_modules},
    {"resources", GMR__HALF_PROC, &gmr__section_resources},
    {"cgroup", GMR__HALF_PROC, &gmr__section_cgroup},
    {"host", GMR__HALF_PROC, &gmr__section_host},
    {NULL, 0, NULL},
};
