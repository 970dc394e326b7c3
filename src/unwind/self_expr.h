/*
 * unwind/self_expr.h - reading LEB128 numbers, and evaluating the DWARF expressions that call-frame information uses.
 *
 * The target's half; async-signal-safe.
 */
#ifndef GMR_UNWIND_SELF_EXPR_H
#define GMR_UNWIND_SELF_EXPR_H

#include "unwind/self_cfi.h"

struct gmr__self_cursor {
    struct gmr__peek *peek;
    uint64_t at, end;
    bool failed;
};
uint64_t gmr__cursor_uint(struct gmr__self_cursor *c, unsigned bytes); /* 1, 2, 4, 8; 0 and `failed` past the end */
uint64_t gmr__cursor_uleb(struct gmr__self_cursor *c);
int64_t gmr__cursor_sleb(struct gmr__self_cursor *c);

/* block: where its length stands. push: start with `first` on the stack. */
bool gmr__self_expression(const struct gmr__self_cfi *cfi, const struct gmr__regs *regs, uint64_t block, bool push,
                          uint64_t first, uint64_t *value);

#endif
