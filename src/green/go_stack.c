/*
 * green/go_stack.c - the frames of a goroutine, walked over its copied stack as the Go runtime itself walks it.
 *
 * Inspector only, target running. The function table tells the size of each frame at each pc, so neither frame pointers nor
 * call-frame information are needed. What is known of a pc is kept; a list of pcs met before is not named again: a hundred
 * thousand goroutines have a few dozen different stacks.
 */
#include <stdlib.h>
#include <string.h>

#include "green/go.h"
#include "sys/word.h"

#define MAX_FRAMES 1000
#define MAX_INLINED 64
#define MAX_NAMED 4096

struct site {
    bool known;
    bool last;  /* nothing calls it: runtime.goexit and the like */
    bool exact; /* what it returns to was interrupted, not called: runtime.sigpanic */
    uint64_t entry;
    int32_t frame_bytes; /* at the pc itself */
    uint32_t count;      /* names, innermost first: inlined calls, then the function */
    struct gmr__language_frame *frames;
};

struct shared {
    uint64_t hash;
    uint32_t pcs, frame_count;
    const uint64_t *pc;
    const struct gmr__language_frame *frames;
};

void gmr__go_forget_sites(struct gmr__go *go)
{
    for (size_t i = 0; i < go->sites.slots; i++)
        if (go->sites.keys[i] != 0)
            free((void *)(uintptr_t)go->sites.values[i]);
    gmr__addrmap_free(&go->sites);
    gmr__addrmap_free(&go->shared);
}

/* Nothing calls these; mcall and morestack leave the goroutine's stack, but are called on it. */
static bool is_last(const char *name, bool interrupted)
{
    static const char *const names[] = {"runtime.goexit", "runtime.mstart", "runtime.rt0_go", "runtime.mcall",
                                        "runtime.morestack"};
    for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]) - (interrupted ? 2 : 0); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* One call in the tree of inlined ones: whose name, and where in the function it was called. */
static bool read_inlined(struct gmr__go *go, uint32_t tree, int32_t index, int32_t *name, int32_t *called_at)
{
    unsigned char bytes[20];
    uint32_t size = go->table.since_120 ? 16 : 20;
    if (go->inline_base == 0 || index > 1 << 20 ||
        gmr__green_read(go->green, go->inline_base + tree + (uint64_t)index * size, bytes, size) != 0)
        return false;
    memcpy(name, bytes + (go->table.since_120 ? 4 : 12), 4);
    memcpy(called_at, bytes + (go->table.since_120 ? 8 : 16), 4);
    return true;
}

static void name_site(struct gmr__go *go, const struct gmr__go_function *function, uint64_t pc, struct site *site)
{
    struct gmr__language_frame frames[MAX_INLINED + 1];
    uint32_t count = 0, tree;
    int32_t index, name, called_at;
    const char *file;
    while (count < MAX_INLINED && (index = gmr__go_inlined(&go->table, function, pc, &tree)) >= 0 &&
           read_inlined(go, tree, index, &name, &called_at)) {
        struct gmr__language_frame *frame = &frames[count++];
        *frame = (struct gmr__language_frame){.line = gmr__go_line(&go->table, function, pc, &file)};
        frame->function = gmr__green_intern(go->green, gmr__go_name(&go->table, name));
        frame->file = gmr__green_intern(go->green, file);
        pc = function->entry + (uint32_t)called_at;
    }
    struct gmr__language_frame *own = &frames[count++];
    *own = (struct gmr__language_frame){.line = gmr__go_line(&go->table, function, pc, &file), .entry = true};
    own->function = gmr__green_intern(go->green, gmr__go_function_name(&go->table, function));
    own->file = gmr__green_intern(go->green, file);
    site->frames = gmr__green_alloc(go->green, count * sizeof(*frames));
    if (site->frames) {
        memcpy(site->frames, frames, count * sizeof(*frames));
        site->count = count;
    }
}

/* key: the pc as it stands, with its top bit telling an interrupted one, whose own line is meant, from a return address. */
static const struct site *site_of(struct gmr__go *go, uint64_t pc, bool interrupted)
{
    uint64_t found, key = pc | (interrupted ? (uint64_t)1 << 63 : 0);
    if (gmr__addrmap_get(&go->sites, key, &found))
        return (const struct site *)(uintptr_t)found;
    struct site *site = calloc(1, sizeof(*site));
    struct gmr__go_function function;
    if (!site)
        return NULL;
    if (!gmr__addrmap_put(&go->sites, key, (uint64_t)(uintptr_t)site)) {
        free(site);
        return NULL;
    }
    if (!gmr__go_function(&go->table, pc, &function))
        return site;
    const char *name = gmr__go_function_name(&go->table, &function);
    site->known = true;
    site->entry = function.entry;
    site->last = is_last(name, interrupted);
    site->exact = name && strcmp(name, "runtime.sigpanic") == 0;
    site->frame_bytes = gmr__go_frame_bytes(&go->table, &function, pc);
    name_site(go, &function, interrupted || pc == function.entry ? pc : pc - 1, site);
    return site;
}

static const char *collect_pcs(struct gmr__go *go, const struct gmr__go_g *g, uint64_t *pcs, const struct site **sites,
                               uint32_t *count)
{
    uint64_t pc = g->pc, sp = g->sp, end = g->stack_bytes + g->sp;
    bool interrupted = g->interrupted;
    for (*count = 0; *count < MAX_FRAMES; (*count)++) {
        const struct site *site = site_of(go, pc, interrupted);
        if (!site || !site->known)
            return *count == 0 ? "it is outside Go code" : "a return address leads out of Go code";
        pcs[*count] = pc;
        sites[*count] = site;
        if (site->last) {
            (*count)++;
            return NULL;
        }
        if (site->frame_bytes < 0)
            return "the size of a frame is not known here";
        uint64_t at = sp + (uint32_t)site->frame_bytes; /* of the return address; x86-64 */
        if (at < sp || at + 8 > end)
            return at + 8 > g->high ? "the stack does not hold together" : "its stack was copied up to here only";
        pc = gmr__word(g->stack, at - g->sp);
        sp = at + 8;
        interrupted = site->exact;
        if (pc == 0) {
            (*count)++;
            return NULL;
        }
    }
    return "cut after 1000 frames";
}

void gmr__go_walk(struct gmr__go *go, const struct gmr__go_g *g, struct gmr__language_stack *language)
{
    uint64_t pcs[MAX_FRAMES], found;
    const struct site *sites[MAX_FRAMES];
    uint32_t count = 0;
    *language = (struct gmr__language_stack){.language = "go", .lasts = true};
    if (g->sp == 0 || !g->stack) {
        language->end = g->problem;
        return;
    }
    language->end = gmr__green_intern(go->green, collect_pcs(go, g, pcs, sites, &count));
    uint64_t hash = 0xcbf29ce484222325u + g->interrupted;
    for (uint32_t i = 0; i < count; i++)
        hash = (hash ^ pcs[i]) * 0x9e3779b97f4a7c15u ^ hash >> 29;
    if (gmr__addrmap_get(&go->shared, hash, &found)) {
        const struct shared *shared = (const struct shared *)(uintptr_t)found;
        if (shared->pcs == count && memcmp(shared->pc, pcs, count * sizeof(*pcs)) == 0) {
            language->frames = shared->frames;
            language->frame_count = shared->frame_count;
            return;
        }
    }
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += sites[i]->count;
    if (total > MAX_NAMED)
        total = MAX_NAMED;
    struct gmr__language_frame *frames = gmr__green_alloc(go->green, (total ? total : 1) * sizeof(*frames));
    struct shared *shared = gmr__green_alloc(go->green, sizeof(*shared));
    uint64_t *kept = gmr__green_alloc(go->green, (count ? count : 1) * sizeof(*kept));
    if (!frames || !shared || !kept) {
        language->end = "there was no memory left for its frames";
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < sites[i]->count && language->frame_count < total; k++)
            frames[language->frame_count++] = sites[i]->frames[k];
    memcpy(kept, pcs, count * sizeof(*pcs));
    language->frames = frames;
    *shared = (struct shared){hash, count, language->frame_count, kept, frames};
    gmr__addrmap_put(&go->shared, hash, (uint64_t)(uintptr_t)shared);
}
