/*
 * test_code.c - the instructions of switch routines that arch/ recognises: where the stack pointer is loaded, and how it moves before and after.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/code.h"

#if defined(__x86_64__)
/* A frame of 0x38 bytes, registers stored, mov %rdi,%rsp, registers loaded, the frame and the return address taken off, jmp *%r8. */
static const unsigned char framed[] = {
    0x48, 0x8d, 0x64, 0x24, 0xc8,                   /* lea -0x38(%rsp),%rsp */
    0x0f, 0xae, 0x1c, 0x24, 0xd9, 0x7c, 0x24, 0x04, /* stmxcsr (%rsp); fnstcw 4(%rsp) */
    0x4c, 0x89, 0x64, 0x24, 0x08,                   /* mov %r12,8(%rsp) */
    0x48, 0x89, 0xe0, 0x48, 0x89, 0xfc,             /* mov %rsp,%rax; mov %rdi,%rsp */
    0x4c, 0x8b, 0x44, 0x24, 0x38,                   /* mov 0x38(%rsp),%r8 */
    0x48, 0x8b, 0x5c, 0x24, 0x28,                   /* mov 0x28(%rsp),%rbx: 5c is pop %rsp elsewhere */
    0x48, 0x8d, 0x64, 0x24, 0x40,                   /* lea 0x40(%rsp),%rsp */
    0x48, 0x89, 0xf2, 0x41, 0xff, 0xe0, 0x90,       /* mov %rsi,%rdx; jmp *%r8 */
};
/* push %rbp; push %r12; mov %rsp,(%rdi); mov (%rsi),%rsp; pop %r12; pop %rbp; ret */
static const unsigned char pushed[] = {0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x41, 0x54, 0x48, 0x89,
                                       0x27, 0x48, 0x8b, 0x26, 0x41, 0x5c, 0x5d, 0xc3, 0xc3};

static void load_and_end_are_found(void **state)
{
    size_t end = 0;
    (void)state;
    assert_int_equal(gmr__arch_loads_sp(framed, sizeof(framed), &end), 24);
    assert_int_equal(end, sizeof(framed) - 1);
    assert_int_equal(gmr__arch_loads_sp(pushed, sizeof(pushed), &end), 13);
    assert_int_equal(end, sizeof(pushed) - 1);
    end = 7;
    assert_int_equal(gmr__arch_loads_sp(framed, 22, &end), 0);
    assert_int_equal(gmr__arch_loads_sp(framed, 0, &end), 0);
    assert_int_equal(end, 7);
}

static int64_t moved(const unsigned char *code, size_t bytes)
{
    int64_t by = 0;
    assert_true(gmr__arch_sp_moved(code, bytes, &by));
    return by;
}

static void moves_are_counted(void **state)
{
    static const unsigned char frame[] = {0x48, 0x83, 0xec, 0x18, 0x48, 0x81, 0xc4, 0x00, 0x01, 0x00, 0x00};
    (void)state;
    assert_int_equal(moved(framed, 0), 0);
    assert_int_equal(moved(framed, 5), -0x38);
    assert_int_equal(moved(framed, 21), -0x38);
    assert_int_equal(moved(framed + 24, 5), 0);
    assert_int_equal(moved(framed + 24, 10), 0);
    assert_int_equal(moved(framed + 24, 15), 0x40);
    assert_int_equal(moved(pushed, 4), 0);
    assert_int_equal(moved(pushed, 7), -16);
    assert_int_equal(moved(pushed + 13, 3), 16);
    assert_int_equal(moved(frame, 4), -0x18);
    assert_int_equal(moved(frame, sizeof(frame)), 0x100 - 0x18);
}

static void calls_end_at_the_return_address(void **state)
{
    static const struct {
        unsigned char bytes[7];
        bool call;
    } cases[] = {
        {{0x90, 0x90, 0xe8, 0x10, 0, 0, 0}, true},           /* call +0x10 */
        {{0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0}, true},  /* call *%rax */
        {{0x90, 0x90, 0x90, 0x90, 0xff, 0x14, 0x24}, true},  /* call *(%rsp) */
        {{0xff, 0x14, 0x25, 0, 0x10, 0, 0}, true},           /* call *0x1000 */
        {{0xff, 0x94, 0x24, 0, 0x10, 0, 0}, true},           /* call *0x1000(%rsp) */
        {{0x90, 0xff, 0x15, 0, 0x10, 0, 0}, true},           /* call *0x1000(%rip) */
        {{0x90, 0x90, 0x90, 0x90, 0xff, 0x50, 0x10}, true},  /* call *0x10(%rax) */
        {{0x90, 0x90, 0x90, 0xff, 0x50, 0x10, 0x90}, false}, /* something behind it */
        {{0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0}, false}, /* jmp *%rax */
        {{0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x50}, false}, /* cut off */
        {{0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90}, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        unsigned char before[GMR__CALL_BYTES] = {0};
        uint64_t target;
        memcpy(before + sizeof(before) - 7, cases[i].bytes, 7);
        assert_int_equal(gmr__arch_call_before(before, 0x1000, &target), cases[i].call);
        assert_int_equal(target, i == 0 ? 0x1010 : 0);
    }
}

static void what_is_not_known_is_said(void **state)
{
    static const unsigned char call[] = {0xe8, 0, 0, 0, 0}, pop_sp[] = {0x5c}, aligned[] = {0x48, 0x83, 0xe4, 0xf0};
    int64_t by;
    (void)state;
    assert_false(gmr__arch_sp_moved(call, sizeof(call), &by));
    assert_false(gmr__arch_sp_moved(pop_sp, sizeof(pop_sp), &by));
    assert_false(gmr__arch_sp_moved(aligned, sizeof(aligned), &by));
    assert_false(gmr__arch_sp_moved(framed, 3, &by));  /* in the middle of one */
    assert_false(gmr__arch_sp_moved(framed, 24, &by)); /* it is loaded */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_and_end_are_found),
        cmocka_unit_test(moves_are_counted),
        cmocka_unit_test(calls_end_at_the_return_address),
        cmocka_unit_test(what_is_not_known_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    return 77;
}
#endif
