/*
 * green/sources.h - every source of green threads by name; sources.c puts them in order.
 */
#ifndef GMR_GREEN_SOURCES_H
#define GMR_GREEN_SOURCES_H

#include "green/green.h"

extern const struct gmr__green_source gmr__green_source_registry;  /* gmr/green.h: what the program tells */
extern const struct gmr__green_source gmr__green_source_python;    /* Python threads, greenlets, asyncio tasks */
extern const struct gmr__green_source gmr__green_source_go;        /* goroutines */
extern const struct gmr__green_source gmr__green_source_pth;       /* GNU Pth, by its own queues */
extern const struct gmr__green_source gmr__green_source_tarantool; /* Tarantool's fibers */
extern const struct gmr__green_source gmr__green_source_qemu;      /* QEMU's coroutines */
extern const struct gmr__green_source gmr__green_source_php;       /* PHP's fibers */
extern const struct gmr__green_source gmr__green_source_lua;       /* coroutines of Lua 5.1 to 5.4 */
extern const struct gmr__green_source gmr__green_source_scan;      /* anything stackful, by its traces in memory */

#endif
