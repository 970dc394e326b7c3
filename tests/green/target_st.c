/* tests/green/target_st.c - State Threads with the adapter: threads that sleep and wait, one that has ended. */
#include <stdio.h>
#include <unistd.h>

#include <st.h>

#include "gmr/adapters/st.h"

static st_cond_t condition;

static int __attribute__((noinline)) st_deep(int levels)
{
    if (levels > 0)
        return st_deep(levels - 1) + 1;
    return st_sleep(1000) != 0;
}

static void *st_sleeper(void *levels)
{
    st_deep(*(int *)levels);
    return NULL;
}

static void *st_waiter(void *unused)
{
    (void)unused;
    st_cond_wait(condition);
    return NULL;
}

static void *st_short(void *unused)
{
    st_thread_exit(unused);
    return NULL;
}

int main(void)
{
    int levels = 2;
    if (st_init() != 0 || !(condition = st_cond_new()))
        return 1;
    if (!st_thread_create(st_sleeper, &levels, 0, 0) || !st_thread_create(st_waiter, NULL, 0, 0) ||
        !st_thread_create(st_short, NULL, 0, 0))
        return 1;
    st_sleep(0);
    puts("ready");
    fflush(stdout);
    st_sleep(1000);
    return 0;
}
