/*
 * symbol/module_file.c - the ELF file that a module was loaded from, found and verified.
 *
 * Inspector only. Tried in this order: the kernel's own link to the mapped file (works for deleted files, needs privilege), the path
 * within the target's root, /proc/PID/exe, the path as seen from here, and last what is left of the file in memory. A file whose build
 * id is not that of the mapped one is never used: names of a newer version would be lies.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/internal.h"
#include "sys/sys.h"

#define MAX_IMAGE_BYTES (UINT64_C(256) << 20)
#define MAX_IMAGES_BYTES (UINT64_C(1) << 30) /* of all modules: a core may claim ten thousand */
#define MAX_VDSO_BYTES (UINT64_C(1) << 20)   /* it is a few pages; a core may claim any size */
#define PAGE UINT64_C(4096)

static bool same_inode(const struct gmr__module_data *m, int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && m->first_map->inode == st.st_ino && m->first_map->inode != 0;
}

static int read_fd(void *userdata, uint64_t offset, void *to, size_t bytes)
{
    ssize_t got = gmr__pread(*(int *)userdata, to, bytes, (int64_t)offset);
    return got == (ssize_t)bytes ? 0 : -EIO;
}

/* Without a build id: are program headers and some of the machine code the same in the file and in memory? */
static bool same_content(const struct gmr__module_data *m, int fd)
{
    struct gmr__elf_header header;
    if (!m->has_header || gmr__elf_header_read(&header, read_fd, &fd) < 0 ||
        memcmp(header.phdrs, m->header.phdrs, sizeof(header.phdrs)) != 0)
        return false;
    unsigned char file[PAGE], memory[PAGE];
    for (unsigned i = 0; i < header.phdr_count; i++) {
        const Elf64_Phdr *p = &header.phdrs[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || (p->p_flags & PF_W))
            continue;
        for (int part = 0; part < 3; part++) {
            uint64_t at = (p->p_filesz / 3 * (uint64_t)part) & ~(PAGE - 1);
            size_t bytes = p->p_filesz - at < PAGE ? p->p_filesz - at : PAGE;
            if (gmr__snapshot_read(m->owner->snapshot, NULL, m->module.bias + p->p_vaddr + at, memory, bytes) < 0) {
                if (!m->first_map->inode) /* a core seldom holds machine code: the headers have to do */
                    continue;
                return false;
            }
            if (read_fd(&fd, p->p_offset + at, file, bytes) < 0 || memcmp(file, memory, bytes) != 0)
                return false;
        }
    }
    return true;
}

/* Takes fd. NULL if it is not the module's file. */
static struct gmr__elf_file *verified(struct gmr__module_data *m, int fd, const char *path, bool certain)
{
    if (fd < 0)
        return NULL;
    bool inode = same_inode(m, fd);
    bool content = m->module.build_id_bytes || inode || certain || same_content(m, fd);
    struct gmr__elf_file *file = gmr__elf_file_open(fd, path);
    if (!file)
        return NULL;
    unsigned char id[GMR__MAX_BUILD_ID];
    unsigned count = gmr__elf_file_build_id(file, id);
    bool same_id = count == m->module.build_id_bytes && memcmp(id, m->module.build_id, count) == 0;
    bool nothing_known = !m->has_header && !m->first_map->inode; /* some cores: neither header nor inode to compare */
    /* Go's linker leaves its GNU build id out of the program headers: memory does not show it, the file does. */
    if (!m->module.build_id_bytes && m->has_header && count > 0)
        same_id = same_content(m, file->fd);
    if (m->module.build_id_bytes ? same_id : m->has_header ? same_id && content : inode || certain || nothing_known)
        return file;
    m->module.deleted = true;
    gmr__elf_file_close(file);
    return NULL;
}

static struct gmr__elf_file *from_map_files(struct gmr__module_data *m)
{
    const struct gmr__snapshot *s = m->owner->snapshot;
    char path[96];
    if (!s->root || strncmp(s->root, "/proc/", 6) != 0)
        return NULL;
    snprintf(path, sizeof(path), "%.*s/map_files/%llx-%llx", (int)(strlen(s->root) - strlen("/root")), s->root,
             (unsigned long long)m->first_map->start, (unsigned long long)m->first_map->end);
    return verified(m, gmr__open_here(path), m->path, true);
}

static struct gmr__elf_file *from_exe(struct gmr__module_data *m)
{
    const struct gmr__snapshot *s = m->owner->snapshot;
    char path[96];
    if (!s->root || strncmp(s->root, "/proc/", 6) != 0 || !s->exe || strcmp(s->exe, m->path) != 0)
        return NULL;
    snprintf(path, sizeof(path), "%.*s/exe", (int)(strlen(s->root) - strlen("/root")), s->root);
    return verified(m, gmr__open_here(path), m->path, false);
}

/* Those that the user of a stored report named: taken by build id alone. */
static struct gmr__elf_file *from_named_files(struct gmr__module_data *m)
{
    for (size_t i = 0; m->module.build_id_bytes && i < m->owner->file_count; i++) {
        struct gmr__elf_file *file = verified(m, gmr__open_here(m->owner->files[i]), m->owner->files[i], false);
        m->module.deleted = false;
        if (file)
            return file;
    }
    return NULL;
}

/* The file's image from what is mapped: enough for call-frame information and dynamic symbols. */
static struct gmr__elf_file *from_memory(struct gmr__module_data *m)
{
    uint64_t bytes = 0, sections_end;
    if (!m->has_header)
        return NULL;
    bool vdso = strcmp(m->module.path, "[vdso]") == 0;
    for (unsigned i = 0; i < m->header.phdr_count; i++) {
        const Elf64_Phdr *p = &m->header.phdrs[i];
        uint64_t end;
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W))
            continue;
        if (__builtin_add_overflow(p->p_offset, p->p_filesz, &end) || end > MAX_IMAGE_BYTES)
            return NULL;
        bytes = end > bytes ? end : bytes;
    }
    if (vdso) /* its section headers are mapped, too */
        bytes = m->module.end - m->module.start;
    /* A file is hardly longer than what is mapped of it; what the headers claim beyond has no bytes here. */
    if (bytes < sizeof(Elf64_Ehdr) || bytes > m->module.end - m->module.start || (vdso && bytes > MAX_VDSO_BYTES) ||
        bytes > MAX_IMAGES_BYTES - m->owner->image_bytes)
        return NULL;
    unsigned char *image = calloc(1, bytes);
    if (!image)
        return NULL;
    m->owner->image_bytes += bytes;
    bool any = false;
    for (unsigned i = 0; i < m->header.phdr_count; i++) {
        const Elf64_Phdr *p = &m->header.phdrs[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W))
            continue;
        uint64_t count = vdso ? bytes : p->p_filesz;
        for (uint64_t at = 0; at < count && p->p_offset + at < bytes; at += PAGE) {
            uint64_t part = count - at < PAGE ? count - at : PAGE;
            part = bytes - p->p_offset - at < part ? bytes - p->p_offset - at : part;
            any |= gmr__snapshot_read(m->owner->snapshot, NULL, m->module.bias + p->p_vaddr + at,
                                      image + p->p_offset + at, part) == 0;
        }
    }
    if (!any) {
        free(image);
        return NULL;
    }
    Elf64_Ehdr *ehdr = (Elf64_Ehdr *)image;
    *ehdr = m->header.ehdr;
    if (__builtin_add_overflow(ehdr->e_shoff, (uint64_t)ehdr->e_shnum * sizeof(Elf64_Shdr), &sections_end) ||
        sections_end > bytes)
        ehdr->e_shoff = ehdr->e_shnum = ehdr->e_shstrndx = 0;
    return gmr__elf_file_image(image, bytes);
}

/* The bias of a module whose header could not be read from memory. */
static void bias_from_file(struct gmr__module_data *m)
{
    uint64_t vaddr;
    for (const struct gmr__map *map = m->first_map; map < m->end_map; map++) {
        if (map->path[0] && gmr__elf_header_vaddr(&m->header, map->offset, map->exec, &vaddr)) {
            m->module.bias = map->start - vaddr;
            return;
        }
    }
}

struct gmr__elf_file *gmr__module_file(struct gmr__module_data *m)
{
    if (m->file_tried)
        return m->file;
    m->file_tried = true;
    if (m->path && m->path[0] == '/') {
        m->file = from_named_files(m);
        if (!m->file)
            m->file = from_map_files(m);
        if (!m->file)
            m->file = verified(m, gmr__open_in_root(m->owner, m->path), m->path, false);
        if (!m->file)
            m->file = from_exe(m);
        if (!m->file)
            m->file = verified(m, gmr__open_here(m->path), m->path, false);
        if (m->file && !m->has_header && gmr__elf_header_read(&m->header, read_fd, &m->file->fd) == 0)
            bias_from_file(m);
    }
    if (!m->file) {
        m->file = from_memory(m);
        if (m->path && m->path[0] == '/')
            m->module.problem = m->module.deleted ? "the file was deleted or replaced"
                                                  : "the file can't be read, or is not the one that runs";
    }
    return m->file;
}

int gmr__modules_read(struct gmr__modules *modules, uint64_t address, void *to, size_t bytes)
{
    struct gmr__module_data *m = (struct gmr__module_data *)gmr__modules_find(modules, address);
    struct gmr__elf_file *file = m ? gmr__module_file(m) : NULL;
    if (!file || file->fd < 0)
        return -EFAULT;
    uint64_t vaddr = address - m->module.bias;
    for (unsigned i = 0; i < m->header.phdr_count; i++) {
        const Elf64_Phdr *p = &m->header.phdrs[i];
        if (p->p_type == PT_LOAD && !(p->p_flags & PF_W) && vaddr >= p->p_vaddr && vaddr - p->p_vaddr < p->p_filesz &&
            bytes <= p->p_filesz - (vaddr - p->p_vaddr))
            return read_fd(&file->fd, p->p_offset + (vaddr - p->p_vaddr), to, bytes) < 0 ? -EFAULT : 0;
    }
    return -EFAULT;
}

bool gmr__module_changed(const struct gmr__module *module)
{
    struct gmr__module_data *m = (struct gmr__module_data *)module;
    const struct gmr__elf_file *files[] = {m->file, m->debug, m->alt};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !m->changed; i++)
        m->changed = files[i] && gmr__elf_file_changed(files[i]);
    if (m->changed)
        m->module.problem = "its file was changed while it was read";
    return m->changed;
}

bool gmr__module_found(const struct gmr__module *module)
{
    struct gmr__module_data *m = (struct gmr__module_data *)module;
    return gmr__module_file(m) || gmr__module_debug_file(m);
}
