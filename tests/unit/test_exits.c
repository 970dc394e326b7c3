/*
 * tests/unit/test_exits.c - the length of x86-64 instructions, and how a function returns.
 *
 * The decoder was run over the 8 million instructions of libc, libcrypto, libgmp, libavcodec, libx264, libx265 and libSvtAv1Enc, beside objdump;
 * here is one instruction of each kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/exits.h"
#include "arch/x86_64_insn.h"

static void lengths(void **state)
{
    static const struct {
        const char *bytes;
        unsigned length;
    } cases[] = {
        {"\x90", 1},
        {"\xc3", 1},
        {"\x55", 1},
        {"\x41\x57", 2},
        {"\x48\x89\xe5", 3},
        {"\x48\x83\xec\x18", 4},
        {"\x48\x81\xec\x88\x00\x00\x00", 7},
        {"\x48\x8b\x44\x24\x08", 5},
        {"\x48\x8b\x04\x25\x00\x00\x00\x00", 8},
        {"\x66\xb8\x34\x12", 4},
        {"\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10},
        {"\xb8\x01\x02\x03\x04", 5},
        {"\xe8\x00\x00\x00\x00", 5},
        {"\x0f\x84\x00\x00\x00\x00", 6},
        {"\xf6\xc1\x01", 3},
        {"\xf6\xd1", 2},
        {"\xf7\xc1\x01\x00\x00\x00", 6},
        {"\xf7\xd9", 2},
        {"\xff\x25\x00\x00\x00\x00", 6},
        {"\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", 10},
        {"\xf3\x0f\x1e\xfa", 4},
        {"\x0f\x05", 2},
        {"\xc8\x10\x00\x00", 4},
        {"\xa1\x01\x02\x03\x04\x05\x06\x07\x08", 9},
        {"\x66\x0f\x3a\x0f\xc1\x08", 6},
        {"\x66\x0f\x38\x00\xc1", 5},
        {"\xc5\xf8\x77", 3},
        {"\xc5\xf9\x70\xc0\x1b", 5},
        {"\xc4\xe3\x7d\x39\xc1\x01", 6},
        {"\xc4\xe2\xf9\xf7\xc1", 5},
        {"\x62\xf1\x7d\x48\x6f\x44\x24\x01", 8},
        {"\x62\xf3\x7d\x48\x1f\xc1\x00", 7},
        {"\x8f\xe8\xf8\xa3\x2a\x10", 6},
        {"\x8f\xc0", 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char code[GMR__MAX_INSN_BYTES];
        struct gmr__insn insn;
        memset(code, 0x90, sizeof(code));
        memcpy(code, cases[i].bytes, cases[i].length);
        assert_true(gmr__x86_64_decode(code, sizeof(code), &insn));
        assert_int_equal(insn.length, cases[i].length);
        for (size_t less = 0; less < cases[i].length; less++)
            assert_false(gmr__x86_64_decode(code, less, &insn));
    }
}

struct code {
    const char *bytes;
    size_t count;
};

#define AT UINT64_C(0x1000)

static size_t read_code(void *userdata, uint64_t address, void *to, size_t bytes)
{
    const struct code *code = userdata;
    if (address < AT || address - AT >= code->count)
        return 0;
    size_t have = code->count - (size_t)(address - AT);
    memcpy(to, code->bytes + (address - AT), have < bytes ? have : bytes);
    return have < bytes ? have : bytes;
}

#define EXITS(text) gmr__arch_exits(read_code, &(struct code){text, sizeof(text) - 1}, AT, exits)
enum { SP = 7, FP = 6, BX = 3, R10 = 10, R12 = 12 };

static void is_at(const struct gmr__term *term, int base, int offset)
{
    assert_true(term->known);
    assert_false(term->memory);
    assert_int_equal(term->base, base);
    assert_int_equal(term->offset, offset);
}

static void ways_out(void **state)
{
    struct gmr__exit exits[GMR__MAX_EXITS];
    assert_int_equal(EXITS("\xc3"), 1);
    is_at(&exits[0].address, SP, 0);
    is_at(&exits[0].sp, SP, 8);
    /* add $0x18, %rsp; pop %rbx; pop %r12; ret */
    assert_int_equal(EXITS("\x48\x83\xc4\x18\x5b\x41\x5c\xc3"), 1);
    is_at(&exits[0].address, SP, 0x28);
    assert_int_equal(exits[0].count, 2);
    assert_int_equal(exits[0].reg[0], BX);
    assert_true(exits[0].value[0].memory);
    assert_int_equal(exits[0].value[0].offset, 0x18);
    assert_int_equal(exits[0].reg[1], R12);
    assert_int_equal(exits[0].value[1].offset, 0x20);
    /* leave; ret: however far rsp has moved */
    assert_int_equal(EXITS("\x48\x29\xc4\xc9\xc3"), 1);
    is_at(&exits[0].address, FP, 8);
    assert_int_equal(exits[0].reg[0], FP);
    /* at the first instruction: push %rbp; mov %rsp, %rbp; call; leave; ret */
    assert_int_equal(EXITS("\x55\x48\x89\xe5\xe8\x00\x00\x00\x00\xc9\xc3"), 1);
    is_at(&exits[0].address, SP, 0);
    assert_int_equal(exits[0].count, 0);
    /* a realigned stack: mov -8(%rbp), %r10; leave; lea -8(%r10), %rsp; ret */
    assert_int_equal(EXITS("\x4c\x8b\x55\xf8\xc9\x49\x8d\x62\xf8\xc3"), 1);
    assert_true(exits[0].address.memory);
    assert_int_equal(exits[0].address.base, FP);
    assert_int_equal(exits[0].address.offset, -8);
    assert_int_equal(exits[0].address.add, -8);
}

static void branches(void **state)
{
    struct gmr__exit exits[GMR__MAX_EXITS];
    /* je 1f; pop %rbx; ret; 1: add $0x10, %rsp; ret: two ways, which can't both be right; who asks looks at the stack */
    assert_int_equal(EXITS("\x74\x02\x5b\xc3\x48\x83\xc4\x10\xc3"), 2);
    is_at(&exits[0].address, SP, 8);
    is_at(&exits[1].address, SP, 16);
    /* a loop without an end, an invalid instruction, nothing at all */
    assert_int_equal(EXITS("\xeb\xfe"), 0);
    assert_int_equal(EXITS("\x06\xc3"), 0);
    assert_int_equal(EXITS(""), 0);
    /* and $-64, %rsp; ret */
    assert_int_equal(EXITS("\x48\x83\xe4\xc0\xc3"), 0);
    /* jmp *%rax, the last resort */
    assert_int_equal(EXITS("\x5b\xff\xe0"), 1);
    assert_true(exits[0].by_jump);
    is_at(&exits[0].address, SP, 8);
}

static size_t noise(void *userdata, uint64_t address, void *to, size_t bytes)
{
    uint64_t seed = *(uint64_t *)userdata + address;
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        ((unsigned char *)to)[i] = (unsigned char)(seed >> 56);
    }
    return bytes;
}

static void bounded(void **state)
{
    struct gmr__exit exits[GMR__MAX_EXITS];
    for (uint64_t seed = 0; seed < 2000; seed++)
        assert_true(gmr__arch_exits(noise, &seed, AT, exits) <= GMR__MAX_EXITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths),
        cmocka_unit_test(ways_out),
        cmocka_unit_test(branches),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
