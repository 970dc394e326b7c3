/*
 * symbol/debug_file.c - where a module's debug information lies: separate debug files, dwz's shared file, mini debug info.
 *
 * Inspector only. A separate file is looked up by build id, then by .gnu_debuglink (its checksum must match), last through
 * debuginfod if the user asked for that. Files are searched in the target's root first, then here. Nothing is used whose
 * build id or checksum does not match.
 */
#include <errno.h>
#include <limits.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "symbol/internal.h"
#include "sys/sys.h"

#define MAX_LINK_BYTES 8192
#define MAX_MINI_BYTES ((size_t)64 << 20)
#define MAX_CRC_BYTES (UINT64_C(1) << 31)

static bool has_id(struct gmr__elf_file *file, const unsigned char *id, unsigned id_bytes)
{
    unsigned char found[GMR__MAX_BUILD_ID];
    return gmr__elf_file_build_id(file, found) == id_bytes && memcmp(found, id, id_bytes) == 0;
}

static struct gmr__elf_file *open_file(struct gmr__modules *modules, const char *path, bool here)
{
    int fd = here ? gmr__open_here(path) : gmr__open_in_root(modules, path);
    return fd < 0 ? NULL : gmr__elf_file_open(fd, path);
}

static void hex(const unsigned char *id, unsigned count, char *text)
{
    struct gmr__module as = {.build_id_bytes = (uint8_t)count};
    memcpy(as.build_id, id, count);
    gmr__module_build_id(&as, text);
}

/* DEBUGDIR/.build-id/ab/cdef....debug */
static struct gmr__elf_file *by_build_id(struct gmr__modules *modules, const unsigned char *id, unsigned count)
{
    char text[65], path[PATH_MAX];
    if (count < 2)
        return NULL;
    hex(id, count, text);
    if (snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", modules->debug_directory, text, text + 2) >=
        (int)sizeof(path))
        return NULL;
    for (int here = 0; here < 2; here++) {
        struct gmr__elf_file *file = open_file(modules, path, here);
        if (file && has_id(file, id, count))
            return file;
        gmr__elf_file_close(file);
    }
    return NULL;
}

static bool crc_matches(struct gmr__elf_file *file, uint32_t wanted)
{
    static unsigned char bytes[1 << 16];
    uLong crc = crc32(0, NULL, 0);
    if (file->size > MAX_CRC_BYTES)
        return false;
    for (uint64_t at = 0; at < file->size;) {
        ssize_t got = gmr__pread(file->fd, bytes, sizeof(bytes), (int64_t)at);
        if (got <= 0)
            return false;
        crc = crc32(crc, bytes, (uInt)got);
        at += (uint64_t)got;
    }
    return crc == wanted;
}

static bool link_fits(struct gmr__module_data *m, struct gmr__elf_file *file, uint32_t crc)
{
    unsigned char id[GMR__MAX_BUILD_ID];
    unsigned count = gmr__elf_file_build_id(file, id);
    if (count && m->module.build_id_bytes)
        return count == m->module.build_id_bytes && memcmp(id, m->module.build_id, count) == 0;
    return crc_matches(file, crc);
}

/* .gnu_debuglink: a name, padding to four bytes, a CRC of the whole file. */
static struct gmr__elf_file *by_link(struct gmr__module_data *m)
{
    size_t count;
    unsigned char *link = gmr__elf_file_section_bytes(m->file, ".gnu_debuglink", MAX_LINK_BYTES, &count);
    struct gmr__elf_file *found = NULL;
    size_t name_bytes = link ? strnlen((char *)link, count) : 0;
    size_t crc_at = (name_bytes + 4) & ~(size_t)3;
    if (name_bytes == 0 || crc_at + 4 > count || memchr(link, '/', name_bytes)) {
        free(link);
        return NULL;
    }
    uint32_t crc;
    memcpy(&crc, link + crc_at, sizeof(crc));
    const char *slash = strrchr(m->path, '/');
    int directory = slash ? (int)(slash - m->path) : 0;
    for (int i = 0; i < 6 && !found; i++) {
        char path[PATH_MAX];
        int length = i / 2 == 0   ? snprintf(path, sizeof(path), "%.*s/%s", directory, m->path, link)
                     : i / 2 == 1 ? snprintf(path, sizeof(path), "%.*s/.debug/%s", directory, m->path, link)
                                  : snprintf(path, sizeof(path), "%s%.*s/%s", m->owner->debug_directory, directory,
                                             m->path, link);
        if (length >= (int)sizeof(path))
            continue;
        found = open_file(m->owner, path, i & 1);
        if (found && !link_fits(m, found, crc)) {
            gmr__elf_file_close(found);
            found = NULL;
        }
    }
    free(link);
    return found;
}

static struct gmr__elf_file *by_debuginfod(struct gmr__module_data *m)
{
    char text[65], path[PATH_MAX];
    if (!m->owner->debuginfod_urls || !m->module.build_id_bytes)
        return NULL;
    gmr__module_build_id(&m->module, text);
    int fd = gmr__debuginfod_open(m->owner, text, path, sizeof(path));
    struct gmr__elf_file *file = fd < 0 ? NULL : gmr__elf_file_open(fd, path);
    if (file && !has_id(file, m->module.build_id, m->module.build_id_bytes)) {
        gmr__elf_file_close(file);
        return NULL;
    }
    return file;
}

/* Debug files keep their own addresses: after prelink they differ from the module's by a constant. */
static uint64_t bias_of(struct gmr__module_data *m)
{
    size_t count;
    GElf_Phdr phdr;
    uint64_t low = m->header.low;
    for (unsigned i = 0; i < m->header.phdr_count; i++) {
        if (m->header.phdrs[i].p_type != PT_LOAD)
            continue;
        low = m->header.phdrs[i].p_vaddr;
        break;
    }
    if (m->header.phdr_count == 0 || elf_getphdrnum(m->debug->elf, &count) < 0)
        return m->module.bias;
    for (size_t i = 0; i < count && i < GMR__MAX_PHDRS; i++) {
        if (gelf_getphdr(m->debug->elf, (int)i, &phdr) && phdr.p_type == PT_LOAD)
            return m->module.bias + low - phdr.p_vaddr;
    }
    return m->module.bias;
}

static bool has_section(struct gmr__elf_file *file, const char *name, const char *old_name)
{
    GElf_Shdr shdr;
    Elf_Scn *scn = gmr__elf_file_section(file, name, &shdr);
    if (!scn)
        scn = gmr__elf_file_section(file, old_name, &shdr);
    return scn && shdr.sh_type != SHT_NOBITS;
}

struct gmr__elf_file *gmr__module_debug_file(struct gmr__module_data *m)
{
    if (m->debug_tried)
        return m->debug;
    m->debug_tried = true;
    struct gmr__elf_file *file = gmr__module_file(m);
    if (file && has_section(file, ".debug_info", ".zdebug_info"))
        return NULL;
    for (size_t i = 0; m->module.build_id_bytes && i < m->owner->file_count && !m->debug; i++) {
        m->debug = open_file(m->owner, m->owner->files[i], true);
        if (m->debug && (!has_id(m->debug, m->module.build_id, m->module.build_id_bytes) ||
                         !has_section(m->debug, ".debug_info", ".zdebug_info"))) {
            gmr__elf_file_close(m->debug);
            m->debug = NULL;
        }
    }
    if (!m->debug && m->module.build_id_bytes)
        m->debug = by_build_id(m->owner, m->module.build_id, m->module.build_id_bytes);
    if (!m->debug && file)
        m->debug = by_link(m);
    if (!m->debug)
        m->debug = by_debuginfod(m);
    m->debug_bias = m->debug ? bias_of(m) : m->module.bias;
    return m->debug;
}

/* .gnu_debugaltlink: a path, then the build id of the file that dwz made. */
struct gmr__elf_file *gmr__module_alt_file(struct gmr__module_data *m)
{
    if (m->alt_tried)
        return m->alt;
    m->alt_tried = true;
    struct gmr__elf_file *from = m->debug ? m->debug : m->file;
    size_t count;
    unsigned char *link = from ? gmr__elf_file_section_bytes(from, ".gnu_debugaltlink", MAX_LINK_BYTES, &count) : NULL;
    size_t name_bytes = link ? strnlen((char *)link, count) : 0;
    if (link && name_bytes > 0 && name_bytes + 1 < count && count - name_bytes - 1 <= GMR__MAX_BUILD_ID) {
        const unsigned char *id = link + name_bytes + 1;
        unsigned id_bytes = (unsigned)(count - name_bytes - 1);
        m->alt = by_build_id(m->owner, id, id_bytes);
        const char *slash = strrchr(from->path, '/');
        for (int here = 0; here < 2 && !m->alt; here++) {
            char path[PATH_MAX];
            int length = link[0] == '/' ? snprintf(path, sizeof(path), "%s", link)
                                        : snprintf(path, sizeof(path), "%.*s/%s", slash ? (int)(slash - from->path) : 0,
                                                   from->path, link);
            if (length >= (int)sizeof(path))
                break;
            m->alt = open_file(m->owner, path, here);
            if (m->alt && !has_id(m->alt, id, id_bytes)) {
                gmr__elf_file_close(m->alt);
                m->alt = NULL;
            }
        }
    }
    free(link);
    return m->alt;
}

/* .gnu_debugdata: an ELF file with function symbols only, as xz. */
struct gmr__elf_file *gmr__module_mini_file(struct gmr__module_data *m)
{
    if (m->mini_tried)
        return m->mini;
    m->mini_tried = true;
    size_t count, used_in = 0, used_out = 0;
    unsigned char *packed =
        m->file ? gmr__elf_file_section_bytes(m->file, ".gnu_debugdata", MAX_MINI_BYTES, &count) : NULL;
    if (!packed)
        return NULL;
    for (size_t cap = 8 * count + 4096; cap <= MAX_MINI_BYTES; cap *= 4) {
        uint64_t memory = MAX_MINI_BYTES;
        unsigned char *image = malloc(cap);
        if (!image)
            break;
        used_in = used_out = 0;
        lzma_ret status = lzma_stream_buffer_decode(&memory, 0, NULL, packed, &used_in, count, image, &used_out, cap);
        if (status == LZMA_OK) {
            m->mini = gmr__elf_file_image(image, used_out);
            break;
        }
        free(image);
        if (status != LZMA_BUF_ERROR)
            break;
    }
    free(packed);
    return m->mini;
}
