/* tests/fuzz/fuzz_go.c - a Go program's function table, which comes from the target's memory. The input is the table. */
#include "../../src/green/go_table.c"
#include "fuzz.h"

static const uint8_t *input;

int gmr__green_read(struct gmr__green *green, uint64_t address, void *to, size_t bytes)
{
    (void)green;
    memcpy(to, input + address, bytes);
    return 0;
}

static void ask(const struct gmr__go_table *table, uint64_t pc)
{
    struct gmr__go_function function;
    const char *file;
    uint32_t tree;
    if (!gmr__go_function(table, pc, &function))
        return;
    const char *name = gmr__go_function_name(table, &function);
    if (name && strlen(name) > table->size)
        abort();
    gmr__go_frame_bytes(table, &function, pc);
    gmr__go_line(table, &function, pc, &file);
    if (file && strlen(file) > table->size)
        abort();
    gmr__go_inlined(table, &function, pc, &tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gmr__go_table table = {0};
    uint64_t end;
    input = data;
    if (gmr__go_table_read(&table, NULL, 0, size)) {
        for (uint32_t i = 0; i < table.functions && i < 32; i++) {
            ask(&table, table.text + entry_at(&table, i));
            ask(&table, table.text + entry_at(&table, i) + 5);
        }
        ask(&table, UINT64_MAX);
        gmr__go_function_named(&table, "runtime.allgadd", &end);
    }
    free(table.bytes);
    return 0;
}
