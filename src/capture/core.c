/*
 * capture/core.c - a snapshot from a core file: the kernel's, gcore's or any other's.
 *
 * Inspector only; nothing runs here but the reader. Memory that the core does not hold (machine code, usually) is not invented: who needs it reads
 * the verified file instead. A core that was cut short, by a limit or a full disk, yields what is there and says so.
 */
#include "capture/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/core_internal.h"
#include "sys/sys.h"

#define MAX_STACK_BYTES ((uint64_t)1 << 30)

static const struct gmr__core_segment *segment_at(const struct gmr__core *core, uint64_t address)
{
    size_t low = 0, high = core->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct gmr__core_segment *segment = &core->segments[middle];
        if (address < segment->start)
            high = middle;
        else if (address >= segment->end)
            low = middle + 1;
        else
            return segment;
    }
    return NULL;
}

static int read_core(const struct gmr__snapshot *snapshot, uint64_t address, void *to, size_t bytes)
{
    const struct gmr__core *core = snapshot->read_live_data;
    unsigned char *at = to;
    while (bytes > 0) {
        const struct gmr__core_segment *segment = segment_at(core, address);
        if (!segment || address - segment->start >= segment->present)
            return core->read_file ? core->read_file(core->read_file_data, address, at, bytes) : -EFAULT;
        uint64_t offset = address - segment->start;
        size_t part = segment->present - offset < bytes ? (size_t)(segment->present - offset) : bytes;
        memcpy(at, segment->bytes + offset, part);
        at += part;
        address += part;
        bytes -= part;
    }
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const struct gmr__core_segment *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* e_phnum is 16 bits wide; from 65535 segments on the number stands in section header 0. */
static bool program_headers(const struct gmr__core *core, const Elf64_Ehdr *ehdr, size_t *count)
{
    *count = ehdr->e_phnum;
    if (*count == PN_XNUM) {
        Elf64_Shdr shdr;
        if (ehdr->e_shoff > core->size || core->size - ehdr->e_shoff < sizeof(shdr))
            return false;
        memcpy(&shdr, core->bytes + ehdr->e_shoff, sizeof(shdr));
        *count = shdr.sh_info;
    }
    if (ehdr->e_phentsize != sizeof(Elf64_Phdr) || ehdr->e_phoff > core->size)
        return false;
    if (*count > (core->size - ehdr->e_phoff) / sizeof(Elf64_Phdr))
        *count = (core->size - ehdr->e_phoff) / sizeof(Elf64_Phdr);
    return *count > 0 && *count <= GMR__CORE_MAX_SEGMENTS;
}

static void add_segment(struct gmr__core *core, const Elf64_Phdr *p)
{
    uint64_t end, present = p->p_filesz;
    if (p->p_memsz == 0 || __builtin_add_overflow(p->p_vaddr, p->p_memsz, &end))
        return;
    if (p->p_offset > core->size || present > core->size - p->p_offset) {
        uint64_t there = p->p_offset < core->size ? core->size - p->p_offset : 0;
        core->info.cut_bytes += (size_t)(present - there);
        present = there;
    }
    if (present > p->p_memsz)
        present = p->p_memsz;
    core->segments[core->segment_count++] = (struct gmr__core_segment){
        p->p_vaddr, end, core->bytes + (p->p_offset < core->size ? p->p_offset : 0), present, p->p_flags};
}

static int read_segments(struct gmr__core *core, struct gmr__core_notes *notes, const Elf64_Ehdr *ehdr, size_t count)
{
    core->segments = calloc(count, sizeof(*core->segments));
    if (!core->segments)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        Elf64_Phdr p;
        memcpy(&p, core->bytes + ehdr->e_phoff + i * sizeof(p), sizeof(p));
        if (p.p_type == PT_LOAD) {
            add_segment(core, &p);
        } else if (p.p_type == PT_NOTE && p.p_offset < core->size) {
            size_t bytes = core->size - p.p_offset < p.p_filesz ? core->size - p.p_offset : p.p_filesz;
            int error = gmr__core_read_notes(core, notes, core->bytes + p.p_offset, bytes, p.p_align == 8 ? 8 : 4);
            if (error)
                return error;
        }
    }
    qsort(core->segments, core->segment_count, sizeof(*core->segments), by_start);
    /* Overlapping segments are nonsense: the later one loses, so that lookups stay a binary search. */
    size_t kept = 0;
    for (size_t i = 0; i < core->segment_count; i++) {
        if (kept == 0 || core->segments[i].start >= core->segments[kept - 1].end)
            core->segments[kept++] = core->segments[i];
    }
    core->segment_count = kept;
    return 0;
}

static int by_tid(const void *a, const void *b)
{
    const struct gmr__thread *x = a, *y = b;
    return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static void find_stacks(struct gmr__core *core)
{
    struct gmr__snapshot *s = core->snapshot;
    qsort(s->threads, s->thread_count, sizeof(*s->threads), by_tid);
    for (size_t i = 0; i < s->thread_count; i++) {
        struct gmr__thread *thread = &s->threads[i];
        if (thread->tid == core->info.pid) {
            memcpy(thread->name, core->info.name, sizeof(thread->name) - 1);
            if (i > 0) {
                struct gmr__thread leader = *thread;
                memmove(s->threads + 1, s->threads, i * sizeof(*thread));
                s->threads[0] = leader;
            }
        }
    }
    for (size_t i = 0; i < s->thread_count; i++) {
        struct gmr__thread *thread = &s->threads[i];
        if (thread->quality != GMR__THREAD_WHOLE)
            continue;
        uint64_t sp = thread->regs.value[gmr__arch_sp];
        const struct gmr__core_segment *segment = segment_at(core, sp);
        if (!segment || sp - segment->start >= segment->present) {
            thread->quality = GMR__THREAD_NO_STACK;
            thread->reason = "the core does not hold this thread's stack";
            continue;
        }
        uint64_t from = sp - segment->start > gmr__arch_red_zone ? sp - gmr__arch_red_zone : segment->start;
        uint64_t bytes = segment->present - (from - segment->start);
        if (bytes > MAX_STACK_BYTES) {
            bytes = MAX_STACK_BYTES;
            thread->quality = GMR__THREAD_TRUNCATED;
        }
        thread->stack = (struct gmr__segment){from, (uint32_t)bytes, segment->bytes + (from - segment->start)};
        thread->stack_limit = segment->end;
    }
}

static int map_file(struct gmr__core *core, const char *path, char *message, size_t cap)
{
    struct stat st;
    int fd = gmr__open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        snprintf(message, cap, "%s can't be opened: %s", path, strerror(-fd));
        return fd;
    }
    int error = fstat(fd, &st) < 0 ? -errno : 0;
    if (!error && !S_ISREG(st.st_mode)) {
        snprintf(message, cap, "%s is not a file", path);
        error = -ENOEXEC;
    }
    if (!error && (size_t)st.st_size < sizeof(Elf64_Ehdr)) {
        snprintf(message, cap, "%s is too short to be a core file", path);
        error = -ENOEXEC;
    }
    if (!error) {
        core->size = (size_t)st.st_size;
        error = gmr__map_file(&core->file, fd, core->size);
        core->bytes = core->file.bytes;
        if (error)
            snprintf(message, cap, "%s can't be mapped: %s", path, strerror(-error));
    }
    if (error)
        gmr__close(fd);
    return error;
}

static const char *machine_name(const Elf64_Ehdr *ehdr, char *number, size_t cap)
{
    if (ehdr->e_ident[EI_CLASS] != ELFCLASS64)
        return "a 32-bit processor";
    if (ehdr->e_machine == EM_AARCH64)
        return "aarch64";
    if (ehdr->e_machine == EM_X86_64)
        return "x86_64";
    snprintf(number, cap, "another processor (ELF machine %u)", ehdr->e_machine);
    return number;
}

static int check_header(const struct gmr__core *core, const char *path, Elf64_Ehdr *ehdr, size_t *count, char *message,
                        size_t cap)
{
    static const unsigned char zstd[] = {0x28, 0xB5, 0x2F, 0xFD}, lz4[] = {0x04, 0x22, 0x4D, 0x18},
                               xz[] = {0xFD, '7', 'z', 'X'}, gz[] = {0x1F, 0x8B};
    char number[64];
    memcpy(ehdr, core->bytes, sizeof(*ehdr));
    const char *tool = memcmp(core->bytes, zstd, 4) == 0  ? "zstd -d"
                       : memcmp(core->bytes, lz4, 4) == 0 ? "lz4 -d"
                       : memcmp(core->bytes, xz, 4) == 0  ? "xz -d"
                       : memcmp(core->bytes, gz, 2) == 0  ? "gzip -d"
                                                          : NULL;
    if (tool)
        snprintf(message, cap, "%s is compressed; unpack it with %s first", path, tool);
    else if (memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_type != ET_CORE)
        snprintf(message, cap, "%s is not a core file", path);
    else if (ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_machine != gmr__arch_elf_machine)
        snprintf(message, cap,
                 "%s is a core file of %s, this gmr reads those of %s: read it with a gmr for that processor", path,
                 machine_name(ehdr, number, sizeof(number)), gmr__arch_name);
    else if (!program_headers(core, ehdr, count))
        snprintf(message, cap, "%s has no program headers: it is damaged or was cut short", path);
    else
        return 0;
    return -ENOEXEC;
}

static int fill(struct gmr__core *core, const char *path, const char *executable, char *message, size_t cap)
{
    Elf64_Ehdr ehdr;
    size_t count;
    struct gmr__core_notes notes = {0};
    int error = map_file(core, path, message, cap);
    if (!error)
        error = check_header(core, path, &ehdr, &count, message, cap);
    if (error)
        return error;
    core->snapshot = gmr__snapshot_new(0);
    error = core->snapshot ? read_segments(core, &notes, &ehdr, count) : -ENOMEM;
    if (!error)
        error = gmr__core_build_maps(core, &notes, executable);
    free(notes.files);
    if (error) {
        snprintf(message, cap, "%s can't be read: %s", path, strerror(-error));
        return error;
    }
    struct gmr__snapshot *s = core->snapshot;
    if (s->thread_count == 0) {
        snprintf(message, cap, "%s has no threads: it is damaged or was cut short", path);
        return -ENOEXEC;
    }
    s->pid = core->info.pid;
    s->method = "core";
    s->read_live = read_core;
    s->read_live_data = core;
    find_stacks(core);
    if (core->info.cut_bytes) {
        snprintf(message, cap,
                 "The core file was cut short, %zu bytes are missing; see `ulimit -c` and the disk's space.",
                 core->info.cut_bytes);
        s->problem = gmr__snapshot_strdup(s, message);
    }
    return 0;
}

int gmr__core_open(const char *path, const char *executable, struct gmr__core **out, char *message, size_t message_cap)
{
    struct gmr__core *core = calloc(1, sizeof(*core));
    message[0] = 0;
    if (!core)
        return -ENOMEM;
    int error = fill(core, path, executable, message, message_cap);
    if (error) {
        gmr__core_close(core);
        return error;
    }
    *out = core;
    return 0;
}

void gmr__core_close(struct gmr__core *core)
{
    if (!core)
        return;
    gmr__snapshot_free(core->snapshot);
    if (core->bytes) {
        gmr__unmap_file(&core->file);
        gmr__close(core->file.fd);
    }
    free(core->segments);
    free(core);
}
