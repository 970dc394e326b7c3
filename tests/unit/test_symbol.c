/*
 * test_symbol.c - modules, names and the symbol cache, on this very process; demangling; ELF headers that lie.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "snapshot/arena.h"
#include "symbol/cache.h"
#include "symbol/demangle.h"
#include "symbol/elf_header.h"
#include "symbol/internal.h"
#include "symbol/pool.h"
#include "symbol/symbol.h"
#include "symbol/symbolizer.h"

/* --------------------------------------------------------------------------------- demangling */

static void demangles(void **state)
{
    static const struct {
        const char *mangled, *plain;
    } names[] = {
        {"main", "main"},
        {"poll@@GLIBC_2.2.5", "poll"},
        {"memcpy@GLIBC_2.14", "memcpy"},
        {"_ZN2ns3fooEi", "ns::foo"},
        {"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back"},
        {"_Z1fIiEvT_", "f<int>"},
        {"_ZN12_GLOBAL__N_13barEv.constprop.0", "(anonymous namespace)::bar"},
        {"_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place"},
        {"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
        {"getpid@plt", "getpid@plt"},
        {"_ZN2ns3fooEi@plt", "ns::foo@plt"},
        {"_Zbroken", "_Zbroken"},
        {"@", "@"},
        {"", ""},
    };
    char text[256], tiny[8];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        gmr__demangle(names[i].mangled, text, sizeof(text));
        assert_string_equal(text, names[i].plain);
        gmr__demangle(names[i].mangled, tiny, sizeof(tiny));
        assert_true(strlen(tiny) < sizeof(tiny));
    }
}

/* Each level doubles the name: 2^60 bytes if nobody stops it. */
static void demangling_is_bounded(void **state)
{
    char mangled[512] = "_Z1f", text[1024];
    for (int i = 0; i < 60; i++) {
        char part[16];
        snprintf(part, sizeof(part), i ? "S%d_S%d_" : "1aIccE", i, i);
        strncat(mangled, i ? "1aI" : "", sizeof(mangled) - strlen(mangled) - 1);
        strncat(mangled, part, sizeof(mangled) - strlen(mangled) - 1);
        strncat(mangled, i ? "E" : "", sizeof(mangled) - strlen(mangled) - 1);
    }
    gmr__demangle(mangled, text, sizeof(text));
    assert_true(strlen(text) < sizeof(text));
}

/* --------------------------------------------------------------------------------- headers */

struct bytes {
    const unsigned char *at;
    size_t count;
};

static int read_bytes(void *userdata, uint64_t offset, void *to, size_t count)
{
    const struct bytes *bytes = userdata;
    if (offset > bytes->count || count > bytes->count - offset)
        return -EFAULT;
    memcpy(to, bytes->at + offset, count);
    return 0;
}

/* Every byte of a real header flipped in turn, and every length: no crash, no read beyond (the sanitizers watch). */
static void headers_that_lie(void **state)
{
    unsigned char original[4096], bytes[4096], id[GMR__MAX_BUILD_ID];
    struct gmr__elf_header header;
    int fd = open("/proc/self/exe", O_RDONLY);
    assert_int_equal(read(fd, original, sizeof(original)), sizeof(original));
    close(fd);
    struct bytes all = {original, sizeof(original)};
    assert_int_equal(gmr__elf_header_read(&header, read_bytes, &all), 0);
    for (size_t i = 0; i < 64 + 56 * 16; i++) {
        memcpy(bytes, original, sizeof(bytes));
        for (int bit = 0; bit < 8; bit++) {
            uint64_t vaddr;
            bytes[i] = original[i] ^ (unsigned char)(1 << bit);
            struct bytes lie = {bytes, sizeof(bytes)};
            if (gmr__elf_header_read(&header, read_bytes, &lie) == 0) {
                gmr__elf_header_vaddr(&header, 0, false, &vaddr);
                gmr__elf_header_build_id(&header, read_bytes, &lie, false, 0, id);
            }
        }
        struct bytes cut = {original, i};
        gmr__elf_header_read(&header, read_bytes, &cut);
    }
}

/* What a core's headers say of a vdso: one page is there, and gigabytes are claimed. */
static unsigned vdso_reads;

static uint64_t claimed_bytes = 4096;

static int read_vdso(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    static unsigned char page[4096];
    uint64_t start = snapshot->maps[0].start;
    Elf64_Phdr load = {
        .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = claimed_bytes, .p_memsz = (uint64_t)1 << 40};
    Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, 1, 1},
                         .e_type = ET_DYN,
                         .e_machine = gmr__arch_elf_machine,
                         .e_phoff = sizeof(header),
                         .e_phentsize = sizeof(load),
                         .e_phnum = 1,
                         .e_shoff = UINT64_MAX - 64,
                         .e_shnum = 2};
    memcpy(page, &header, sizeof(header));
    memcpy(page + sizeof(header), &load, sizeof(load));
    vdso_reads++;
    if (address < start || address - start >= sizeof(page) || bytes > sizeof(page) - (address - start))
        return -EFAULT;
    memcpy(to, page + (address - start), bytes);
    return 0;
}

static void a_vdso_that_claims_gigabytes_is_left_alone(void **state)
{
    struct gmr__snapshot *snapshot = gmr__snapshot_new(0);
    struct gmr__map *map = snapshot ? gmr__snapshot_alloc(snapshot, sizeof(*map)) : NULL;
    assert_non_null(map);
    for (int huge = 0; huge < 2; huge++) {
        *map = (struct gmr__map){.start = 0x7f0000000000,
                                 .end = 0x7f0000000000 + (huge ? 0x106000000 : 0x2000),
                                 .read = true,
                                 .exec = true,
                                 .path = "[vdso]"};
        snapshot->maps = map;
        snapshot->map_count = 1;
        snapshot->read_live = read_vdso;
        struct gmr__modules *modules = gmr__modules_new(snapshot);
        assert_non_null(modules);
        assert_int_equal(gmr__modules_count(modules), 1);
        vdso_reads = 0;
        assert_int_equal(gmr__module_found(gmr__modules_at(modules, 0)), !huge);
        assert_in_range(vdso_reads, 0, 1000);
        gmr__modules_free(modules);
    }
    gmr__snapshot_free(snapshot);
}

/* --------------------------------------------------------------------------------- this process */

static int read_self(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)address, bytes};
    return process_vm_readv(snapshot->pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes ? 0 : -EFAULT;
}

static struct gmr__snapshot *self(void)
{
    struct gmr__snapshot *snapshot = gmr__snapshot_new(getpid());
    char root[64];
    assert_non_null(snapshot);
    snprintf(root, sizeof(root), "/proc/%d/root", (int)getpid());
    snapshot->root = gmr__snapshot_strdup(snapshot, root);
    snapshot->read_live = read_self;
    assert_int_equal(gmr__snapshot_read_maps(snapshot, "/proc", 0), 0);
    return snapshot;
}

__attribute__((noinline)) static int known_function(int n)
{
    __asm__ volatile("");
    return n + 1;
}

static void finds_itself(void **state)
{
    struct gmr__snapshot *snapshot = self();
    struct gmr__modules *modules = gmr__modules_new(snapshot);
    struct gmr__symbolizer *symbolizer = gmr__symbolizer_new(snapshot, modules, NULL);
    uint64_t address = (uint64_t)(uintptr_t)known_function, own = 0, libc = (uint64_t)(uintptr_t)strerror;
    const struct gmr__module *module = gmr__modules_find(modules, address);
    assert_non_null(module);
    assert_true(module->build_id_bytes == 20);
    assert_null(gmr__modules_find(modules, (uint64_t)(uintptr_t)&own)); /* the stack is in none */
    assert_null(gmr__modules_find(modules, 0));
    assert_null(gmr__modules_find(modules, UINT64_MAX));
    const struct gmr__resolved *resolved = gmr__symbolize(symbolizer, address + 1);
    assert_ptr_equal(resolved->module, module);
    assert_string_equal(resolved->symbols[resolved->symbol_count - 1].function, "known_function");
    assert_int_equal(resolved->symbols[resolved->symbol_count - 1].offset, 1);
    assert_non_null(resolved->symbols[0].file);
    assert_non_null(strstr(resolved->symbols[0].file, "test_symbol.c"));
    assert_true(resolved->entry == address);
    assert_ptr_equal(gmr__symbolize(symbolizer, address + 1), resolved);
    assert_string_equal(gmr__symbolize(symbolizer, libc)->symbols[0].offset ? "" : "at its start", "at its start");
    assert_null(gmr__symbolize(symbolizer, 4096)->symbols[0].function);
    assert_int_equal(gmr__symbolize(symbolizer, 4096)->symbol_count, 1);
    gmr__symbolizer_free(symbolizer);
    gmr__modules_free(modules);
    gmr__snapshot_free(snapshot);
    assert_int_equal(known_function(1), 2);
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* A file without an ending is taken for a program's text only where its first line says so. */
static void source_lines_of_scripts(void **state)
{
    struct gmr__snapshot *snapshot = self();
    struct gmr__modules *modules = gmr__modules_new(snapshot);
    struct gmr__symbolizer *symbolizer = gmr__symbolizer_new(snapshot, modules, NULL);
    char script[] = "/tmp/gmr-script-XXXXXX", secret[] = "/tmp/gmr-secret-XXXXXX";
    close(mkstemp(script));
    close(mkstemp(secret));
    put_file(script, "#!/usr/bin/python3\nsys.exit(main())\n");
    put_file(secret, "#!/bin/false\npython = hunter2\n");
    assert_string_equal(gmr__source_line(symbolizer, script, 2), "sys.exit(main())");
    assert_null(gmr__source_line(symbolizer, secret, 2));
    unlink(script);
    unlink(secret);
    gmr__symbolizer_free(symbolizer);
    gmr__modules_free(modules);
    gmr__snapshot_free(snapshot);
}

/* The line is that of the file, unless the file is newer than the program. */
static void source_lines(void **state)
{
    struct gmr__snapshot *snapshot = self();
    struct gmr__modules *modules = gmr__modules_new(snapshot);
    struct gmr__symbolizer *symbolizer = gmr__symbolizer_new(snapshot, modules, NULL);
    char path[] = "/tmp/gmr-source-XXXXXX.c";
    int fd = mkstemps(path, 2);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "one\n\t two \r\n\nfour", 17), 17);
    close(fd);
    assert_string_equal(gmr__source_line(symbolizer, path, 1), "one");
    assert_string_equal(gmr__source_line(symbolizer, path, 2), "two");
    assert_null(gmr__source_line(symbolizer, path, 3));
    assert_string_equal(gmr__source_line(symbolizer, path, 4), "four");
    assert_null(gmr__source_line(symbolizer, path, 5));
    assert_null(gmr__source_line(symbolizer, path, 0));
    assert_null(gmr__source_line(symbolizer, path, INT32_MAX));
    assert_null(gmr__source_line(symbolizer, "/etc/passwd", 1));
    assert_null(gmr__source_line(symbolizer, NULL, 1));
    gmr__symbolizer_free(symbolizer);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    symbolizer = gmr__symbolizer_new(snapshot, modules, NULL);
    gmr__source_seen(symbolizer, path, (uint64_t)(st.st_mtime - 100) * 1000000000);
    assert_null(gmr__source_line(symbolizer, path, 1));
    gmr__symbolizer_free(symbolizer);
    symbolizer = gmr__symbolizer_new(snapshot, modules, NULL);
    gmr__source_seen(symbolizer, path, (uint64_t)(st.st_mtime + 100) * 1000000000);
    assert_string_equal(gmr__source_line(symbolizer, path, 1), "one");
    gmr__symbolizer_free(symbolizer);
    unlink(path);
    gmr__modules_free(modules);
    gmr__snapshot_free(snapshot);
}

/* --------------------------------------------------------------------------------- the cache */

static char directory[64];

static const char *cached_name(uint64_t address, char *text, size_t cap)
{
    struct gmr__snapshot *snapshot = self();
    struct gmr__modules *modules = gmr__modules_new(snapshot);
    struct gmr__symbolizer_options options = {.cache_directory = directory};
    struct gmr__symbolizer *symbolizer = gmr__symbolizer_new(snapshot, modules, &options);
    const struct gmr__resolved *resolved = gmr__symbolize(symbolizer, address);
    const struct gmr__symbol *symbol = &resolved->symbols[resolved->symbol_count - 1];
    snprintf(text, cap, "%s+%llu %s:%d", symbol->function ? symbol->function : "?", (unsigned long long)symbol->offset,
             symbol->file ? symbol->file : "?", symbol->line);
    gmr__symbolizer_free(symbolizer);
    gmr__modules_free(modules);
    gmr__snapshot_free(snapshot);
    return text;
}

/* The file of this program's module. */
static void cache_path(char *path, size_t cap)
{
    struct gmr__snapshot *snapshot = self();
    struct gmr__modules *modules = gmr__modules_new(snapshot);
    char id[65];
    gmr__module_build_id(gmr__modules_find(modules, (uint64_t)(uintptr_t)known_function), id);
    snprintf(path, cap, "%s/%s.sym", directory, id);
    gmr__modules_free(modules);
    gmr__snapshot_free(snapshot);
}

/* Whatever happens to the file, the answer is the same; and the first thing that a reader does with damage is to replace it. */
static void cache_is_safe_to_corrupt(void **state)
{
    uint64_t address = (uint64_t)(uintptr_t)known_function + 1;
    char first[512], again[512], path[256];
    unsigned char bytes[65536], damaged[65536];
    snprintf(directory, sizeof(directory), "/tmp/gmr-cache-XXXXXX");
    assert_non_null(mkdtemp(directory));
    cache_path(path, sizeof(path));
    cached_name(address, first, sizeof(first));
    assert_non_null(strstr(first, "known_function+1 "));
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t count = read(fd, bytes, sizeof(bytes));
    close(fd);
    assert_true(count > 48 && count < (ssize_t)sizeof(bytes));
    for (ssize_t i = 0; i < count; i += 5) {
        memcpy(damaged, bytes, (size_t)count);
        damaged[i] ^= (unsigned char)(1 + i % 255);
        fd = open(path, O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, damaged, (size_t)(i % 3 ? count : i)), i % 3 ? count : i);
        close(fd);
        assert_string_equal(cached_name(address, again, sizeof(again)), first);
    }
    /* Not a file of ours: a link is not followed, and something that is no file does not hang. */
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_string_equal(cached_name(address, again, sizeof(again)), first);
    unlink(path);
    rmdir(directory);
}

/* What the cache tells is what is taken: a name forged with a right checksum shows, one for other debug information does not. */
static void cache_is_used(void **state)
{
    uint64_t address = (uint64_t)(uintptr_t)known_function + 1;
    char text[512], path[256];
    snprintf(directory, sizeof(directory), "/tmp/gmr-cache-XXXXXX");
    assert_non_null(mkdtemp(directory));
    cache_path(path, sizeof(path));
    struct gmr__snapshot *snapshot = self();
    struct gmr__modules *modules = gmr__modules_new(snapshot);
    struct gmr__module_data *m = (struct gmr__module_data *)gmr__modules_find(modules, address);
    struct gmr__symbol symbol = {.function = "from_the_cache", .offset = 7, .file = "x.c", .line = 3};
    struct gmr__cache *cache = gmr__cache_open(directory, m);
    gmr__cache_add(cache, &(struct gmr__cached_pc){address - m->module.bias, 0, &symbol, 1});
    gmr__cache_save(cache);
    gmr__cache_close(cache);
    gmr__modules_free(modules);
    gmr__snapshot_free(snapshot);
    assert_string_equal(cached_name(address, text, sizeof(text)), "from_the_cache+7 x.c:3");
    unlink(path);
    rmdir(directory);
}

/* A core's word for it: no more of a file is put together from memory than is mapped. */
static void a_library_that_claims_more_than_is_mapped_is_left_alone(void **state)
{
    struct gmr__snapshot *snapshot = gmr__snapshot_new(0);
    struct gmr__map *map = snapshot ? gmr__snapshot_alloc(snapshot, sizeof(*map)) : NULL;
    assert_non_null(map);
    *map = (struct gmr__map){
        .start = 0x7f0000000000, .end = 0x7f0000002000, .read = true, .exec = true, .path = "/nowhere/lib.so"};
    snapshot->maps = map;
    snapshot->map_count = 1;
    snapshot->read_live = read_vdso;
    for (int claims = 0; claims < 2; claims++) {
        claimed_bytes = claims ? 200 << 20 : 4096;
        struct gmr__modules *modules = gmr__modules_new(snapshot);
        assert_non_null(modules);
        assert_int_equal(gmr__modules_count(modules), 1);
        vdso_reads = 0;
        assert_int_equal(gmr__module_found(gmr__modules_at(modules, 0)), !claims);
        assert_in_range(vdso_reads, 0, 1000);
        gmr__modules_free(modules);
    }
    claimed_bytes = 4096;
    gmr__snapshot_free(snapshot);
}

/* --------------------------------------------------------------------------------- files that change */

static int file_of(size_t bytes)
{
    char name[] = "/tmp/gmr-mapped-XXXXXX", page[4096];
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    memset(page, 'x', sizeof(page));
    for (size_t at = 0; at < bytes; at += sizeof(page))
        assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
    return fd;
}

static void a_truncated_mapping_reads_as_zeros(void **state)
{
    size_t bytes = 64 * 4096;
    int fds[] = {file_of(bytes), file_of(bytes)};
    struct gmr__mapped mapped[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(gmr__map_file(&mapped[i], fds[i], bytes), 0);
    assert_int_equal(ftruncate(fds[0], 8 * 4096), 0);
    for (size_t at = 0; at < bytes; at += 1024)
        assert_int_equal(mapped[0].bytes[at], at < 8 * 4096 ? 'x' : 0);
    assert_true(mapped[0].lost);
    assert_int_equal(ftruncate(fds[0], 0), 0); /* and again, what is left of it */
    assert_int_equal(ftruncate(fds[0], (off_t)bytes), 0);
    for (size_t at = 0; at < bytes; at += 1024)
        assert_int_equal(mapped[0].bytes[at], 0);
    assert_false(mapped[1].lost);
    assert_int_equal(mapped[1].bytes[bytes - 1], 'x');
    for (int i = 0; i < 2; i++) {
        gmr__unmap_file(&mapped[i]);
        gmr__unmap_file(&mapped[i]);
        close(fds[i]);
    }
    int none = file_of(0);
    assert_true(gmr__map_file(&mapped[0], none, 0) < 0);
    close(none);
}

/* What is not about a mapping of ours ends the process, as it would without the handler. */
static void another_bus_error_is_not_hidden(void **state)
{
    int status, fd = file_of(4096);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGBUS, SIG_DFL);
        struct gmr__mapped mapped;
        const volatile char *other = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        if (gmr__map_file(&mapped, fd, 4096) != 0 || ftruncate(fd, 0) != 0)
            _exit(1);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGALRM, SIG_DFL);
        alarm(60);
        _exit(other[0] + 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) > 2); /* a sanitizer's own way to end */
    close(fd);
}

static void a_changed_elf_file_is_noticed(void **state)
{
    char name[] = "/tmp/gmr-changed-XXXXXX";
    static char bytes[1 << 16];
    int from = open("/proc/self/exe", O_RDONLY), to = mkstemp(name);
    for (ssize_t got; (got = read(from, bytes, sizeof(bytes))) > 0;)
        assert_int_equal(write(to, bytes, (size_t)got), got);
    close(from);
    assert_int_equal(ftruncate(to, 40 << 20), 0); /* big enough to be mapped */
    close(to);
    GElf_Shdr shdr;
    struct gmr__elf_file *file = gmr__elf_file_open(open(name, O_RDONLY | O_CLOEXEC), name);
    assert_non_null(file);
    assert_non_null(file->mapped.bytes);
    assert_false(gmr__elf_file_changed(file));
    assert_non_null(gmr__elf_file_section(file, ".text", &shdr));
    assert_int_equal(truncate(name, 100), 0);
    size_t count;
    free(gmr__elf_file_section_bytes(file, ".strtab", 1 << 30, &count));
    gmr__elf_file_section(file, ".none", &shdr);
    assert_true(gmr__elf_file_changed(file));
    gmr__elf_file_close(file);
    unlink(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demangles),
        cmocka_unit_test(demangling_is_bounded),
        cmocka_unit_test(headers_that_lie),
        cmocka_unit_test(a_vdso_that_claims_gigabytes_is_left_alone),
        cmocka_unit_test(a_library_that_claims_more_than_is_mapped_is_left_alone),
        cmocka_unit_test(finds_itself),
        cmocka_unit_test(source_lines),
        cmocka_unit_test(source_lines_of_scripts),
        cmocka_unit_test(cache_is_safe_to_corrupt),
        cmocka_unit_test(cache_is_used),
        cmocka_unit_test(a_truncated_mapping_reads_as_zeros),
        cmocka_unit_test(another_bus_error_is_not_hidden),
        cmocka_unit_test(a_changed_elf_file_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
