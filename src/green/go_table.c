/*
 * green/go_table.c - a Go program's .gopclntab: from a pc to function, file:line, inlined calls and the size of the frame.
 *
 * Inspector only; called by the Go source. The table is there in every Go program, stripped or not, since the Go runtime itself needs
 * it. Format: Go's src/runtime/symtab.go and src/cmd/link/internal/ld/pcln.go, releases 1.18 and 1.19 (magic fffffff0) and
 * 1.20 on (fffffff1). It comes from the target: every offset is checked.
 */
#include <stdlib.h>
#include <string.h>

#include "green/go.h"
#include "sys/word.h"

#define MAX_TABLE ((uint64_t)512 << 20)
#define MAGIC_118 0xfffffff0u
#define MAGIC_120 0xfffffff1u

/* Offsets in a function's record. */
enum { NAME = 4, PC_SP = 16, PC_FILE = 20, PC_LINE = 24, PC_DATA_COUNT = 28, UNIT = 32, RECORD_BYTES = 40 };

#define PC_DATA_INLINE 2
#define FUNCTION_DATA_INLINE 3

static uint32_t u32_at(const struct gmr__go_table *table, uint64_t offset)
{
    uint32_t value = 0;
    if (offset + 4 <= table->size)
        memcpy(&value, table->bytes + offset, 4);
    return value;
}

static uint64_t u64_at(const struct gmr__go_table *table, uint64_t offset)
{
    return offset + 8 <= table->size ? gmr__word(table->bytes, offset) : 0;
}

bool gmr__go_table_read(struct gmr__go_table *table, struct gmr__green *green, uint64_t address, uint64_t size)
{
    if (size < 72 || size > MAX_TABLE)
        return false;
    table->bytes = malloc(size);
    if (!table->bytes)
        return false;
    table->size = size;
    if (gmr__green_read(green, address, table->bytes, size) != 0)
        return false;
    uint32_t magic = u32_at(table, 0);
    uint64_t part[6];
    for (int i = 0; i < 6; i++)
        part[i] = u64_at(table, 24 + (uint64_t)i * 8);
    uint64_t functions = u64_at(table, 8);
    if ((magic != MAGIC_118 && magic != MAGIC_120) || table->bytes[7] != 8 || functions > size / 8)
        return false;
    for (int i = 1; i < 6; i++)
        if (part[i] >= size)
            return false;
    table->since_120 = magic == MAGIC_120;
    table->quantum = table->bytes[6];
    table->functions = (uint32_t)functions;
    table->text = part[0];
    table->names = (uint32_t)part[1];
    table->units = (uint32_t)part[2];
    table->files = (uint32_t)part[3];
    table->values = (uint32_t)part[4];
    table->lookup = (uint32_t)part[5];
    return (uint64_t)table->lookup + functions * 8 + 8 <= size;
}

static uint32_t entry_at(const struct gmr__go_table *table, uint32_t index)
{
    return u32_at(table, table->lookup + (uint64_t)index * 8);
}

static void set_function(const struct gmr__go_table *table, uint32_t index, struct gmr__go_function *function)
{
    function->entry = table->text + entry_at(table, index);
    function->at = table->lookup + u32_at(table, table->lookup + (uint64_t)index * 8 + 4);
}

bool gmr__go_function(const struct gmr__go_table *table, uint64_t pc, struct gmr__go_function *function)
{
    if (table->functions == 0 || pc < table->text || pc - table->text >= entry_at(table, table->functions))
        return false;
    uint32_t offset = (uint32_t)(pc - table->text), low = 0, high = table->functions;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (entry_at(table, middle) <= offset)
            low = middle;
        else
            high = middle;
    }
    set_function(table, low, function);
    return offset >= entry_at(table, low) && (uint64_t)function->at + RECORD_BYTES <= table->size;
}

uint64_t gmr__go_function_named(const struct gmr__go_table *table, const char *name, uint64_t *end)
{
    for (uint32_t i = 0; i < table->functions; i++) {
        struct gmr__go_function function;
        set_function(table, i, &function);
        const char *found = gmr__go_function_name(table, &function);
        if (found && strcmp(found, name) == 0) {
            *end = table->text + entry_at(table, i + 1);
            return function.entry;
        }
    }
    return 0;
}

/* A NUL-terminated string inside the table. */
static const char *text_at(const struct gmr__go_table *table, uint64_t offset)
{
    if (offset >= table->size || !memchr(table->bytes + offset, 0, table->size - offset))
        return NULL;
    return (const char *)table->bytes + offset;
}

const char *gmr__go_name(const struct gmr__go_table *table, int32_t offset)
{
    return offset < 0 ? NULL : text_at(table, (uint64_t)table->names + (uint32_t)offset);
}

const char *gmr__go_function_name(const struct gmr__go_table *table, const struct gmr__go_function *function)
{
    return gmr__go_name(table, (int32_t)u32_at(table, (uint64_t)function->at + NAME));
}

static bool read_varint(const struct gmr__go_table *table, uint64_t *at, uint32_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 32; shift += 7) {
        if (*at >= table->size)
            return false;
        unsigned char byte = table->bytes[(*at)++];
        *value |= (uint32_t)(byte & 127) << shift;
        if (!(byte & 128))
            return true;
    }
    return false;
}

/* A table of (value delta, pc delta) pairs: the value in force at pc, -1: none. */
static int32_t value_at(const struct gmr__go_table *table, const struct gmr__go_function *function, uint32_t offset,
                        uint64_t pc)
{
    uint64_t at = (uint64_t)table->values + offset, end = function->entry;
    int32_t value = -1;
    if (offset == 0)
        return -1;
    for (bool first = true;; first = false) {
        uint32_t delta, length;
        if (!read_varint(table, &at, &delta) || (delta == 0 && !first) || !read_varint(table, &at, &length))
            return -1;
        value = (int32_t)((uint32_t)value + (delta & 1 ? ~(delta >> 1) : delta >> 1));
        end += (uint64_t)length * table->quantum;
        if (pc < end)
            return value;
    }
}

int32_t gmr__go_frame_bytes(const struct gmr__go_table *table, const struct gmr__go_function *function, uint64_t pc)
{
    return value_at(table, function, u32_at(table, (uint64_t)function->at + PC_SP), pc);
}

int gmr__go_line(const struct gmr__go_table *table, const struct gmr__go_function *function, uint64_t pc,
                 const char **file)
{
    int32_t number = value_at(table, function, u32_at(table, (uint64_t)function->at + PC_FILE), pc);
    *file = NULL;
    if (number >= 0) {
        uint64_t unit = (uint64_t)u32_at(table, (uint64_t)function->at + UNIT) + (uint32_t)number;
        uint32_t offset = u32_at(table, table->units + unit * 4);
        if (offset != UINT32_MAX)
            *file = text_at(table, (uint64_t)table->files + offset);
    }
    int32_t line = value_at(table, function, u32_at(table, (uint64_t)function->at + PC_LINE), pc);
    return line > 0 ? line : 0;
}

int32_t gmr__go_inlined(const struct gmr__go_table *table, const struct gmr__go_function *function, uint64_t pc,
                        uint32_t *tree)
{
    /* Behind the record: pc-data tables, then function data. 1.20 put the function's first line into the record. */
    uint64_t behind = (uint64_t)function->at + RECORD_BYTES + (table->since_120 ? 4 : 0);
    uint32_t pc_tables = u32_at(table, (uint64_t)function->at + PC_DATA_COUNT);
    if (behind > table->size || pc_tables <= PC_DATA_INLINE || pc_tables > 64)
        return -1;
    unsigned data_count = table->bytes[behind - 1];
    if (data_count <= FUNCTION_DATA_INLINE)
        return -1;
    *tree = u32_at(table, behind + (uint64_t)(pc_tables + FUNCTION_DATA_INLINE) * 4);
    if (*tree == UINT32_MAX)
        return -1;
    return value_at(table, function, u32_at(table, behind + PC_DATA_INLINE * 4), pc);
}
