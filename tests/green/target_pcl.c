/* tests/green/target_pcl.c - PCL with the adapter: two coroutines that were left in the middle, one that has ended. */
#include <stdio.h>
#include <unistd.h>

#include "gmr/adapters/pcl.h"

static int __attribute__((noinline)) pcl_deep(int levels)
{
    if (levels > 0)
        return pcl_deep(levels - 1) + 1;
    co_resume();
    return 0;
}

static void pcl_worker(void *levels)
{
    pcl_deep(*(int *)levels);
}

int main(void)
{
    static int levels[3] = {0, 2, 0};
    coroutine_t coroutines[3];
    for (int i = 0; i < 3; i++) {
        coroutines[i] = gmr_co_create(pcl_worker, &levels[i], NULL, 65536);
        if (!coroutines[i])
            return 1;
        co_call(coroutines[i]);
    }
    co_call(coroutines[2]); /* runs to its end */
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
