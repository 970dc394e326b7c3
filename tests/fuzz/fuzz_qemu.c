/*
 * tests/fuzz/fuzz_qemu.c - QEMU's coroutines in a process whose memory is the input. First byte: how many words change between the search and the
 * stop, 10 bytes each (where, value); then the heap at HEAP. Stacks lie at STACKS, a guard page below each; their outer ends are the heap's last
 * bytes. All of CODE is code: calls by name with a return address behind. The pointer guard is 0.
 */
#include <errno.h>

#include "fuzz.h"
#include "green/scan.h"
#include "green/sources.h"

#define HEAP 0x10000u
#define HEAP_BYTES (1u << 14)
#define CODE 0x400000u
#define CODE_BYTES 0x10000u
#define STACKS 0x7f0000000000u
#define STACK_BYTES 0x10000u
#define STACK_EVERY 0x20000u
#define COUNT 8
#define PATCH_BYTES 10

static uint8_t heap[HEAP_BYTES];
static size_t heap_bytes;
static struct gmr__map maps[COUNT + 2];
static struct gmr__snapshot snapshot = {
    .pid = 1, .exe = "/usr/bin/qemu-io", .method = "", .maps = maps, .map_count = COUNT + 2};
static size_t seen, emitted;

static int byte_at(uint64_t address, uint8_t *to)
{
    static const uint8_t call[8] = {0x90, 0x90, 0x90, 0xe8, 0, 0, 0, 0};
    const struct gmr__map *map = gmr__snapshot_map(&snapshot, address);
    if (!map)
        return -EFAULT;
    if (map->exec)
        *to = call[address % 8];
    else if (map->start == HEAP && address - HEAP >= heap_bytes)
        return -EFAULT;
    else if (map->start == HEAP)
        *to = heap[address - HEAP];
    else
        *to = map->end - address <= heap_bytes ? heap[heap_bytes - (map->end - address)] : 0;
    return 0;
}

int gmr__green_read(struct gmr__green *green, uint64_t address, void *to, size_t bytes)
{
    struct gmr__green_piece piece = {.address = address, .to = to, .bytes = (uint32_t)bytes};
    gmr__green_read_many(green, &piece, 1);
    return piece.got == bytes ? 0 : -EFAULT;
}

void gmr__green_read_many(struct gmr__green *green, struct gmr__green_piece *pieces, size_t count)
{
    (void)green;
    for (size_t i = 0; i < count; i++)
        for (pieces[i].got = 0; pieces[i].got < pieces[i].bytes; pieces[i].got++)
            if (byte_at(pieces[i].address + pieces[i].got, (uint8_t *)pieces[i].to + pieces[i].got) != 0)
                break;
}

int gmr__green_read_string(struct gmr__green *green, uint64_t address, char *to, size_t cap)
{
    size_t used = 0;
    (void)green;
    for (; used < cap - 1; used++)
        if (byte_at(address + used, (uint8_t *)to + used) != 0)
            return -EFAULT;
        else if (to[used] == 0)
            break;
    to[used] = 0;
    return (int)used;
}

const struct gmr__snapshot *gmr__green_snapshot(const struct gmr__green *green)
{
    (void)green;
    return &snapshot;
}

int gmr__green_symbol(struct gmr__green *green, const char *module, const char *name, uint64_t *address, uint64_t *size)
{
    (void)green;
    (void)module;
    (void)name;
    (void)address;
    (void)size;
    return -ENOENT;
}

int gmr__green_pointer_guard(struct gmr__green *green, uint64_t *guard)
{
    (void)green;
    *guard = 0;
    return 0;
}

bool gmr__green_is_code(struct gmr__green *green, uint64_t address)
{
    (void)green;
    return address - CODE < CODE_BYTES;
}

bool gmr__green_is_return_address(struct gmr__green *green, uint64_t address)
{
    return gmr__green_is_code(green, address) && address % 8 == 0;
}

bool gmr__green_out_of_time(const struct gmr__green *green)
{
    (void)green;
    return false;
}

const struct gmr__thread *gmr__green_stopped(const struct gmr__green *green, size_t *count)
{
    static struct gmr__thread thread;
    (void)green;
    thread.tid = 1;
    thread.regs.value[gmr__arch_sp] = STACKS + STACK_BYTES / 2;
    thread.regs.valid = 1ull << gmr__arch_sp;
    *count = 1;
    return &thread;
}

int gmr__green_emit(struct gmr__green *green, const struct gmr__green_thread *thread)
{
    (void)green;
    seen += thread->wait_reason ? strlen(thread->wait_reason) : 0;
    seen += thread->name ? strlen(thread->name) : 0;
    /* At most one a stack, and its leader. */
    if (thread->stack_low >= thread->stack_high || ++emitted > 2 * COUNT + 1)
        abort();
    return 0;
}

void gmr__green_note(struct gmr__green *green, const char *format, ...)
{
    (void)green;
    seen += strlen(format);
}

bool gmr__scan_is_heap(void *userdata, const struct gmr__map *map)
{
    (void)userdata;
    return map->start == HEAP;
}

/* In place of scan_memory.c: in two pieces, whose border is anywhere. */
bool gmr__scan_memory(struct gmr__green *green, bool (*wanted)(void *userdata, const struct gmr__map *map),
                      void (*see)(void *userdata, uint64_t address, const uint64_t *words, size_t count),
                      void *userdata)
{
    uint64_t words[HEAP_BYTES / 8];
    size_t count = heap_bytes / 8, first = count ? heap[0] % count : 0;
    (void)green;
    memcpy(words, heap, count * 8);
    if (wanted(userdata, &maps[0])) {
        see(userdata, HEAP, words, first);
        see(userdata, HEAP + first * 8, words + first, count - first);
    }
    return true;
}

static void map_all(void)
{
    maps[0] = (struct gmr__map){.start = HEAP, .end = HEAP + HEAP_BYTES, .read = true, .write = true, .path = "[heap]"};
    maps[1] = (struct gmr__map){
        .start = CODE, .end = CODE + CODE_BYTES, .read = true, .exec = true, .path = "/usr/bin/qemu-io"};
    for (size_t i = 0; i < COUNT; i++)
        maps[2 + i] = (struct gmr__map){.start = STACKS + i * STACK_EVERY,
                                        .end = STACKS + i * STACK_EVERY + STACK_BYTES,
                                        .read = true,
                                        .write = true,
                                        .path = ""};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gmr__green_source *source = &gmr__green_source_qemu;
    void *state = NULL;
    if (size < 1 || size - 1 < (size_t)(data[0] % 16) * PATCH_BYTES)
        return 0;
    unsigned patches = data[0] % 16;
    const uint8_t *from = data + 1 + patches * PATCH_BYTES;
    size -= 1 + patches * PATCH_BYTES;
    heap_bytes = size < sizeof(heap) ? size & ~(size_t)7 : sizeof(heap);
    memcpy(heap, from, heap_bytes);
    map_all();
    emitted = 0;
    if (source->find(NULL, &state) > 0) {
        source->ahead(NULL, state);
        for (unsigned i = 0; i < patches; i++) {
            uint16_t where;
            memcpy(&where, data + 1 + i * PATCH_BYTES, 2);
            if (heap_bytes >= 8)
                memcpy(heap + where % (heap_bytes - 7), data + 3 + i * PATCH_BYTES, 8);
        }
        source->collect(NULL, state);
        if (source->finish)
            source->finish(NULL, state);
    }
    source->release(state);
    return 0;
}
