/*
 * tests/green/switch.h - a context switch of the test's own, as small schedulers have one: registers pushed, the stack pointer kept.
 *
 * The layout is libcoro's (GMR_LAYOUT_LIBCORO); x86-64 and aarch64.
 */
#ifndef TESTS_GREEN_SWITCH_H
#define TESTS_GREEN_SWITCH_H

#include <stdint.h>

void test_switch(void **save, void *const *to);
#if defined(__x86_64__)
__asm__(
    ".text\n.globl test_switch\n.type test_switch,@function\ntest_switch:\n.cfi_startproc\n"
    "pushq %rbp\n.cfi_adjust_cfa_offset 8\npushq %rbx\n.cfi_adjust_cfa_offset 8\npushq %r12\n.cfi_adjust_cfa_offset 8\n"
    "pushq %r13\n.cfi_adjust_cfa_offset 8\npushq %r14\n.cfi_adjust_cfa_offset 8\npushq %r15\n.cfi_adjust_cfa_offset 8\n"
    "movq %rsp,(%rdi)\nmovq (%rsi),%rsp\n"
    "popq %r15\n.cfi_adjust_cfa_offset -8\npopq %r14\n.cfi_adjust_cfa_offset -8\npopq %r13\n.cfi_adjust_cfa_offset -8\n"
    "popq %r12\n.cfi_adjust_cfa_offset -8\npopq %rbx\n.cfi_adjust_cfa_offset -8\npopq %rbp\n.cfi_adjust_cfa_offset -8\n"
    "ret\n.cfi_endproc\n.size test_switch,.-test_switch\n");
#define TEST_FRAME_WORDS 7
#define TEST_FRAME_PC 6
#elif defined(__aarch64__)
__asm__(".text\n.globl test_switch\n.type test_switch,@function\ntest_switch:\n"
        "sub x9,sp,#160\nstp x19,x20,[x9,#0]\nstp x21,x22,[x9,#16]\nstp x23,x24,[x9,#32]\nstp x25,x26,[x9,#48]\n"
        "stp x27,x28,[x9,#64]\nstp x29,x30,[x9,#80]\nstp d8,d9,[x9,#96]\nstp d10,d11,[x9,#112]\nstp d12,d13,[x9,#128]\n"
        "stp d14,d15,[x9,#144]\nstr x9,[x0]\nldr x9,[x1]\nldp x19,x20,[x9,#0]\nldp x21,x22,[x9,#16]\n"
        "ldp x23,x24,[x9,#32]\nldp x25,x26,[x9,#48]\nldp x27,x28,[x9,#64]\nldp x29,x30,[x9,#80]\nldp d8,d9,[x9,#96]\n"
        "ldp d10,d11,[x9,#112]\nldp d12,d13,[x9,#128]\nldp d14,d15,[x9,#144]\nadd sp,x9,#160\nret\n"
        ".size test_switch,.-test_switch\n");
#define TEST_FRAME_WORDS 20
#define TEST_FRAME_PC 11
#endif

/* A context that starts in `start`, which must not return. top: one past the stack's highest byte, 16-aligned. */
static inline void *test_prepare(void *top, void (*start)(void))
{
    uint64_t *frame = (uint64_t *)top - 2 - TEST_FRAME_WORDS;
    for (int i = 0; i < TEST_FRAME_WORDS + 2; i++)
        frame[i] = 0;
    frame[TEST_FRAME_PC] = (uint64_t)(uintptr_t)start;
    return frame;
}

#endif
