/*
 * green/tarantool.c - the source of Tarantool's fibers, told exactly by the main thread's list of those alive.
 *
 * Inspector only. Starts at main_cord, which Debian's unstripped binary names. Offsets are those of struct cord and struct fiber in the
 * DWARF of Tarantool 2.6 on x86-64 (lib/core/fiber.h); since another release may differ, the list's links, each fiber's
 * number, name and saved stack pointer are checked, and where they don't hold the fibers are left to the generic scan,
 * which also finds those of other threads.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green/addrmap.h"
#include "green/scan.h"
#include "sys/word.h"

#define MAX_FIBERS 1000000u
#define FIBER_BYTES 336

enum { CORD_FIBER = 0, CORD_ALIVE = 112 };
enum { SAVED = 0, STACK = 16, STACK_BYTES = 32, SWITCHES = 96, NUMBER = 100, LINK = 144, FUNCTION = 224, NAME = 328 };

struct tarantool {
    struct gmr__green *green;
    uint64_t cord;
};

static int find(struct gmr__green *green, void **state)
{
    uint64_t cord, transfer;
    if (gmr__arch_pc != 16 || gmr__green_symbol(green, "tarantool", "coro_transfer", &transfer, NULL) != 0 ||
        gmr__green_symbol(green, "tarantool", "main_cord", &cord, NULL) != 0)
        return 0;
    struct tarantool *tarantool = calloc(1, sizeof(*tarantool));
    if (!tarantool)
        return -ENOMEM;
    tarantool->green = green;
    tarantool->cord = cord;
    *state = tarantool;
    return 1;
}

static bool makes_sense(struct gmr__green *green, const unsigned char *fiber)
{
    uint64_t stack = gmr__word(fiber, STACK), size = gmr__word(fiber, STACK_BYTES), saved = gmr__word(fiber, SAVED);
    return size >= 4096 && size < (uint64_t)1 << 32 && saved > stack && saved < stack + size && saved % 8 == 0 &&
           gmr__green_is_code(green, gmr__word(fiber, FUNCTION));
}

static void emit(struct tarantool *tarantool, uint64_t address, const unsigned char *fiber, bool running)
{
    struct gmr__green *green = tarantool->green;
    unsigned char saved[GMR__SCAN_PUSHED_BYTES]; /* coro_transfer's */
    char name[64];
    uint32_t number, switches;
    memcpy(&number, fiber + NUMBER, sizeof(number));
    memcpy(&switches, fiber + SWITCHES, sizeof(switches));
    struct gmr__green_thread thread = {.id = number,
                                       .address = address,
                                       .kind = "tarantool fiber",
                                       .state = running ? GMR__GREEN_RUNNING : GMR__GREEN_SUSPENDED,
                                       .carrier = gmr__green_snapshot(green)->pid,
                                       .entry = gmr__word(fiber, FUNCTION),
                                       .switches = switches,
                                       .stack_low = gmr__word(fiber, STACK),
                                       .stack_high = gmr__word(fiber, STACK) + gmr__word(fiber, STACK_BYTES)};
    if (gmr__green_read_string(green, gmr__word(fiber, NAME), name, sizeof(name)) > 0)
        thread.name = name;
    uint64_t context = gmr__word(fiber, SAVED);
    if (!running && gmr__green_read(green, context, saved, sizeof(saved)) == 0 &&
        gmr__green_is_return_address(green, gmr__word(saved, 48))) {
        gmr__scan_pushed(&thread.regs, GMR__SCAN_CORO, context, saved);
    } else if (!running) {
        thread.problem = "what it saved when it was switched away from makes no sense";
    }
    gmr__green_emit(green, &thread);
}

static int collect(struct gmr__green *green, void *state)
{
    struct tarantool *tarantool = state;
    uint64_t head = tarantool->cord + CORD_ALIVE, running, at;
    struct gmr__addrmap seen;
    size_t damaged = 0;
    if (gmr__green_read(green, tarantool->cord + CORD_FIBER, &running, 8) != 0 ||
        gmr__green_read(green, head + 8, &at, 8) != 0)
        return -EFAULT;
    gmr__addrmap_init(&seen, MAX_FIBERS);
    while (at != head && at != 0 && gmr__addrmap_put(&seen, at, 1) && seen.used < MAX_FIBERS) {
        unsigned char fiber[FIBER_BYTES] = {0};
        if (gmr__green_read(green, at - LINK, fiber, sizeof(fiber)) != 0 || !makes_sense(green, fiber)) {
            damaged++;
            if (gmr__word(fiber, LINK) != 0 && seen.used == 1)
                break; /* not one fiber makes sense: another layout */
        } else {
            emit(tarantool, at - LINK, fiber, at - LINK == running);
        }
        uint64_t next = 0;
        if (gmr__green_read(green, at + 8, &next, 8) != 0 || gmr__addrmap_get(&seen, next, NULL))
            break;
        at = next;
        if (gmr__green_out_of_time(green)) {
            gmr__green_note(green, "the time for the stop was used up before all fibers were read");
            break;
        }
    }
    gmr__addrmap_free(&seen);
    if (damaged)
        gmr__green_note(green, "%zu of Tarantool's fibers are damaged, or this release is not one that gmr knows",
                        damaged);
    return 0;
}

static void release(void *state)
{
    free(state);
}

const struct gmr__green_source gmr__green_source_tarantool = {
    .name = "tarantool",
    .find = find,
    .collect = collect,
    .release = release,
    .together = true,
};
