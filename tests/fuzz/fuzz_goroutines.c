/*
 * tests/fuzz/fuzz_goroutines.c - the goroutines of a Go program whose memory is the input: the list, every runtime.g, their stacks, the function
 * table. First byte: the release; second: how many words change between the copy made ahead and the stop, 12 bytes each (where, value); then the size of the
 * table (4), the table, and the memory at BASE, where runtime.allgs stands first.
 */
#include <errno.h>

#include "fuzz.h"
#include "green/go.h"
#include "green/sources.h"

#define BASE 0x10000u
#define TABLE 0x900000000u
#define CARRIER 7
#define SP 0x800u /* of the OS thread, in the memory */
#define PATCH_BYTES 12
#define MAX_BLOCK (2u << 20) /* what a list that claims millions asks for is not there */

static const uint8_t *table;
static size_t table_bytes, memory_bytes;
static uint8_t memory[1 << 14];
static int minor;
static bool stands;

struct block {
    struct block *next;
};
static struct block *blocks; /* what gmr__green_alloc gave away */

static size_t readable(uint64_t address, size_t bytes, const uint8_t **from)
{
    bool is_table = address >= TABLE;
    uint64_t start = is_table ? TABLE : BASE, size = is_table ? table_bytes : memory_bytes;
    if (address < start || address - start > size)
        return 0;
    *from = (is_table ? table : memory) + (address - start);
    return bytes < size - (address - start) ? bytes : (size_t)(size - (address - start));
}

int gmr__green_read(struct gmr__green *green, uint64_t address, void *to, size_t bytes)
{
    const uint8_t *from = NULL;
    (void)green;
    if (readable(address, bytes, &from) < bytes)
        return -EFAULT;
    if (bytes)
        memcpy(to, from, bytes);
    return 0;
}

void gmr__green_read_many(struct gmr__green *green, struct gmr__green_piece *pieces, size_t count)
{
    (void)green;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = NULL;
        pieces[i].got = (uint32_t)readable(pieces[i].address, pieces[i].bytes, &from);
        if (pieces[i].got)
            memcpy(pieces[i].to, from, pieces[i].got);
    }
}

void *gmr__green_alloc(struct gmr__green *green, size_t bytes)
{
    (void)green;
    struct block *block = bytes < MAX_BLOCK ? calloc(1, sizeof(*block) + bytes) : NULL;
    if (!block)
        return NULL;
    block->next = blocks;
    blocks = block;
    return block + 1;
}

const char *gmr__green_intern(struct gmr__green *green, const char *text)
{
    char *copy = text ? gmr__green_alloc(green, strlen(text) + 1) : NULL;
    return copy ? strcpy(copy, text) : NULL;
}

const struct gmr__thread *gmr__green_stopped(const struct gmr__green *green, size_t *count)
{
    static struct gmr__thread thread;
    (void)green;
    thread.tid = CARRIER;
    thread.regs.value[gmr__arch_sp] = BASE + SP;
    thread.regs.value[gmr__arch_pc] = 0x400010;
    thread.regs.valid = 1ull << gmr__arch_sp | 1ull << gmr__arch_pc;
    thread.stack = (struct gmr__segment){0};
    if (memory_bytes > SP)
        thread.stack =
            (struct gmr__segment){.address = BASE + SP, .bytes = (uint32_t)(memory_bytes - SP), .data = memory + SP};
    *count = stands;
    return &thread;
}

bool gmr__green_out_of_time(const struct gmr__green *green)
{
    (void)green;
    return false;
}

static size_t seen; /* so that nothing is optimised away */

static void look(const struct gmr__language_stack *language)
{
    for (uint32_t i = 0; i < language->frame_count; i++) {
        seen += language->frames[i].function ? strlen(language->frames[i].function) : 0;
        seen += language->frames[i].file ? strlen(language->frames[i].file) : 0;
    }
    seen += language->end ? strlen(language->end) : 0;
}

int gmr__green_emit(struct gmr__green *green, const struct gmr__green_thread *thread)
{
    (void)green;
    look(&thread->language);
    seen += thread->wait_reason ? strlen(thread->wait_reason) : 0;
    for (uint32_t i = 0; i < thread->copy.bytes; i++)
        seen += thread->copy.data[i];
    if (thread->id >> 48 != 0)
        abort();
    return 0;
}

int gmr__green_emit_os_thread(struct gmr__green *green, pid_t tid, const struct gmr__language_stack *language)
{
    (void)green;
    (void)tid;
    look(language);
    return 0;
}

void gmr__green_note(struct gmr__green *green, const char *format, ...)
{
    (void)green;
    seen += strlen(format);
}

/* In place of go_find.c: the input says. */
int gmr__go_find(struct gmr__go *go)
{
    go->minor = minor;
    go->allgs = BASE;
    go->inline_base = BASE + 0xa00;
    go->wait_reasons = BASE + 0xb00;
    return gmr__go_layout(minor, &go->layout) && gmr__go_table_read(&go->table, NULL, TABLE, table_bytes);
}

static void change(const uint8_t *patches, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t where;
        memcpy(&where, patches + i * PATCH_BYTES, sizeof(where));
        if (memory_bytes >= 8)
            memcpy(memory + where % (memory_bytes - 7), patches + i * PATCH_BYTES + 4, 8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gmr__green_source *source = &gmr__green_source_go;
    void *state = NULL;
    uint32_t wanted;
    unsigned patches = size < 2 ? 0 : data[1] % 16;
    size_t head = 2 + patches * PATCH_BYTES;
    if (size < head + sizeof(wanted))
        return 0;
    memcpy(&wanted, data + head, sizeof(wanted));
    minor = 18 + data[0] % 10;
    table = data + head + sizeof(wanted);
    size -= head + sizeof(wanted);
    table_bytes = wanted < size ? wanted : size;
    memory_bytes = size - table_bytes < sizeof(memory) ? size - table_bytes : sizeof(memory);
    memcpy(memory, table + table_bytes, memory_bytes);
    stands = false;
    if (source->find(NULL, &state) > 0) {
        source->ahead(NULL, state);
        stands = true;
        change(data + 2, patches);
        source->collect(NULL, state);
        source->finish(NULL, state);
    }
    source->release(state);
    for (struct block *next; blocks; blocks = next) {
        next = blocks->next;
        free(blocks);
    }
    return 0;
}
