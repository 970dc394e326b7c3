/*
 * tests/targets/puppet_generators.c - the puppet's own sections: what they write, and the ways in which they fail.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "puppet.h"

static int plain(struct gmr_writer *w, void *userdata)
{
    gmr_put_string(w, "greeting", "hello");
    gmr_put_int(w, "answer", 42);
    gmr_begin_map(w, "nested");
    gmr_put_bool(w, "yes", true);
    return gmr_end_map(w);
}

static int fails(struct gmr_writer *w, void *userdata)
{
    gmr_put_string(w, "before", "kept");
    return -EIO;
}

static int leaves_open(struct gmr_writer *w, void *userdata)
{
    gmr_begin_map(w, "open");
    gmr_put_int(w, "inside", 1);
    gmr_begin_list(w, "deeper");
    return 0;
}

static int floods(struct gmr_writer *w, void *userdata)
{
    for (long i = 0; i < (1L << 30) / 16; i++)
        if (gmr_put_format(w, "line", "sixteen bytes %ld", i) != 0)
            return 0;
    return 0;
}

static int hangs(struct gmr_writer *w, void *userdata)
{
    gmr_put_string(w, "before", "kept");
    for (;;)
        pause();
    return 0;
}

volatile int never;

static int spins(struct gmr_writer *w, void *userdata)
{
    gmr_put_string(w, "before", "kept");
    while (!never) {
    }
    return 0;
}

__attribute__((noinline)) int recurse(int depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    return never == depth + 1000000 ? 0 : recurse(depth + 1) + room[0];
}

static int recurses(struct gmr_writer *w, void *userdata)
{
    gmr_put_string(w, "before", "kept");
    return recurse(0);
}

static int crashes(struct gmr_writer *w, void *userdata)
{
    gmr_put_string(w, "before", "kept");
    *(volatile int *)(uintptr_t)never = 1;
    return 0;
}

static int reports(struct gmr_writer *w, void *userdata)
{
    gmr_put_int(w, "result", gmr_report_write(1, GMR_VIEW_TEXT));
    return 0;
}

static int misuses(struct gmr_writer *w, void *userdata)
{
    gmr_put_string(w, "before", "kept");
    gmr_put_string(w, NULL, "a key is missing");
    gmr_end_list(w);
    return 0;
}

static int nulls(struct gmr_writer *w, void *userdata)
{
    gmr_put_string(w, "none", NULL);
    gmr_put_format(NULL, "x", "%d", 1);
    gmr_begin_table(w, "t", NULL, 2);
    return 0;
}

static const struct {
    const char *name;
    gmr_generator generator;
} generators[] = {{"plain", plain},       {"fails", fails},     {"leaves-open", leaves_open},
                  {"floods", floods},     {"hangs", hangs},     {"spins", spins},
                  {"recurses", recurses}, {"crashes", crashes}, {"reports", reports},
                  {"misuses", misuses},   {"nulls", nulls}};

gmr_generator generator_of(const char *name)
{
    for (size_t i = 0; i < sizeof(generators) / sizeof(generators[0]); i++)
        if (name && strcmp(generators[i].name, name) == 0)
            return generators[i].generator;
    return NULL;
}
