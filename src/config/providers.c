/*
 * config/providers.c - the program's providers of configuration: registered, and asked when a report is made.
 *
 * The target's half. Registration: any thread of the program. gmr__providers_ask: a runner thread; a provider may hang, so none runs with the lock
 * held, and each writes into an arena of its own (what becomes of that: answer.c).
 */
#include <errno.h>
#include <stdlib.h>

#include "config/registry.h"
#include "sys/sys.h"

#define ARENA_BYTES ((size_t)4 << 20)
#define UNREGISTER_WAIT_NS 2000000000u

struct provider {
    struct provider *next;
    gmr_generator generator;
    void *userdata;
    unsigned running;
    pid_t runner; /* the thread that runs it */
    bool removed; /* while it ran: freed when it ends */
};

static struct provider *providers;

void gmr__config_forget_running(void)
{
    for (struct provider *p = providers; p; p = p->next)
        p->running = 0;
}

GMR_API int gmr_config_register_provider(gmr_generator generator, void *userdata)
{
    if (!generator)
        return -EINVAL;
    struct provider *provider = malloc(sizeof(*provider));
    if (!provider)
        return -ENOMEM;
    *provider = (struct provider){.generator = generator, .userdata = userdata};
    gmr__config_lock();
    struct provider **end = &providers;
    while (*end)
        end = &(*end)->next;
    *end = provider;
    gmr__config_unlock();
    return 0;
}

/* Unlinks it; frees it, too, unless it runs. */
static bool remove_provider(struct provider *provider)
{
    struct provider **place = &providers;
    while (*place && *place != provider)
        place = &(*place)->next;
    if (!*place)
        return false;
    *place = provider->next;
    provider->removed = true;
    return provider->running == 0;
}

GMR_API int gmr_config_unregister_provider(gmr_generator generator, void *userdata)
{
    if (!generator)
        return -EINVAL;
    uint64_t until = gmr__now_ns() + UNREGISTER_WAIT_NS;
    for (;;) {
        gmr__config_lock();
        struct provider *found = NULL;
        for (struct provider *p = providers; p; p = p->next)
            found = p->generator == generator && p->userdata == userdata ? p : found;
        bool itself = found && found->running && found->runner == gmr__gettid();
        bool wait = found && found->running && !itself && gmr__now_ns() < until;
        bool running = found && found->running;
        bool mine = found && !wait && remove_provider(found);
        gmr__config_unlock();
        if (wait) {
            gmr__sleep_ns(1000000);
            continue;
        }
        if (mine)
            free(found);
        return !found ? -ENOENT : running && !itself ? -EBUSY : 0;
    }
}

static struct provider *take_provider(size_t n)
{
    gmr__config_lock();
    struct provider *provider = providers;
    while (provider && n--)
        provider = provider->next;
    if (provider) {
        provider->running++;
        provider->runner = gmr__gettid();
    }
    gmr__config_unlock();
    return provider;
}

static void done_with(struct provider *provider)
{
    gmr__config_lock();
    bool last = provider->running > 0 && --provider->running == 0 && provider->removed;
    gmr__config_unlock();
    if (last)
        free(provider);
}

/* memory: a writer and, behind it, its arena. */
static void ask(struct gmr__answers *answers, struct provider *provider, unsigned char *memory, bool text)
{
    struct gmr__sink_mem sink;
    size_t place = (gmr__writer_size() + 63) & ~(size_t)63;
    gmr__sink_mem_init(&sink, memory + place, ARENA_BYTES - place);
    struct gmr_writer *writer =
        gmr__writer_init(memory, gmr__writer_size(), GMR__VIEW_WIRE, text ? GMR_VIEW_TEXT : GMR_VIEW_JSON, &sink.sink);
    int result = provider->generator(writer, provider->userdata);
    int error = gmr__writer_section_error(writer);
    gmr__writer_close(writer);
    gmr__writer_flush(writer);
    answers->list[answers->count++] = (struct gmr__answer){sink.base, sink.used};
    if (!answers->error)
        answers->error = result < 0 ? result : error;
}

void gmr__providers_ask(struct gmr__answers *answers, bool text)
{
    struct provider *provider;
    for (size_t i = 0; (provider = take_provider(i)); i++) {
        bool room = answers->count < GMR__MAX_PROVIDERS;
        unsigned char *memory = room ? gmr__map_memory(ARENA_BYTES) : NULL;
        if (memory)
            answers->arenas[answers->count] = memory;
        if (memory)
            ask(answers, provider, memory, text);
        else if (!answers->error)
            answers->error = room ? -ENOMEM : -E2BIG;
        done_with(provider);
    }
}

void gmr__answers_free(struct gmr__answers *answers)
{
    for (size_t i = 0; i < GMR__MAX_PROVIDERS; i++)
        if (answers->arenas[i])
            gmr__unmap_memory(answers->arenas[i], ARENA_BYTES);
}
