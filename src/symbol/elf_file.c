/*
 * symbol/elf_file.c - an ELF file on disk or in memory, its sections and build id, through libelf.
 *
 * Inspector only. Small files are read; big ones (hundreds of megabytes of debug information) are mapped, since copying them would cost more
 * than all the rest. Either may be written to or truncated meanwhile: gmr__elf_file_changed tells.
 */
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/inflate.h"
#include "symbol/internal.h"
#include "symbol/unzstd.h"

#define MAP_FROM_BYTES (UINT64_C(32) << 20)
#define ZSTD_TYPE 2 /* ELFCOMPRESS_ZSTD, in newer headers */
#define MAX_DEFLATE_RATIO 1032

static uint64_t mtime_of(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

struct gmr__elf_file *gmr__elf_file_open(int fd, const char *path)
{
    struct gmr__elf_file *file = calloc(1, sizeof(*file));
    struct stat st;
    if (!file || fstat(fd, &st) < 0)
        goto fail;
    file->fd = fd;
    file->size = (uint64_t)st.st_size;
    file->mtime_ns = mtime_of(&st);
    file->path = strdup(path);
    /* Not ELF_C_READ_MMAP: libelf looks at its mapping before anyone could know where it is. */
    if (file->size >= MAP_FROM_BYTES && gmr__map_file(&file->mapped, fd, (size_t)file->size) == 0)
        file->elf = elf_memory((char *)file->mapped.bytes, file->mapped.size);
    else
        file->elf = elf_begin(fd, ELF_C_READ, NULL);
    if (!file->path || !file->elf || elf_kind(file->elf) != ELF_K_ELF)
        goto fail;
    return file;
fail:
    if (file) {
        elf_end(file->elf);
        gmr__unmap_file(&file->mapped);
        free(file->path);
    }
    free(file);
    close(fd);
    return NULL;
}

bool gmr__elf_file_changed(const struct gmr__elf_file *file)
{
    struct stat st;
    if (file->fd < 0)
        return false;
    return file->mapped.lost || fstat(file->fd, &st) < 0 || (uint64_t)st.st_size != file->size ||
           mtime_of(&st) != file->mtime_ns;
}

struct gmr__elf_file *gmr__elf_file_image(void *image, size_t bytes)
{
    struct gmr__elf_file *file = calloc(1, sizeof(*file));
    if (!file) {
        free(image);
        return NULL;
    }
    file->fd = -1;
    file->image = image;
    file->size = bytes;
    file->path = strdup("");
    file->elf = elf_memory(image, bytes);
    if (!file->path || !file->elf || elf_kind(file->elf) != ELF_K_ELF) {
        gmr__elf_file_close(file);
        return NULL;
    }
    return file;
}

void gmr__elf_file_close(struct gmr__elf_file *file)
{
    if (!file)
        return;
    elf_end(file->elf);
    gmr__unmap_file(&file->mapped);
    if (file->fd >= 0)
        close(file->fd);
    free(file->image);
    free(file->path);
    free(file);
}

Elf_Scn *gmr__elf_file_section(struct gmr__elf_file *file, const char *name, GElf_Shdr *shdr)
{
    size_t names;
    if (elf_getshdrstrndx(file->elf, &names) < 0)
        return NULL;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(file->elf, scn)) != NULL;) {
        if (!gelf_getshdr(scn, shdr))
            continue;
        const char *found = elf_strptr(file->elf, names, shdr->sh_name);
        if (found && strcmp(found, name) == 0)
            return scn;
    }
    return NULL;
}

/* A header claims a size; memory is taken only for what the compressed bytes can yield. */
static bool plausible(const struct gmr__section_bytes *found)
{
    if (found->packing == GMR__ZLIB)
        return found->bytes / MAX_DEFLATE_RATIO <= found->data_bytes;
    return found->packing != GMR__ZSTD || gmr__unzstd_plausible(found->data, found->data_bytes, found->bytes);
}

/* ".debug_x" may also stand as ".zdebug_x": "ZLIB", eight bytes of size, big-endian, then the stream. */
static bool find_old_style(struct gmr__elf_file *file, const char *name, size_t max_bytes,
                           struct gmr__section_bytes *found)
{
    char old[64];
    GElf_Shdr shdr;
    size_t length = strlen(name);
    if (length + 2 > sizeof(old) || name[0] != '.')
        return false;
    old[0] = '.';
    old[1] = 'z';
    memcpy(old + 2, name + 1, length);
    Elf_Scn *scn = gmr__elf_file_section(file, old, &shdr);
    Elf_Data *data = scn ? elf_rawdata(scn, NULL) : NULL;
    if (!data || !data->d_buf || data->d_size < 12 || memcmp(data->d_buf, "ZLIB", 4) != 0)
        return false;
    uint64_t size = 0;
    for (int i = 4; i < 12; i++)
        size = size << 8 | ((const unsigned char *)data->d_buf)[i];
    if (size > max_bytes)
        return false;
    *found = (struct gmr__section_bytes){(const char *)data->d_buf + 12, data->d_size - 12, (size_t)size, GMR__ZLIB};
    return plausible(found);
}

bool gmr__elf_file_find_bytes(struct gmr__elf_file *file, const char *name, size_t max_bytes,
                              struct gmr__section_bytes *found)
{
    GElf_Shdr shdr;
    Elf_Scn *scn = gmr__elf_file_section(file, name, &shdr);
    if (!scn)
        return find_old_style(file, name, max_bytes, found);
    if (shdr.sh_type == SHT_NOBITS)
        return false;
    Elf_Data *data = elf_rawdata(scn, NULL);
    if (!data || !data->d_buf || data->d_size == 0)
        return false;
    *found = (struct gmr__section_bytes){data->d_buf, data->d_size, data->d_size, GMR__PLAIN};
    if (shdr.sh_flags & SHF_COMPRESSED) {
        Elf64_Chdr chdr;
        if (gelf_getclass(file->elf) != ELFCLASS64 || data->d_size < sizeof(chdr))
            return false;
        memcpy(&chdr, data->d_buf, sizeof(chdr));
        if (chdr.ch_type != ELFCOMPRESS_ZLIB && chdr.ch_type != ZSTD_TYPE)
            return false;
        *found =
            (struct gmr__section_bytes){(const char *)data->d_buf + sizeof(chdr), data->d_size - sizeof(chdr),
                                        (size_t)chdr.ch_size, chdr.ch_type == ELFCOMPRESS_ZLIB ? GMR__ZLIB : GMR__ZSTD};
    }
    return found->bytes <= max_bytes && plausible(found);
}

bool gmr__elf_file_get_bytes(const struct gmr__section_bytes *from, void *to)
{
    if (from->packing == GMR__ZLIB)
        return gmr__inflate(from->data, from->data_bytes, to, from->bytes);
    if (from->packing == GMR__ZSTD)
        return gmr__unzstd(from->data, from->data_bytes, to, from->bytes);
    memcpy(to, from->data, from->bytes);
    return true;
}

unsigned char *gmr__elf_file_section_bytes(struct gmr__elf_file *file, const char *name, size_t max_bytes,
                                           size_t *bytes)
{
    struct gmr__section_bytes found;
    if (!gmr__elf_file_find_bytes(file, name, max_bytes, &found))
        return NULL;
    unsigned char *to = malloc(found.bytes + 1);
    if (!to || !gmr__elf_file_get_bytes(&found, to)) {
        free(to);
        return NULL;
    }
    to[found.bytes] = 0;
    *bytes = found.bytes;
    return to;
}

unsigned gmr__elf_file_build_id(struct gmr__elf_file *file, unsigned char id[GMR__MAX_BUILD_ID])
{
    const void *found = NULL;
    ssize_t count = dwelf_elf_gnu_build_id(file->elf, &found);
    if (count <= 0)
        return 0;
    if (count > GMR__MAX_BUILD_ID)
        count = GMR__MAX_BUILD_ID;
    memcpy(id, found, (size_t)count);
    return (unsigned)count;
}
