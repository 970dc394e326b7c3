/*
 * unwind/rules.h - how to get from one frame to its caller, computed once per pc.
 *
 * Inspector only. Private to src/unwind.
 */
#ifndef GMR_UNWIND_RULES_H
#define GMR_UNWIND_RULES_H

#include "arch/exits.h"
#include "snapshot/snapshot.h"
#include "unwind/unwind.h"

enum gmr__rule_kind {
    GMR__RULE_CFI = 1,
    GMR__RULE_SIGRETURN, /* a signal handler's return trampoline: the interrupted registers lie on the stack */
    GMR__RULE_NO_CFI,    /* code that no call-frame information covers */
    GMR__RULE_NO_CODE,   /* pc is not in executable memory */
};

/* One operation of a DWARF expression. */
struct gmr__op {
    uint8_t atom;
    uint64_t number, number2, offset;
};
struct gmr__expression {
    uint32_t count;
    struct gmr__op ops[];
};

enum gmr__reg_kind {
    GMR__REG_AT_CFA = 1, /* stored at CFA + offset */
    GMR__REG_CFA,        /* is CFA + offset */
    GMR__REG_COPY,       /* is that of another register */
    GMR__REG_AT,         /* stored where the expression says */
    GMR__REG_VALUE,      /* is what the expression says */
};
struct gmr__reg_rule {
    uint8_t reg, kind, other;
    int32_t offset;
    const struct gmr__expression *expression;
};

struct gmr__rule {
    uint64_t key; /* 0: empty slot */
    uint8_t kind;
    uint8_t cfa_reg;
    uint8_t return_reg;
    uint8_t reg_count;
    bool outermost; /* the return address is said to be undefined: nobody called */
    bool
        entered; /* pc is the function's first instruction although it was returned to: a start routine, put there by hand */
    bool signal; /* the caller was interrupted, it did not call */
    int64_t cfa_offset;
    const struct gmr__expression *cfa_expression; /* NULL: cfa_reg + cfa_offset */
    const struct gmr__reg_rule *regs;
    const char *module;            /* for messages; NULL: in none */
    const struct gmr__exit *exits; /* of code without call-frame information */
    uint8_t exit_count;
};

struct gmr__rules;
struct gmr__rules *gmr__rules_new(const struct gmr__snapshot *snapshot, struct gmr__modules *modules);
void gmr__rules_free(struct gmr__rules *rules);
/* NULL only without memory. The pointer is good until the next call. */
const struct gmr__rule *gmr__rules_find(struct gmr__rules *rules, uint64_t pc, bool activation);

/* expression.c: evaluates over registers and the copied memory. False: it can't be (unknown operation, unreadable memory, no end);
 * *fault, if it was memory: the address. */
struct gmr__memory {
    const struct gmr__snapshot *snapshot;
    const struct gmr__segment *stack;
    gmr__function_start function_start; /* NULL: symbols are not at hand */
    void *function_userdata;
};
bool gmr__evaluate(const struct gmr__expression *expression, const struct gmr__memory *memory,
                   const struct gmr__regs *regs, uint64_t cfa, uint64_t *result, uint64_t *fault);

/* guess.c: the caller of code without call-frame information. */
enum gmr__guess {
    GMR__GUESS_NONE = 0,
    GMR__GUESS_CALLER, /* *caller is filled */
    GMR__GUESS_OUTERMOST,
};
enum gmr__guess gmr__guess_caller(const struct gmr__memory *memory, const struct gmr__regs *regs, bool activation,
                                  const struct gmr__rule *rule, struct gmr__regs *caller, uint64_t *cfa);

#endif
