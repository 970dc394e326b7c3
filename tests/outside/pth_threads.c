/*
 * tests/outside/pth_threads.c - GNU Pth threads that wait in several ways, in a program that knows nothing of gmr.
 *
 * A test's target. Prints "ready" when all stand; then the main thread joins one of them, for ever.
 */
#include <pth.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pth_mutex_t mutex = PTH_MUTEX_INIT;
static int ends[2];

static void *__attribute__((noinline)) sleep_deep(long levels)
{
    if (levels > 0) {
        void *result = sleep_deep(levels - 1);
        return (char *)result + 1;
    }
    pth_sleep(3600);
    return NULL;
}

static void *sleeper(void *argument)
{
    return sleep_deep((long)argument);
}

static void *reader(void *argument)
{
    char byte;
    pth_read(ends[0], &byte, 1);
    return argument;
}

static void *locker(void *argument)
{
    pth_mutex_acquire(&mutex, FALSE, NULL);
    return argument;
}

static void *sayer(void *argument)
{
    puts("ready");
    fflush(stdout);
    pth_sleep(3600);
    return argument;
}

static pth_t spawn(const char *name, void *(*function)(void *), void *argument)
{
    pth_attr_t attributes = pth_attr_new();
    pth_attr_set(attributes, PTH_ATTR_NAME, name);
    return pth_spawn(attributes, function, argument);
}

int main(void)
{
    pth_init();
    if (pipe(ends) < 0)
        return 1;
    pth_mutex_acquire(&mutex, FALSE, NULL);
    spawn("sleeper", sleeper, (void *)5);
    spawn("reader", reader, NULL);
    spawn("locker", locker, NULL);
    pth_suspend(spawn("suspended", sleeper, (void *)1));
    pth_t last = spawn("sayer", sayer, NULL);
    pth_join(last, NULL);
    return 0;
}
