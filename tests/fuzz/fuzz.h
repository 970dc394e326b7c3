/* tests/fuzz/fuzz.h - what the harnesses share: every view of what came out must be well-formed. */
#ifndef GMR_TESTS_FUZZ_H
#define GMR_TESTS_FUZZ_H

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "view/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Output of a harness. What does not fit ends the input, not the run. */
static unsigned char fuzz_output[1 << 22] __attribute__((unused));
static char fuzz_writer[sizeof(struct gmr_writer)] __attribute__((aligned(16), unused));
static struct gmr__sink_mem fuzz_sink __attribute__((unused));

static inline struct gmr_writer *fuzz_writer_new(int view)
{
    gmr__sink_mem_init(&fuzz_sink, fuzz_output, sizeof(fuzz_output));
    return gmr__writer_init(fuzz_writer, sizeof(fuzz_writer), view, view, &fuzz_sink.sink);
}

/* A whole JSON document must parse. (Members twice within the program's own words are the program's.) */
static inline void fuzz_check_json(int error)
{
    json_error_t problem;
    if (error)
        return;
    json_t *root =
        json_loadb((const char *)fuzz_output, fuzz_sink.used, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &problem);
    if (!root && json_error_code(&problem) != json_error_numeric_overflow) {
        fprintf(stderr, "not JSON, byte %d: %s\n%.*s\n", problem.position, problem.text, (int)fuzz_sink.used,
                fuzz_output);
        abort();
    }
    json_decref(root);
}

/* Text must hold no control character but newline and tab. */
static inline void fuzz_check_text(void)
{
    for (size_t i = 0; i < fuzz_sink.used; i++) {
        if ((fuzz_output[i] < 0x20 && fuzz_output[i] != '\n' && fuzz_output[i] != '\t') || fuzz_output[i] == 0x7f)
            abort();
    }
}

/* The input as a file: its descriptor, and a path to open it by. */
static inline int fuzz_file(const uint8_t *data, size_t size, char path[64])
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
