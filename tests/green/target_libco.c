/*
 * tests/green/target_libco.c - the real libco, of which tools/check-vendored gets the source, with the adapter: two cothreads left in the middle, one that
 * never ran.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libco.h>

#include "gmr/adapters/libco.h"

static cothread_t leader;
static int depth;

static int __attribute__((noinline)) libco_deep(int levels)
{
    if (levels > 0)
        return libco_deep(levels - 1) + 1;
    co_switch(leader);
    return 0;
}

static void libco_worker(void)
{
    libco_deep(depth);
    abort();
}

int main(void)
{
    static const char *const names[] = {"first", "second", "fresh"};
    leader = co_active();
    for (int i = 0; i < 3; i++) {
        cothread_t thread = co_create(65536, libco_worker);
        gmr_green_name(gmr_libco_add(thread, 65536, libco_worker), names[i]);
        depth = i;
        if (i < 2)
            co_switch(thread);
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
