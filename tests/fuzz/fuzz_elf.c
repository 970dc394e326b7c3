/* tests/fuzz/fuzz_elf.c - an ELF file of any origin: headers, build id, sections inflated, by gmr's own readers. */
#include <errno.h>

#include "fuzz.h"
#include "section/build_id.h"
#include "symbol/internal.h"

struct image {
    const uint8_t *data;
    size_t size;
};

static int read_image(void *userdata, uint64_t offset, void *to, size_t bytes)
{
    const struct image *image = userdata;
    if (offset > image->size || bytes > image->size - offset)
        return -EFAULT;
    memcpy(to, image->data + offset, bytes);
    return 0;
}

static void headers(struct image *image)
{
    static struct gmr__elf_header header;
    unsigned char id[GMR__MAX_BUILD_ID];
    uint64_t vaddr;
    if (gmr__elf_header_read(&header, read_image, image) != 0)
        return;
    gmr__elf_header_build_id(&header, read_image, image, false, 0, id);
    gmr__elf_header_build_id(&header, read_image, image, true, 0x10000, id);
    gmr__elf_header_vaddr(&header, 0x1000, true, &vaddr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {".debug_info",    ".debug_line", ".gnu_debugdata",
                                        ".gnu_debuglink", ".symtab",     ".text"};
    struct image image = {data, size};
    elf_version(EV_CURRENT);
    char path[64], text[GMR__BUILD_ID_TEXT];
    unsigned char id[GMR__MAX_BUILD_ID];
    headers(&image);
    fuzz_file(data, size, path);
    if (gmr__build_id_file(path, text, sizeof(text)) == 0 && !memchr(text, 0, sizeof(text)))
        abort();
    void *copy = malloc(size + 1);
    memcpy(copy, data, size);
    struct gmr__elf_file *file = gmr__elf_file_image(copy, size);
    if (!file)
        return 0;
    gmr__elf_file_build_id(file, id);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t bytes;
        free(gmr__elf_file_section_bytes(file, names[i], 1 << 20, &bytes));
    }
    gmr__elf_file_close(file);
    return 0;
}
