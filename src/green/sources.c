/*
 * green/sources.c - the kinds of green threads that a report looks for, in this order.
 *
 * Inspector only; data.
 */
#include "green/sources.h"

const struct gmr__green_source *const gmr__green_sources[] = {
    &gmr__green_source_registry,  &gmr__green_source_python,
    &gmr__green_source_go,        &gmr__green_source_pth,
    &gmr__green_source_tarantool, &gmr__green_source_qemu,
    &gmr__green_source_lua,       &gmr__green_source_php,
    &gmr__green_source_scan,      NULL,
};
