/*
 * gmr/adapters/pcl.h - coroutines of PCL, the Portable Coroutine Library 1.12.
 *
 * gmr_co_create() and gmr_co_delete() stand in for co_create() and co_delete(), and take the same. A coroutine that ends by itself
 * (co_exit, or by returning) is deleted by the library: use gmr_co_function, or call gmr_co_gone(coroutine) before. Offsets are those
 * of PCL 1.12 configured for makecontext on a 64-bit Linux (as in Debian).
 */
#ifndef GMR_ADAPTERS_PCL_H
#define GMR_ADAPTERS_PCL_H

#include <stdlib.h>
#include <ucontext.h>

#include <pcl.h>

#include "gmr/green.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gmr_co {
    struct gmr_co *next;
    coroutine_t coroutine;
    struct gmr_green *green;
    void (*function)(void *);
    void *data;
};

static inline struct gmr_co **gmr_co_all(void)
{
    static __thread struct gmr_co *all;
    return &all;
}

static inline void gmr_co_gone(coroutine_t coroutine)
{
    struct gmr_co **at = gmr_co_all();
    for (; *at; at = &(*at)->next) {
        struct gmr_co *co = *at;
        if (co->coroutine != coroutine)
            continue;
        gmr_green_del(co->green);
        *at = co->next;
        free(co);
        return;
    }
}

static inline void gmr_co_function(void *both)
{
    struct gmr_co *co = (struct gmr_co *)both;
    co->function(co->data);
    gmr_co_gone(co->coroutine);
}

/* makecontext's layout by the library's name. */
static inline const struct gmr_layout *gmr_co_layout(void)
{
    static struct gmr_layout layout;
    const struct gmr_layout *known = gmr_green_layout(GMR_LAYOUT_UCONTEXT);
    if (!known || layout.version)
        return known ? &layout : NULL;
    layout = *known;
    layout.name = "pcl";
    return &layout;
}

/* A coroutine's struct begins with its ucontext_t, which knows its stack. */
static inline coroutine_t gmr_co_create(void (*function)(void *), void *data, void *stack, int size)
{
    struct gmr_co *co = (struct gmr_co *)calloc(1, sizeof(*co));
    ucontext_t *context;
    if (!co)
        return NULL;
    co->function = function;
    co->data = data;
    co->coroutine = co_create(gmr_co_function, co, stack, size);
    if (!co->coroutine) {
        free(co);
        return NULL;
    }
    context = (ucontext_t *)co->coroutine;
    co->green = gmr_green_add(gmr_co_layout(), context->uc_stack.ss_sp, context->uc_stack.ss_size, context,
                              (void *)function, data);
    co->next = *gmr_co_all();
    *gmr_co_all() = co;
    return co->coroutine;
}

static inline void gmr_co_delete(coroutine_t coroutine)
{
    gmr_co_gone(coroutine);
    co_delete(coroutine);
}

#ifdef __cplusplus
}
#endif

#endif
