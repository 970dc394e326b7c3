/*
 * symbol/symbol.h - modules of a snapshot, and pc -> function, module, file:line, inlined frames.
 *
 * Inspector only, libdw. A module's ELF file is opened when a frame falls in it, its debug information when a line is asked
 * for. Each distinct pc is resolved once.
 */
#ifndef GMR_SYMBOL_SYMBOL_H
#define GMR_SYMBOL_SYMBOL_H

#include "snapshot/snapshot.h"

typedef struct Elf Elf;
typedef struct Dwarf_CFI_s Dwarf_CFI;

struct gmr__modules;

/* One loaded ELF file. */
struct gmr__module {
    uint64_t start, end; /* all of its mappings */
    uint64_t bias;       /* run-time address - address in the file */
    const char *path;    /* as the target names it */
    bool deleted;        /* the file on disk is not the one that runs */
    unsigned char build_id[32];
    uint8_t build_id_bytes; /* 0 if none */
    const char *problem;    /* why it can't be read, NULL if it can */
};

struct gmr__modules *gmr__modules_new(const struct gmr__snapshot *snapshot);
/* Modules of a stored report: none at first, gmr__modules_store adds them. empty: a snapshot without maps. files: ELF files to try first, borrowed. */
struct gmr__modules *gmr__modules_stored(const struct gmr__snapshot *empty, char *const *files, size_t file_count);
/* start, end, bias, path and build id must be set. -EEXIST: it overlaps one that is there. */
int gmr__modules_store(struct gmr__modules *modules, const struct gmr__module *as);
/* Was a file with debug information or symbols found for it? */
bool gmr__module_found(const struct gmr__module *module);
void gmr__modules_free(struct gmr__modules *modules);
size_t gmr__modules_count(const struct gmr__modules *modules);
const struct gmr__module *gmr__modules_at(const struct gmr__modules *modules, size_t index); /* sorted by start */
const struct gmr__module *gmr__modules_find(struct gmr__modules *modules, uint64_t address);
/* hex build id into text[65]; "" if none. Reads it from the mapped memory, so also for deleted files. */
void gmr__module_build_id(const struct gmr__module *module, char text[65]);

/* Has one of its files been written to or truncated while it was in use? Then `problem` says so, and what was read last does not count. */
bool gmr__module_changed(const struct gmr__module *module);

/* Machine code and constants from the module's verified file, for cores that don't hold them. 0 or -EFAULT. */
int gmr__modules_read(struct gmr__modules *modules, uint64_t address, void *to, size_t bytes);

/* Call-frame information for the unwinder; either may come back NULL. bias is to be added to the file's addresses. */
void gmr__module_cfi(struct gmr__modules *modules, const struct gmr__module *module, Dwarf_CFI **eh_frame,
                     uint64_t *eh_bias, Dwarf_CFI **debug_frame, uint64_t *debug_bias);

/* One line of a stack trace. A pc yields its inlined frames innermost first, then the function that holds them. */
struct gmr__symbol {
    const char *function; /* demangled, without parameters or version; NULL if unknown */
    uint64_t offset;      /* of `lookup` from the function's start (only for the last, real frame) */
    const char *file;     /* NULL if unknown */
    int line, column;     /* 0 if unknown */
    bool inlined, tail_call;
    bool guessed;        /* by a JIT compiler's own list, which may be out of date */
    const char *problem; /* NULL, or why more is not known */
};
struct gmr__resolved {
    const struct gmr__module *module; /* NULL if pc is in none */
    const struct gmr__symbol *symbols;
    size_t symbol_count; /* at least 1 */
    uint64_t
        entry; /* run-time address where the real function begins, also if pc is in a part split off; 0 if unknown */
};

struct gmr__symbolizer;
struct gmr__symbolizer_options {
    bool no_lines;                  /* names only */
    const char *debug_directory;    /* NULL: /usr/lib/debug */
    const char *cache_directory;    /* NULL: no cache on disk */
    const char *debuginfod_urls;    /* NULL: never */
    unsigned debuginfod_timeout_ms; /* a file; 0: 10 s */
    unsigned debuginfod_total_ms;   /* all files; 0: 5 minutes */
};
struct gmr__symbolizer *gmr__symbolizer_new(const struct gmr__snapshot *snapshot, struct gmr__modules *modules,
                                            const struct gmr__symbolizer_options *options);
/* Saves first. */
void gmr__symbolizer_free(struct gmr__symbolizer *symbolizer);
/* Writes what was found out to the cache on disk; after the report, for those who end without freeing. */
void gmr__symbolizer_save(struct gmr__symbolizer *symbolizer);

/* lookup: pc for an activation, pc - 1 for a return address. The result lives as long as the symbolizer. NULL without memory. */
const struct gmr__resolved *gmr__symbolize(struct gmr__symbolizer *symbolizer, uint64_t lookup);

/* A function that has left the stack by jumping to the next inner one. */
struct gmr__tail_call {
    uint64_t pc; /* behind the jump */
    const struct gmr__resolved *resolved;
};

/* The functions between a frame (callee_lookup: as for gmr__symbolize) and the one that return_pc returns to, innermost first, where call-site
 * information proves them. Their number, 0 mostly. Lives as long as the symbolizer. */
size_t gmr__symbolize_tail_calls(struct gmr__symbolizer *symbolizer, uint64_t return_pc, uint64_t callee_lookup,
                                 const struct gmr__tail_call **list);

/* The text of a source line, trimmed, if the file is at hand and not newer than the module; NULL if not. Same lifetime. */
const char *gmr__source_line(struct gmr__symbolizer *symbolizer, const char *file, int line);

#endif
