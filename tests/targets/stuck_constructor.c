/* tests/targets/stuck_constructor.c - a library whose constructor never returns: whoever loads it holds the loader's lock for good. */
#include <unistd.h>

__attribute__((constructor)) static void never_return(void)
{
    for (;;)
        pause();
}
