/*
 * unwind/unwind.c - walks stacks by cached rules, and keeps identical ones once.
 *
 * Inspector only. The inner loop is a hash look-up, one addition for the CFA and one load from the copied stack for each saved register: no
 * system call, no libdw, where a pc has been seen before. Called by the sections (threads, green threads).
 */
#include "unwind/unwind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/code.h"
#include "sys/grow.h"
#include "unwind/rules.h"

#define DEFAULT_FRAMES 4096
#define MAX_SWITCHES 64 /* of stacks in one walk: signal handlers, split stacks */
#define START_BYTES 1024
#define CONTEXT_BYTES 1024

struct kept {
    struct gmr__stack stack;
    uint64_t hash;
};

struct gmr__unwinder {
    const struct gmr__snapshot *snapshot;
    struct gmr__rules *rules;
    gmr__function_start function_start;
    void *function_userdata;
    uint32_t max_frames;
    struct gmr__frame *frames; /* of the walk under way */
    size_t frame_cap;
    struct kept **stacks; /* by index */
    uint32_t stack_count;
    size_t stack_cap;
    uint32_t *slots; /* hash table of index + 1 */
    size_t slot_count;
    char reason[512];
};

/* One walk. */
struct walk {
    struct gmr__unwinder *unwinder;
    struct gmr__memory memory;
    struct gmr__regs regs;
    uint64_t low, high;
    uint64_t cfa, last_cfa;
    uint32_t count;
    unsigned switches;
    bool activation, guessed, whole;
    const char *end;
};

struct gmr__unwinder *gmr__unwinder_new(const struct gmr__snapshot *snapshot, struct gmr__modules *modules,
                                        uint32_t max_frames)
{
    struct gmr__unwinder *unwinder = calloc(1, sizeof(*unwinder));
    if (!unwinder)
        return NULL;
    unwinder->snapshot = snapshot;
    unwinder->max_frames = max_frames ? max_frames : DEFAULT_FRAMES;
    unwinder->rules = gmr__rules_new(snapshot, modules);
    unwinder->slot_count = 256;
    unwinder->slots = calloc(unwinder->slot_count, sizeof(*unwinder->slots));
    if (!unwinder->rules || !unwinder->slots) {
        gmr__unwinder_free(unwinder);
        return NULL;
    }
    return unwinder;
}

void gmr__unwinder_set_function_start(struct gmr__unwinder *unwinder, gmr__function_start function, void *userdata)
{
    unwinder->function_start = function;
    unwinder->function_userdata = userdata;
}

bool gmr__unwinder_renew(struct gmr__unwinder *unwinder, struct gmr__modules *modules)
{
    struct gmr__rules *rules = gmr__rules_new(unwinder->snapshot, modules);
    if (!rules)
        return false;
    gmr__rules_free(unwinder->rules);
    unwinder->rules = rules;
    return true;
}

void gmr__unwinder_free(struct gmr__unwinder *unwinder)
{
    if (!unwinder)
        return;
    for (uint32_t i = 0; i < unwinder->stack_count; i++)
        free(unwinder->stacks[i]);
    free(unwinder->stacks);
    free(unwinder->slots);
    free(unwinder->frames);
    gmr__rules_free(unwinder->rules);
    free(unwinder);
}

uint32_t gmr__unwinder_stack_count(const struct gmr__unwinder *unwinder)
{
    return unwinder->stack_count;
}

const struct gmr__stack *gmr__unwinder_stack(const struct gmr__unwinder *unwinder, uint32_t index)
{
    return index < unwinder->stack_count ? &unwinder->stacks[index]->stack : NULL;
}

/* ---------------------------------------------------------------------------------------- keeping stacks once */

static uint64_t hash_of(const struct walk *walk)
{
    uint64_t hash = 0x9e3779b97f4a7c15ULL + walk->count;
    for (uint32_t i = 0; i < walk->count; i++) {
        const struct gmr__frame *frame = &walk->unwinder->frames[i];
        hash ^= frame->pc + (uint64_t)frame->activation + 2 * (uint64_t)frame->guessed;
        hash *= 0xff51afd7ed558ccdULL;
        hash ^= hash >> 32;
    }
    for (const char *c = walk->end; c && *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
    return hash;
}

static bool same(const struct kept *kept, const struct walk *walk, uint64_t hash)
{
    const struct gmr__stack *stack = &kept->stack;
    if (kept->hash != hash || stack->frame_count != walk->count || stack->whole != walk->whole ||
        !stack->end != !walk->end || (stack->end && strcmp(stack->end, walk->end) != 0))
        return false;
    for (uint32_t i = 0; i < walk->count; i++) {
        const struct gmr__frame *a = &stack->frames[i], *b = &walk->unwinder->frames[i];
        if (a->pc != b->pc || a->activation != b->activation || a->guessed != b->guessed ||
            a->signal_frame != b->signal_frame)
            return false;
    }
    return true;
}

static size_t find_slot(const struct gmr__unwinder *unwinder, const struct walk *walk, uint64_t hash)
{
    size_t mask = unwinder->slot_count - 1, at = (size_t)hash & mask;
    while (unwinder->slots[at] && !same(unwinder->stacks[unwinder->slots[at] - 1], walk, hash))
        at = (at + 1) & mask;
    return at;
}

static bool grow_slots(struct gmr__unwinder *unwinder)
{
    size_t count = unwinder->slot_count * 2, mask = count - 1;
    uint32_t *slots = calloc(count, sizeof(*slots));
    if (!slots)
        return false;
    for (uint32_t i = 0; i < unwinder->stack_count; i++) {
        size_t at = (size_t)unwinder->stacks[i]->hash & mask;
        while (slots[at])
            at = (at + 1) & mask;
        slots[at] = i + 1;
    }
    free(unwinder->slots);
    unwinder->slots = slots;
    unwinder->slot_count = count;
    return true;
}

static const struct gmr__stack *keep(struct walk *walk)
{
    struct gmr__unwinder *unwinder = walk->unwinder;
    uint64_t hash = hash_of(walk);
    size_t at = find_slot(unwinder, walk, hash);
    if (unwinder->slots[at])
        return &unwinder->stacks[unwinder->slots[at] - 1]->stack;
    if (!GMR__GROW(unwinder->stacks, unwinder->stack_cap, (size_t)unwinder->stack_count + 1))
        return NULL;
    size_t frame_bytes = walk->count * sizeof(struct gmr__frame), end_bytes = walk->end ? strlen(walk->end) + 1 : 0;
    struct kept *kept = malloc(sizeof(*kept) + frame_bytes + end_bytes);
    if (!kept)
        return NULL;
    struct gmr__frame *frames = (struct gmr__frame *)(kept + 1);
    char *end = (char *)frames + frame_bytes;
    if (frame_bytes)
        memcpy(frames, unwinder->frames, frame_bytes);
    if (end_bytes)
        memcpy(end, walk->end, end_bytes);
    kept->hash = hash;
    kept->stack = (struct gmr__stack){.index = unwinder->stack_count,
                                      .frame_count = walk->count,
                                      .frames = frames,
                                      .end = end_bytes ? end : NULL,
                                      .whole = walk->whole};
    unwinder->stacks[unwinder->stack_count++] = kept;
    unwinder->slots[at] = unwinder->stack_count;
    if ((size_t)unwinder->stack_count * 2 > unwinder->slot_count)
        grow_slots(unwinder); /* without memory it gets slower, not wrong: there is always a free slot left */
    return &kept->stack;
}

/* ---------------------------------------------------------------------------------------- one frame */

static bool stop(struct walk *walk, const char *reason)
{
    walk->end = reason;
    return false;
}

static bool outermost(struct walk *walk)
{
    walk->whole = true;
    return false;
}

static bool unreadable(struct walk *walk, uint64_t address)
{
    const struct gmr__segment *stack = walk->memory.stack;
    char *reason = walk->unwinder->reason;
    size_t cap = sizeof(walk->unwinder->reason);
    const struct gmr__map *map = gmr__snapshot_map(walk->unwinder->snapshot, address);
    if (stack && stack->data && address == stack->address + stack->bytes && map && map->write)
        snprintf(reason, cap, "the copy of the stack ends here: its limit is %u bytes", stack->bytes);
    else
        snprintf(reason, cap, "memory at 0x%llx can't be read", (unsigned long long)address);
    return stop(walk, reason);
}

static inline bool load(struct walk *walk, uint64_t address, uint64_t *value)
{
    const struct gmr__segment *stack = walk->memory.stack;
    if (stack && address >= stack->address && address - stack->address + 8 <= stack->bytes && stack->data) {
        memcpy(value, stack->data + (address - stack->address), 8);
        return true;
    }
    return gmr__snapshot_read(walk->memory.snapshot, stack, address, value, 8) == 0 || unreadable(walk, address);
}

static bool evaluate(struct walk *walk, const struct gmr__expression *expression, uint64_t cfa, uint64_t *value)
{
    uint64_t fault;
    if (gmr__evaluate(expression, &walk->memory, &walk->regs, cfa, value, &fault))
        return true;
    return fault ? unreadable(walk, fault) : stop(walk, "the unwind information can't be evaluated here");
}

static bool caller_register(struct walk *walk, const struct gmr__reg_rule *rule, uint64_t cfa, struct gmr__regs *caller)
{
    uint64_t value;
    switch (rule->kind) {
    case GMR__REG_AT_CFA:
        if (!load(walk, cfa + (uint64_t)(int64_t)rule->offset, &value))
            return false;
        break;
    case GMR__REG_CFA:
        value = cfa + (uint64_t)(int64_t)rule->offset;
        break;
    case GMR__REG_COPY:
        value = walk->regs.value[rule->other];
        if (!(walk->regs.valid >> rule->other & 1)) {
            caller->valid &= ~(1ULL << rule->reg);
            return true;
        }
        break;
    case GMR__REG_AT:
        if (!evaluate(walk, rule->expression, cfa, &value) || !load(walk, value, &value))
            return false;
        break;
    default:
        if (!evaluate(walk, rule->expression, cfa, &value))
            return false;
    }
    caller->value[rule->reg] = value;
    caller->valid |= 1ULL << rule->reg;
    return true;
}

static bool by_cfi(struct walk *walk, const struct gmr__rule *rule)
{
    struct gmr__regs *regs = &walk->regs, caller = *regs;
    uint64_t cfa;
    if (rule->cfa_expression) {
        if (!evaluate(walk, rule->cfa_expression, 0, &cfa))
            return false;
    } else if (regs->valid >> rule->cfa_reg & 1) {
        cfa = regs->value[rule->cfa_reg] + (uint64_t)rule->cfa_offset;
    } else {
        return stop(walk, "a register that the unwind information asks for is not known here");
    }
    cfa = gmr__arch_strip(cfa); /* of a frame pointer that was a tagged stack pointer */
    walk->cfa = cfa;
    if (rule->outermost)
        return outermost(walk);
    caller.value[gmr__arch_sp] = cfa;
    caller.valid |= 1ULL << gmr__arch_sp;
    for (unsigned i = 0; i < rule->reg_count; i++)
        if (!caller_register(walk, &rule->regs[i], cfa, &caller))
            return false;
    if (!(caller.valid >> rule->return_reg & 1))
        return stop(walk, "the return address is not known here");
    caller.value[gmr__arch_pc] = gmr__arch_strip(caller.value[rule->return_reg]);
    caller.valid |= 1ULL << gmr__arch_pc;
    *regs = caller;
    walk->guessed = false;
    return true;
}

static bool by_sigreturn(struct walk *walk)
{
    uint64_t sp = walk->regs.value[gmr__arch_sp], address = sp + gmr__arch_sigreturn_context;
    unsigned char context[CONTEXT_BYTES] __attribute__((aligned(16)));
    if (gmr__arch_ucontext_bytes > sizeof(context))
        return stop(walk, "the interrupted registers can't be read");
    if (gmr__snapshot_read(walk->memory.snapshot, walk->memory.stack, address, context, gmr__arch_ucontext_bytes) != 0)
        return unreadable(walk, address);
    gmr__arch_regs_from_ucontext(&walk->regs, context, gmr__arch_ucontext_bytes);
    walk->cfa = walk->regs.value[gmr__arch_sp];
    walk->guessed = false;
    return true;
}

static bool by_guess(struct walk *walk, const struct gmr__rule *rule)
{
    struct gmr__regs caller;
    bool code = rule->kind == GMR__RULE_NO_CFI;
    switch (gmr__guess_caller(&walk->memory, &walk->regs, walk->activation, rule, &caller, &walk->cfa)) {
    case GMR__GUESS_CALLER:
        walk->regs = caller;
        walk->guessed = true;
        return true;
    case GMR__GUESS_OUTERMOST:
        return outermost(walk);
    default:
        break;
    }
    /* A green thread's start routine, in assembly without unwind information (Boost's make_fcontext), at the very end of its stack. */
    if (code && walk->high && walk->count > 1 && walk->high - walk->regs.value[gmr__arch_sp] <= START_BYTES)
        return outermost(walk);
    char *reason = walk->unwinder->reason;
    size_t cap = sizeof(walk->unwinder->reason);
    if (!code)
        snprintf(reason, cap, "0x%llx is not in executable memory", (unsigned long long)walk->regs.value[gmr__arch_pc]);
    else if (rule->module)
        snprintf(reason, cap, "no unwind information in %s", rule->module);
    else
        snprintf(reason, cap, "no unwind information for code made at run time");
    return stop(walk, reason);
}

/* ---------------------------------------------------------------------------------------- the walk */

static bool add_frame(struct walk *walk, const struct gmr__rule *rule)
{
    struct gmr__unwinder *unwinder = walk->unwinder;
    if (!GMR__GROW(unwinder->frames, unwinder->frame_cap, (size_t)walk->count + 1))
        return stop(walk, "gmr ran out of memory");
    unwinder->frames[walk->count++] = (struct gmr__frame){.pc = walk->regs.value[gmr__arch_pc],
                                                          .activation = walk->activation || rule->entered,
                                                          .signal_frame = rule->signal,
                                                          .guessed = walk->guessed};
    return true;
}

/* The CFA only grows, but for handlers on other stacks and for code that switches stacks by itself. */
static bool plausible(struct walk *walk, const struct gmr__rule *rule, uint64_t pc_before)
{
    if (walk->cfa == walk->last_cfa && walk->regs.value[gmr__arch_pc] == pc_before && !rule->signal)
        return stop(walk, "same frame twice");
    if (walk->cfa < walk->last_cfa && !rule->signal) {
        const struct gmr__map *a = gmr__snapshot_map(walk->unwinder->snapshot, walk->cfa);
        const struct gmr__map *b = gmr__snapshot_map(walk->unwinder->snapshot, walk->last_cfa);
        if ((a && a == b) || ++walk->switches > MAX_SWITCHES)
            return stop(walk, "the stack turns back on itself");
    }
    if (rule->signal && ++walk->switches > MAX_SWITCHES)
        return stop(walk, "too many signal handlers inside each other");
    walk->last_cfa = walk->cfa;
    return true;
}

static bool step(struct walk *walk)
{
    struct gmr__unwinder *unwinder = walk->unwinder;
    uint64_t pc = walk->regs.value[gmr__arch_pc];
    const struct gmr__rule *rule = gmr__rules_find(unwinder->rules, pc, walk->activation);
    if (!rule)
        return stop(walk, "gmr ran out of memory");
    if (!walk->activation && rule->kind == GMR__RULE_NO_CODE)
        return by_guess(walk, rule); /* ends the walk, with its reason: such a return address is no frame */
    if (!add_frame(walk, rule))
        return false;
    struct gmr__frame *frame = &unwinder->frames[walk->count - 1];
    bool more;
    switch (rule->kind) {
    case GMR__RULE_CFI:
        more = by_cfi(walk, rule);
        break;
    case GMR__RULE_SIGRETURN:
        more = by_sigreturn(walk);
        break;
    default:
        more = by_guess(walk, rule);
    }
    frame->cfa = rule->kind == GMR__RULE_SIGRETURN ? 0 : walk->cfa;
    /* A green thread ends with its stack: what has its CFA outside belongs to the scheduler, or is nonsense. */
    if (walk->high && walk->count > 1 && (walk->cfa < walk->low || walk->cfa > walk->high) && !rule->signal) {
        walk->count--;
        walk->end = NULL;
        return outermost(walk);
    }
    if (!more)
        return false;
    walk->activation = rule->signal;
    if (!walk->regs.value[gmr__arch_pc] && !rule->signal)
        return outermost(walk); /* clone and thread starters leave a zero */
    return plausible(walk, rule, pc);
}

const struct gmr__stack *gmr__unwind(struct gmr__unwinder *unwinder, const struct gmr__regs *regs,
                                     const struct gmr__segment *stack, uint64_t low, uint64_t high, bool activation)
{
    struct walk walk = {
        .unwinder = unwinder,
        .memory = {unwinder->snapshot, stack, unwinder->function_start, unwinder->function_userdata},
        .regs = *regs,
        .low = low,
        .high = high,
        .activation = activation,
    };
    if (!(regs->valid >> gmr__arch_pc & 1))
        walk.end = "no registers";
    else
        while (step(&walk)) {
            if (walk.count < unwinder->max_frames)
                continue;
            snprintf(unwinder->reason, sizeof(unwinder->reason), "limit of %u frames", unwinder->max_frames);
            walk.end = unwinder->reason;
            break;
        }
    return keep(&walk);
}
