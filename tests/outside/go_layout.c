/*
 * tests/outside/go_layout.c - is what the table says of a Go release what a program's own debug information says?
 *
 * Tests only. usage: go_layout PROGRAM. Ends with 1, and says what differs, if not; what the table leaves out is no difference.
 */
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "green/go.h"

static int compare(int minor, const struct gmr__go_layout *table, const struct gmr__go_layout *own)
{
    uint16_t a[sizeof(*table) / 2], b[sizeof(*own) / 2];
    int wrong = 0;
    memcpy(a, table, sizeof(a));
    memcpy(b, own, sizeof(b));
    for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++)
        if (a[i] != b[i] && a[i] != 0) {
            printf("1.%d: member %zu of the layout is %u in the table, %u in the program\n", minor, i, a[i], b[i]);
            wrong = 1;
        }
    return wrong;
}

/* The release that built it: "go1.19.8" is in every program. */
static int minor_of(const char *image, size_t bytes)
{
    const char *info = memmem(image, bytes, "\xff Go buildinf:", 14);
    const char *version = info ? memmem(info, bytes - (size_t)(info - image), "go1.", 4) : NULL;
    return version ? atoi(version + 4) : -1;
}

int main(int argc, char **argv)
{
    struct gmr__go_layout table, own;
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    elf_version(EV_CURRENT);
    Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
    size_t bytes;
    const char *image = elf ? elf_rawfile(elf, &bytes) : NULL;
    int minor = image ? minor_of(image, bytes) : -1;
    if (!gmr__go_layout(minor, &table) || !gmr__go_layout_from_dwarf(elf, &own)) {
        printf("1.%d: no row in the table, or no debug information\n", minor);
        return 1;
    }
    elf_end(elf);
    return compare(minor, &table, &own);
}
