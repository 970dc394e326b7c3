/* tests/green/target_pth.c - GNU Pth with the adapter: two threads that sleep in different depths, one that waits for a mutex. */
#include <stdio.h>
#include <unistd.h>

#include "gmr/adapters/pth.h"

static pth_mutex_t mutex = PTH_MUTEX_INIT;

static int __attribute__((noinline)) pth_deep(int levels)
{
    if (levels > 0)
        return pth_deep(levels - 1) + 1;
    return pth_sleep(1000) != 0;
}

static void *pth_sleeper(void *levels)
{
    pth_deep(*(int *)levels);
    return NULL;
}

static void *pth_locker(void *unused)
{
    (void)unused;
    pth_mutex_acquire(&mutex, FALSE, NULL);
    return NULL;
}

int main(void)
{
    int levels[2] = {1, 3};
    if (!pth_init() || gmr_pth_register() != 0)
        return 1;
    pth_mutex_acquire(&mutex, FALSE, NULL);
    static const char *const names[] = {"shallow", "deep", "locker"};
    for (int i = 0; i < 3; i++) {
        pth_attr_t attributes = pth_attr_new();
        pth_attr_set(attributes, PTH_ATTR_NAME, names[i]);
        pth_spawn(attributes, i < 2 ? pth_sleeper : pth_locker, i < 2 ? &levels[i] : NULL);
        pth_attr_destroy(attributes);
    }
    for (int i = 0; i < 20; i++)
        pth_yield(NULL);
    puts("ready");
    fflush(stdout);
    pth_sleep(1000);
    return 0;
}
