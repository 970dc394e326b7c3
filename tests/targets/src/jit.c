/*
 * jit.c - a thread that waits beneath code made at run time: a frame pointer, no call-frame information, a name in perf's map.
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "ready.h"

static volatile long sink;

__attribute__((noinline)) static void wait_here(void)
{
    arrive();
    for (;;) {
        pause();
        sink++;
    }
}

/* push %rbp; mov %rsp,%rbp; sub $16,%rsp; call *%rdi; leave; ret */
static const unsigned char code[] = {0x55, 0x48, 0x89, 0xE5, 0x48, 0x83, 0xEC, 0x10, 0xFF, 0xD7, 0xC9, 0xC3};

__attribute__((noinline)) static void *thread(void *made)
{
    ((void (*)(void (*)(void)))made)(wait_here);
    sink++;
    return NULL;
}

int main(void)
{
    char path[64];
    pthread_t id;
    unsigned char *made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(made + 64, code, sizeof(code));
    mprotect(made, 4096, PROT_READ | PROT_EXEC);
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "w");
    fprintf(map, "%lx 40 jit_loop\n", (unsigned long)made); /* thrown away since, as it were */
    fprintf(map, "0x%016lx 0x%016zx jit_function\n", (unsigned long)(made + 64), sizeof(code)); /* as Java writes it */
    fclose(map);
    pthread_create(&id, NULL, thread, made + 64);
    ready(1);
    pause();
    return 0;
}
