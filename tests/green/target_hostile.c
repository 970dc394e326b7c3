/*
 * tests/green/target_hostile.c - a program whose registry of green threads lies, in the way that the argument names.
 *
 * One honest green thread called "honest" is in it wherever the lie leaves room for it. The program itself goes on counting, so that the
 * test sees that it was not harmed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmr/green.h"
#include "green/registry.h"
#include "switch.h"

extern struct gmr__registry gmr_green_registry_1;

#define STACK_BYTES 16384u

struct node {
    struct node *next;
    void *sp;
    char *stack;
};

static void *scheduler, *honest_sp;
static char honest_stack[STACK_BYTES] __attribute__((aligned(16)));

static void __attribute__((noinline)) body(void)
{
    for (;;)
        test_switch(&honest_sp, &scheduler);
}

static void add_honest(void)
{
    struct gmr_green *green =
        gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBCORO), honest_stack, STACK_BYTES, &honest_sp, (void *)body, NULL);
    gmr_green_name(green, "honest");
    honest_sp = test_prepare(honest_stack + STACK_BYTES, body);
    test_switch(&scheduler, &honest_sp);
}

static uint64_t noise(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Contexts, stacks and texts that point anywhere. */
static void anywhere(void)
{
    for (int i = 0; i < 3000; i++) {
        static const enum gmr_known_layout layouts[] = {GMR_LAYOUT_UCONTEXT, GMR_LAYOUT_JMP_BUF, GMR_LAYOUT_LIBCORO,
                                                        GMR_LAYOUT_FCONTEXT_1_61, GMR_LAYOUT_LIBACO};
        uint64_t slot = i % 3 ? noise() : (uint64_t)(uintptr_t)honest_stack + noise() % STACK_BYTES;
        uint64_t stack = i % 2 ? noise() : (uint64_t)(uintptr_t)honest_stack;
        struct gmr_green *green = gmr_green_add(gmr_green_layout(layouts[i % 5]), (void *)stack, noise() % (1u << 20),
                                                (void *)slot, (void *)noise(), (void *)noise());
        if (i % 7 == 0)
            gmr_green_name(green, (const char *)noise());
        if (i % 11 == 0)
            gmr_green_frames(green, (const char *)noise(), (struct gmr_green_frame *const *)noise());
        if (i % 13 == 0)
            gmr_green_copied(green, (void *const *)noise(), (const size_t *)&honest_sp);
        if (i % 17 == 0)
            gmr_green_language(green, "lua5.4", (void *)(i % 2 ? noise() : (uint64_t)(uintptr_t)honest_stack));
    }
}

static void bad_layouts(void)
{
    static struct gmr_layout layout;
    for (int i = 0; i < 400; i++) {
        struct gmr_layout *each = calloc(1, sizeof(*each));
        *each = *gmr_green_layout(GMR_LAYOUT_UCONTEXT);
        each->off_pc = (int16_t)noise();
        each->off_sp = (int16_t)noise();
        each->flags = (uint8_t)noise();
        each->kind = (uint8_t)(noise() % 4);
        each->name = (const char *)noise();
        gmr_green_add(each, honest_stack, STACK_BYTES, &honest_sp, NULL, NULL);
    }
    memset(&layout, 0xff, sizeof(layout));
    gmr_green_add(&layout, NULL, 0, NULL, NULL, NULL);
}

static void unmapped(void)
{
    for (int i = 0; i < 2000; i++) {
        char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        void **slot = malloc(sizeof(*slot));
        *slot = test_prepare(stack + STACK_BYTES, body);
        gmr_green_add(gmr_green_layout(GMR_LAYOUT_LIBCORO), stack, STACK_BYTES, slot, (void *)body, NULL);
        munmap(stack, STACK_BYTES);
    }
}

static void cycle(void)
{
    static struct gmr_green_list list = {.version = GMR_LIST_VERSION, .kind = GMR_LIST_LINKED, .name = "nodes"};
    static struct node nodes[5], *head = &nodes[0];
    list.layout = gmr_green_layout(GMR_LAYOUT_LIBCORO);
    list.off_link = offsetof(struct node, next);
    list.off_context = offsetof(struct node, sp);
    list.off_stack = offsetof(struct node, stack);
    list.off_stack_size = list.off_stack_object = list.off_name = list.off_id = list.off_state = list.off_entry =
        list.off_argument = list.off_wait = list.off_switches = GMR_NO_MEMBER;
    list.stack_size = STACK_BYTES;
    for (int i = 0; i < 5; i++) {
        nodes[i].next = &nodes[i + 1];
        nodes[i].stack = malloc(STACK_BYTES);
        nodes[i].sp = test_prepare(nodes[i].stack + STACK_BYTES, body);
    }
    nodes[4].next = &nodes[2]; /* not back to the first: a circle */
    gmr_green_list_add(&list, &head, NULL);
}

static void long_array(void)
{
    static struct gmr_green_list list = {.version = GMR_LIST_VERSION, .kind = GMR_LIST_POINTERS, .name = "array"};
    static struct node node, *one[4] = {&node, &node, (struct node *)16, NULL}, **first = one;
    static size_t count = SIZE_MAX / 2;
    list.layout = gmr_green_layout(GMR_LAYOUT_LIBCORO);
    list.off_link = list.off_stack_size = list.off_stack_object = list.off_name = list.off_id = list.off_state =
        list.off_entry = list.off_argument = list.off_wait = list.off_switches = GMR_NO_MEMBER;
    list.off_context = offsetof(struct node, sp);
    list.off_stack = offsetof(struct node, stack);
    gmr_green_list_add(&list, &first, &count);
}

static void ten_million(void)
{
    const struct gmr_layout *layout = gmr_green_layout(GMR_LAYOUT_LIBCORO);
    for (int i = 0; i < 10000000; i++)
        gmr_green_add(layout, (void *)0x10000, 4096, &honest_sp, NULL, NULL);
}

int main(int argc, char **argv)
{
    const char *lie = argc > 1 ? argv[1] : "";
    struct gmr__registry *registry = &gmr_green_registry_1;
    static struct gmr_green_frame circle[2] = {{.outer = &circle[1], .function = "a"},
                                               {.outer = &circle[0], .function = "b"}};
    static struct gmr_green_frame *innermost = &circle[0];
    add_honest();
    if (strcmp(lie, "anywhere") == 0)
        anywhere();
    else if (strcmp(lie, "layouts") == 0)
        bad_layouts();
    else if (strcmp(lie, "unmapped") == 0)
        unmapped();
    else if (strcmp(lie, "cycle") == 0)
        cycle();
    else if (strcmp(lie, "array") == 0)
        long_array();
    else if (strcmp(lie, "frames") == 0)
        gmr_green_frames(gmr_green_add(gmr_green_layout(GMR_LAYOUT_NONE), NULL, 0, NULL, NULL, NULL), "c++",
                         &innermost);
    else if (strcmp(lie, "million") == 0)
        ten_million();
    else if (strcmp(lie, "magic") == 0)
        registry->magic[0] = '?';
    else if (strcmp(lie, "fresh") == 0)
        registry->fresh = UINT64_MAX / 3;
    else if (strcmp(lie, "slabs") == 0)
        registry->slabs = noise();
    else if (strcmp(lie, "slab") == 0)
        *(uint64_t *)(uintptr_t)registry->slabs = 0x123456789000;
    else if (strcmp(lie, "records") == 0)
        for (uint64_t i = 8; i < GMR__SLAB_RECORDS * 8; i++) /* the honest one is in the first batch's first record */
            ((uint64_t *)(uintptr_t) * (uint64_t *)(uintptr_t)registry->slabs)[i] = noise();
    else if (strcmp(lie, "lists") == 0)
        registry->list_high = UINT32_MAX, registry->lists = noise();
    if (strcmp(lie, "records") == 0)
        registry->fresh = GMR__SLAB_RECORDS;
    puts("ready");
    fflush(stdout);
    for (;;) {
        test_switch(&scheduler, &honest_sp);
        if (write(2, ".", 1) < 0)
            return 1;
        usleep(20000);
    }
}
