/*
 * section/build_id.h - a module's build id without libelf. Both halves, async-signal-safe.
 */
#ifndef GMR_SECTION_BUILD_ID_H
#define GMR_SECTION_BUILD_ID_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GMR__BUILD_ID_TEXT 65 /* 32 bytes in hex */

/* Of the ELF image whose headers are mapped at `start` in the process (its own memory, too: nothing is touched directly). 0; -ENOENT: no ELF
 * file there, or it has none; else why it can't be read. "" but for 0. */
int gmr__build_id_memory(pid_t pid, uint64_t start, char *to, size_t cap);
/* Of a file. Only regular files are opened. */
int gmr__build_id_file(const char *path, char *to, size_t cap);

#endif
