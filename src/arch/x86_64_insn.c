/*
 * arch/x86_64_insn.c - the length of an x86-64 instruction, and the parts that say what it does to the stack pointer.
 *
 * Inspector only; plain data handling on bytes that come from the target. Source: Intel SDM volume 2, chapter 2 and the opcode maps of
 * appendix A. Called by x86_64_code.c and x86_64_exits.c.
 */
#include "arch/x86_64_insn.h"

#include <string.h>

struct cursor {
    const unsigned char *at, *end;
    bool failed;
};

static uint8_t byte(struct cursor *c)
{
    if (c->at >= c->end) {
        c->failed = true;
        return 0;
    }
    return *c->at++;
}

static int64_t number(struct cursor *c, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)byte(c) << 8 * i;
    unsigned unused = bytes ? 64 - 8 * bytes : 0;
    return (int64_t)(value << unused) >> unused;
}

static void operand(struct cursor *c, struct gmr__insn *insn)
{
    insn->has_modrm = true;
    insn->modrm = byte(c);
    unsigned mode = insn->modrm >> 6, rm = insn->modrm & 7;
    if (mode == 3)
        return;
    bool far = mode == 2;
    insn->base = (uint8_t)(rm | (insn->rex & 1) << 3);
    if (rm == 4) {
        uint8_t sib = byte(c);
        bool index = (sib >> 3 & 7) != 4 || insn->rex & 2;
        insn->base = index ? 0xff : (uint8_t)((sib & 7) | (insn->rex & 1) << 3);
        if (mode == 0 && (sib & 7) == 5) {
            insn->base = 0xff;
            far = true;
        }
    } else if (mode == 0 && rm == 5) {
        insn->base = 0xff;
        far = true;
    }
    insn->displacement = (int32_t)(far ? number(c, 4) : mode == 1 ? number(c, 1) : 0);
}

/* Does the instruction of the first map have a ModRM byte? */
static bool has_modrm(uint8_t op)
{
    if (op < 0x40)
        return (op & 7) < 4;
    return op == 0x63 || op == 0x69 || op == 0x6b || (op >= 0x80 && op <= 0x8f) || op == 0xc0 || op == 0xc1 ||
           op == 0xc6 || op == 0xc7 || (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) || op == 0xf6 ||
           op == 0xf7 || op >= 0xfe;
}

static bool exists(uint8_t op)
{
    if (op < 0x40)
        return (op & 7) < 6;
    return op != 0x60 && op != 0x61 && op != 0x82 && op != 0x9a && op != 0xce && op != 0xd4 && op != 0xd5 &&
           op != 0xd6 && op != 0xea;
}

static unsigned immediate_bytes(uint8_t op, const struct gmr__insn *insn, bool word, bool address32)
{
    unsigned z = word && !(insn->rex & 8) ? 2 : 4;
    if (op < 0x40)
        return (op & 7) == 4 ? 1 : (op & 7) == 5 ? z : 0;
    if (op == 0x68 || op == 0x69 || op == 0x81 || op == 0xa9 || op == 0xc7)
        return z;
    if (op == 0x6a || op == 0x6b || (op >= 0x70 && op <= 0x80) || op == 0x83 || op == 0xa8 ||
        (op >= 0xb0 && op <= 0xb7) || op == 0xc0 || op == 0xc1 || op == 0xc6 || op == 0xcd ||
        (op >= 0xe0 && op <= 0xe7) || op == 0xeb)
        return 1;
    if (op >= 0xa0 && op <= 0xa3)
        return address32 ? 4 : 8;
    if (op >= 0xb8 && op <= 0xbf)
        return insn->rex & 8 ? 8 : z;
    if (op == 0xc2 || op == 0xca)
        return 2;
    if (op == 0xc8)
        return 3;
    if (op == 0xe8 || op == 0xe9)
        return 4;
    if ((op == 0xf6 || op == 0xf7) && (insn->modrm >> 3 & 7) < 2)
        return op == 0xf6 ? 1 : z;
    return 0;
}

static bool has_modrm_0f(uint8_t op)
{
    return op != 0x05 && op != 0x06 && !(op >= 0x07 && op <= 0x0c) && op != 0x0e && !(op >= 0x30 && op <= 0x37) &&
           op != 0x77 && !(op >= 0x80 && op <= 0x8f) && !(op >= 0xa0 && op <= 0xa2) && !(op >= 0xa8 && op <= 0xaa) &&
           !(op >= 0xc8 && op <= 0xcf);
}

static unsigned immediate_bytes_0f(uint8_t op)
{
    if (op >= 0x80 && op <= 0x8f)
        return 4;
    return op == 0x0f || (op >= 0x70 && op <= 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 ||
           (op >= 0xc4 && op <= 0xc6);
}

/* VEX, EVEX, XOP. Behind the prefix byte: what it says of the map, then opcode, ModRM byte and perhaps a number. */
static void vector(struct cursor *c, struct gmr__insn *insn, uint8_t prefix)
{
    uint8_t first = byte(c);
    insn->vector = true;
    insn->map = GMR__MAP_0F;
    if (prefix != 0xc5)
        insn->map = first & (prefix == 0x62 ? 7 : 0x1f);
    for (int i = prefix == 0xc5 ? 0 : prefix == 0x62 ? 2 : 1; i > 0; i--)
        byte(c);
    insn->rex = 0; /* the registers named are not of interest */
    insn->opcode = byte(c);
    if (insn->map == GMR__MAP_0F && insn->opcode == 0x77)
        return;
    operand(c, insn);
    if (prefix == 0x8f && insn->map == 0xa)
        number(c, 4);
    else if (insn->map == GMR__MAP_0F3A || (prefix == 0x8f && insn->map == 8) ||
             (insn->map == GMR__MAP_0F && immediate_bytes_0f(insn->opcode)))
        byte(c);
}

static uint8_t skip_prefixes(struct cursor *c, struct gmr__insn *insn, bool *word, bool *address32)
{
    for (;;) {
        uint8_t op = byte(c);
        if (op == 0x66)
            *word = true;
        else if (op == 0x67)
            *address32 = true;
        else if (op != 0x26 && op != 0x2e && op != 0x36 && op != 0x3e && op != 0x64 && op != 0x65 && op != 0xf0 &&
                 op != 0xf2 && op != 0xf3) {
            if ((op & 0xf0) != 0x40)
                return op;
            insn->rex = op;
            return byte(c);
        }
        if (c->failed)
            return 0;
    }
}

bool gmr__x86_64_decode(const unsigned char *code, size_t bytes, struct gmr__insn *insn)
{
    struct cursor c = {code, code + (bytes < GMR__MAX_INSN_BYTES ? bytes : GMR__MAX_INSN_BYTES), false};
    bool word = false, address32 = false;
    memset(insn, 0, sizeof(*insn));
    insn->base = 0xff;
    uint8_t op = skip_prefixes(&c, insn, &word, &address32);
    bool xop = op == 0x8f && c.at < c.end && (*c.at & 0x1f) >= 8;
    if (op == 0xc4 || op == 0xc5 || op == 0x62 || xop) {
        vector(&c, insn, op);
    } else if (op == 0x0f) {
        op = byte(&c);
        insn->map = op == 0x38 ? GMR__MAP_0F38 : op == 0x3a ? GMR__MAP_0F3A : GMR__MAP_0F;
        insn->opcode = insn->map == GMR__MAP_0F ? op : byte(&c);
        if (insn->map != GMR__MAP_0F || has_modrm_0f(op))
            operand(&c, insn);
        insn->immediate = number(&c, insn->map == GMR__MAP_0F     ? immediate_bytes_0f(op)
                                     : insn->map == GMR__MAP_0F3A ? 1
                                                                  : 0);
    } else {
        insn->opcode = op;
        if (!exists(op))
            return false;
        if (has_modrm(op))
            operand(&c, insn);
        insn->immediate = number(&c, immediate_bytes(op, insn, word, address32));
    }
    insn->length = (unsigned)(c.at - code);
    return !c.failed;
}
