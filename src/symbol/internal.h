/*
 * symbol/internal.h - what the files of this layer share: a module's ELF files and how they are found.
 *
 * Inspector only, one thread. Nothing outside src/symbol includes it.
 */
#ifndef GMR_SYMBOL_INTERNAL_H
#define GMR_SYMBOL_INTERNAL_H

#include <elfutils/libdw.h>
#include <libelf.h>

#include "symbol/elf_header.h"
#include "symbol/symbol.h"
#include "sys/mapped.h"

/* An ELF file that is open: on disk, or an image in memory. */
struct gmr__elf_file {
    int fd; /* -1: image */
    Elf *elf;
    struct gmr__mapped mapped; /* of a big file */
    void *image;               /* malloc'ed, owned */
    char *path;                /* for messages and the cache's key; "" for an image */
    uint64_t mtime_ns, size;
};

/* A module with what was found out about it so far. */
struct gmr__module_data {
    struct gmr__module module; /* first: the public part */
    struct gmr__modules *owner;
    const struct gmr__map *first_map; /* where it begins; its path, device and inode */
    const struct gmr__map *end_map;   /* behind its last mapping */
    struct gmr__elf_header header;
    size_t index;    /* in the symbolizer's list */
    bool has_header; /* header was in memory, so bias and build id are certain */
    char *path;

    bool changed; /* a file of it, while it was read */
    bool file_tried, debug_tried, alt_tried, mini_tried, cfi_tried;
    struct gmr__elf_file *file;  /* the module's own file, verified */
    struct gmr__elf_file *debug; /* separate debug file */
    struct gmr__elf_file *alt;   /* what dwz moved out */
    struct gmr__elf_file *mini;  /* .gnu_debugdata */
    uint64_t debug_bias;         /* run-time address - address in the debug file */

    Dwarf_CFI *eh_frame, *debug_frame;
    uint64_t debug_frame_bias;
    struct gmr__elf_file *frame_file; /* holds .debug_frame for frame_dwarf */
    Dwarf *frame_dwarf;
};

struct gmr__modules {
    const struct gmr__snapshot *snapshot;
    struct gmr__module_data **list; /* sorted by start */
    size_t count, cap;
    struct gmr__module_data *last; /* found last */
    int root;                      /* O_PATH of snapshot->root, -1 none, -2 not tried */
    const char *debug_directory;
    char *const *files; /* of a stored report: ELF files that the user named */
    size_t file_count;
    const char *debuginfod_urls; /* NULL: never ask */
    unsigned debuginfod_timeout_ms;
    uint64_t debuginfod_left_ns; /* of the time for all files */
    bool debuginfod_spent;
    uint64_t image_bytes; /* of files put together from memory */
};

/* --- elf_file.c */
struct gmr__elf_file *gmr__elf_file_open(int fd, const char *path);   /* takes fd; NULL: not an ELF file (fd closed) */
struct gmr__elf_file *gmr__elf_file_image(void *image, size_t bytes); /* takes image */
void gmr__elf_file_close(struct gmr__elf_file *file);
/* Has somebody written to it or truncated it since it was opened? Then what was read of it may be of two files. */
bool gmr__elf_file_changed(const struct gmr__elf_file *file);
/* A section by name with its header; NULL if there is none. */
Elf_Scn *gmr__elf_file_section(struct gmr__elf_file *file, const char *name, GElf_Shdr *shdr);
/* Its bytes, inflated where they are compressed: malloc'ed, at most max_bytes. NULL if it can't be had. */
unsigned char *gmr__elf_file_section_bytes(struct gmr__elf_file *file, const char *name, size_t max_bytes,
                                           size_t *bytes);
/* The same in two steps: where they are and how many they will be, then into a place for so many; false: they can't be had. */
struct gmr__section_bytes {
    const void *data; /* lives as long as the file */
    size_t data_bytes, bytes;
    enum { GMR__PLAIN, GMR__ZLIB, GMR__ZSTD } packing;
};
bool gmr__elf_file_find_bytes(struct gmr__elf_file *file, const char *name, size_t max_bytes,
                              struct gmr__section_bytes *found);
bool gmr__elf_file_get_bytes(const struct gmr__section_bytes *from, void *to);
unsigned gmr__elf_file_build_id(struct gmr__elf_file *file, unsigned char id[GMR__MAX_BUILD_ID]);

/* --- paths.c: opening files as the target sees them */
/* A regular file under the target's root, else as seen from here; never blocks on what is not a file. fd or -errno. */
int gmr__open_in_root(struct gmr__modules *modules, const char *path);
int gmr__open_here(const char *path);
bool gmr__is_regular(const char *directory, const char *name); /* name may be absolute */
bool gmr__is_there(const char *directory, const char *name);   /* whatever it is */

/* --- module_file.c */
struct gmr__elf_file *gmr__module_file(struct gmr__module_data *module); /* NULL: module.problem says why */

/* --- debug_file.c */
struct gmr__elf_file *gmr__module_debug_file(struct gmr__module_data *module); /* NULL: none */
struct gmr__elf_file *gmr__module_alt_file(struct gmr__module_data *module);
struct gmr__elf_file *gmr__module_mini_file(struct gmr__module_data *module);

/* --- debuginfod.c: "debuginfo" of a build id from the servers that were asked for. fd or -errno; path: where it lies. */
int gmr__debuginfod_open(struct gmr__modules *modules, const char *build_id, char *path, size_t path_cap);

#endif
