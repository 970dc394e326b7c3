/*
 * tests/fuzz/fuzz_symbolize.c - gmr symbolize on a JSON report from anybody, with a file whose build id the report may name: `~` stands for it, so that
 * inputs come as far as its symbols.
 */
#include <errno.h>
#include <gelf.h>

#include "cli/cli.h"
#include "fuzz.h"

static char build_id[65];

static void find_build_id(void)
{
    int fd = open(FUZZ_SMALL, O_RDONLY | O_CLOEXEC);
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    Elf_Scn *section = NULL;
    GElf_Shdr head;
    while ((section = elf_nextscn(elf, section)))
        for (Elf_Data *data = NULL; gelf_getshdr(section, &head) && head.sh_type == SHT_NOTE &&
                                    (data = elf_getdata(section, data)) && !build_id[0];) {
            GElf_Nhdr note;
            size_t name, words, next = gelf_getnote(data, 0, &note, &name, &words);
            for (size_t i = 0; next && note.n_type == NT_GNU_BUILD_ID && i < note.n_descsz && i < 32; i++)
                snprintf(build_id + 2 * i, 3, "%02x", ((const unsigned char *)data->d_buf)[words + i]);
        }
    elf_end(elf);
    close(fd);
    if (!build_id[0]) {
        fprintf(stderr, "%s has no build id\n", FUZZ_SMALL);
        exit(1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t text[1 << 20];
    static const char *const views[] = {"json", "text", "xml"};
    char path[64], small[] = FUZZ_SMALL;
    size_t used = 0;
    if (!build_id[0])
        find_build_id();
    for (size_t i = 0; i < size && used + sizeof(build_id) < sizeof(text); i++) {
        if (data[i] == '~')
            used += (size_t)snprintf((char *)text + used, sizeof(build_id), "%s", build_id);
        else
            text[used++] = data[i];
    }
    fuzz_file(text, used, path);
    char *arguments[] = {"symbolize", "--no-cache", "--file", small, "-f", (char *)views[size % 3],
                         "-o",        "/dev/null",  path,     NULL};
    gmr__cmd_symbolize((int)(sizeof(arguments) / sizeof(arguments[0])) - 1, arguments);
    return 0;
}
