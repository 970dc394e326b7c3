/*
 * section/build_id_as.c - finds NT_GNU_BUILD_ID in an ELF image, in memory or in a file, that may be anything.
 *
 * Both halves, any context: async-signal-safe. Callers: the Package, Modules and Host sections. Another process' memory, and one's own, is read with
 * process_vm_readv, which fails where a pointer would crash. 64-bit ELF of the host's byte order only (what gmr supports). gABI and
 * the kernel's ELF loader are the source of the rules; every offset is checked, since files and memory may lie.
 */
#include "section/build_id.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>

#include "sys/buf.h"
#include "sys/pin.h"
#include "sys/sys.h"

#define MAX_HEADERS 32
#define MAX_NOTES 2048

struct image {
    pid_t pid; /* 0: a file */
    int fd;
    uint64_t start;
    int error; /* why it can't be read, other than that nothing is there */
};

static bool is_read(struct image *image, long n, size_t bytes)
{
    if (n < 0 && n != -EFAULT)
        image->error = (int)n;
    return n == (long)bytes;
}

static bool read_at(struct image *image, uint64_t offset, void *to, size_t bytes)
{
    if (image->pid == 0)
        return offset <= INT64_MAX && is_read(image, gmr__pread(image->fd, to, bytes, (int64_t)offset), bytes);
    uint64_t address;
    if (__builtin_add_overflow(image->start, offset, &address))
        return false;
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)address, bytes};
    return is_read(image, GMR__SYS(SYS_process_vm_readv, image->pid, &local, 1, &remote, 1, 0), bytes) &&
           !gmr__pinned_gone(image->pid, 0);
}

static void put_hex(const unsigned char *bytes, size_t count, char *to, size_t cap)
{
    struct gmr__buf buf;
    gmr__buf_init(&buf, to, cap);
    for (size_t i = 0; i < count; i++) {
        gmr__buf_char(&buf, "0123456789abcdef"[bytes[i] >> 4]);
        gmr__buf_char(&buf, "0123456789abcdef"[bytes[i] & 15]);
    }
}

static size_t aligned(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

static bool find_in_notes(const unsigned char *notes, size_t bytes, char *to, size_t cap)
{
    Elf64_Nhdr note;
    for (size_t at = 0; at + sizeof(note) <= bytes;) {
        gmr__memcpy(&note, notes + at, sizeof(note));
        at += sizeof(note);
        if (note.n_namesz > bytes || note.n_descsz > bytes ||
            aligned(note.n_namesz) + aligned(note.n_descsz) > bytes - at)
            return false;
        const unsigned char *name = notes + at, *value = name + aligned(note.n_namesz);
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && gmr__memcmp(name, "GNU", 4) == 0 &&
            note.n_descsz > 0 && note.n_descsz <= 32) {
            put_hex(value, note.n_descsz, to, cap);
            return true;
        }
        at += aligned(note.n_namesz) + aligned(note.n_descsz);
    }
    return false;
}

/* Where a segment's bytes are: at its offset in the file; in memory at its address, less that of the segment that holds the headers. */
static bool notes_of(struct image *image, const Elf64_Phdr *note, uint64_t first_address, char *to, size_t cap)
{
    unsigned char notes[MAX_NOTES];
    size_t bytes = note->p_filesz < sizeof(notes) ? note->p_filesz : sizeof(notes);
    uint64_t at = image->pid ? note->p_vaddr - first_address : note->p_offset;
    return bytes > 0 && read_at(image, at, notes, bytes) && find_in_notes(notes, bytes, to, cap);
}

static bool find(struct image *image, char *to, size_t cap)
{
    Elf64_Ehdr header;
    Elf64_Phdr program[MAX_HEADERS];
    uint64_t first_address = 0;
    if (!read_at(image, 0, &header, sizeof(header)) || gmr__memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(*program))
        return false;
    size_t count = header.e_phnum < MAX_HEADERS ? header.e_phnum : MAX_HEADERS;
    if (count == 0 || !read_at(image, header.e_phoff, program, count * sizeof(*program)))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (program[i].p_type == PT_LOAD && program[i].p_offset == 0) {
            first_address = program[i].p_vaddr;
            break;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (program[i].p_type == PT_NOTE && notes_of(image, &program[i], first_address, to, cap))
            return true;
    }
    return false;
}

static int result(const struct image *image, bool found)
{
    return found ? 0 : image->error ? image->error : -ENOENT;
}

int gmr__build_id_memory(pid_t pid, uint64_t start, char *to, size_t cap)
{
    struct image image = {.pid = pid, .start = start};
    to[0] = '\0';
    return result(&image, pid > 0 && find(&image, to, cap));
}

int gmr__build_id_file(const char *path, char *to, size_t cap)
{
    struct stat st;
    to[0] = '\0';
    /* Opening a device or a FIFO can do things; looking first costs a call. */
    int error = (int)GMR__SYS(SYS_newfstatat, AT_FDCWD, path, &st, 0, 0, 0);
    if (error < 0 || !S_ISREG(st.st_mode))
        return error < 0 ? error : -ENOENT;
    struct image image = {.fd = gmr__open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK)};
    if (image.fd < 0)
        return image.fd;
    bool found = find(&image, to, cap);
    gmr__close(image.fd);
    return result(&image, found);
}
