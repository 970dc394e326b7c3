/* tests/unit/test_expression.c - unwind/: DWARF expressions, good and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dwarf.h>

#include "unwind/rules.h"

static struct gmr__snapshot *snapshot;
static uint64_t words[8] = {11, 22, 33, 44};
static const struct gmr__segment stack = {0x1000, sizeof(words), (const unsigned char *)words};

static bool run(const struct gmr__op *ops, size_t count, uint64_t *result, uint64_t *fault)
{
    struct gmr__expression *expression = malloc(sizeof(*expression) + count * sizeof(*ops));
    struct gmr__memory memory = {.snapshot = snapshot, .stack = &stack};
    struct gmr__regs regs = {.value = {[6] = 0x1010, [7] = 0x1000}, .valid = 1 << 6 | 1 << 7};
    expression->count = (uint32_t)count;
    if (count)
        memcpy(expression->ops, ops, count * sizeof(*ops));
    bool done = gmr__evaluate(expression, &memory, &regs, 0x2000, result, fault);
    free(expression);
    return done;
}

static uint64_t value(const struct gmr__op *ops, size_t count)
{
    uint64_t result = 0, fault;
    assert_true(run(ops, count, &result, &fault));
    return result;
}

#define VALUE(...) \
    value((struct gmr__op[]){__VA_ARGS__}, sizeof((struct gmr__op[]){__VA_ARGS__}) / sizeof(struct gmr__op))

static void registers_memory_and_arithmetic(void **state)
{
    (void)state;
    assert_int_equal(VALUE({DW_OP_breg7, 8, 0, 0}, {DW_OP_deref, 0, 0, 2}), 22);
    assert_int_equal(VALUE({DW_OP_breg6, (uint64_t)-16, 0, 0}, {DW_OP_deref, 0, 0, 2}), 11);
    assert_int_equal(VALUE({DW_OP_call_frame_cfa, 0, 0, 0}, {DW_OP_plus_uconst, 16, 0, 1}), 0x2010);
    assert_int_equal(VALUE({DW_OP_lit7, 0, 0, 0}, {DW_OP_lit3, 0, 0, 1}, {DW_OP_minus, 0, 0, 2}), 4);
    assert_int_equal(VALUE({DW_OP_const1s, (uint64_t)-8, 0, 0}, {DW_OP_lit2, 0, 0, 2}, {DW_OP_div, 0, 0, 3}),
                     (uint64_t)-4);
    assert_int_equal(VALUE({DW_OP_lit1, 0, 0, 0}, {DW_OP_const1u, 200, 0, 1}, {DW_OP_shl, 0, 0, 3}), 0);
    assert_int_equal(VALUE({DW_OP_lit1, 0, 0, 0}, {DW_OP_lit2, 0, 0, 1}, {DW_OP_lit3, 0, 0, 2}, {DW_OP_rot, 0, 0, 3},
                           {DW_OP_drop, 0, 0, 4}),
                     1);
}

/* The linker's rule for PLT entries: sp + 8 + ((pc & 15) >= 11) * 8. */
static void a_branch_is_taken_or_not(void **state)
{
    (void)state;
    for (int taken = 0; taken < 2; taken++)
        assert_int_equal(VALUE({DW_OP_lit5, 0, 0, 0}, {(uint8_t)(DW_OP_lit0 + taken), 0, 0, 1}, {DW_OP_bra, 1, 0, 2},
                               {DW_OP_neg, 0, 0, 5}, {DW_OP_nop, 0, 0, 6}),
                         taken ? 5 : (uint64_t)-5);
}

#define REFUSED(...)                                  \
    assert_false(run((struct gmr__op[]){__VA_ARGS__}, \
                     sizeof((struct gmr__op[]){__VA_ARGS__}) / sizeof(struct gmr__op), &result, &fault))

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    uint64_t result, fault;
    REFUSED({DW_OP_skip, (uint16_t)-3, 0, 0});                                              /* for ever */
    REFUSED({DW_OP_lit0, 0, 0, 0}, {DW_OP_dup, 0, 0, 1}, {DW_OP_skip, (uint16_t)-4, 0, 2}); /* an endless stack */
    REFUSED({DW_OP_skip, 1, 0, 0}, {DW_OP_const2u, 1, 0, 3});                               /* into an operation */
    REFUSED({DW_OP_plus, 0, 0, 0});
    REFUSED({DW_OP_lit1, 0, 0, 0}, {DW_OP_lit0, 0, 0, 1}, {DW_OP_div, 0, 0, 2});
    REFUSED({DW_OP_lit1, 0, 0, 0}, {DW_OP_pick, 200, 0, 1});
    REFUSED({DW_OP_breg3, 0, 0, 0}); /* not known */
    REFUSED({DW_OP_bregx, 1000, 0, 0});
    REFUSED({0xff, 0, 0, 0});
    REFUSED({DW_OP_lit1, 0, 0, 0}, {DW_OP_deref_size, 100, 0, 1});
    REFUSED({DW_OP_addr, 0x5000, 0, 0}, {DW_OP_deref, 0, 0, 9});
    assert_int_equal(fault, 0x5000);
    assert_false(run(NULL, 0, &result, &fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_memory_and_arithmetic),
        cmocka_unit_test(a_branch_is_taken_or_not),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    snapshot = gmr__snapshot_new(1);
    int failed = cmocka_run_group_tests_name("expression", tests, NULL, NULL);
    gmr__snapshot_free(snapshot);
    return failed;
}
