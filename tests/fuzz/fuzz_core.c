/* tests/fuzz/fuzz_core.c - a core file, all the way: its notes and segments, the modules in it, unwinding, symbols, the report. */
#include "capture/core.h"
#include "fuzz.h"
#include "section/analysis.h"

static void report(struct gmr__analysis *analysis)
{
    static const struct gmr__section_head threads = {.name = "threads", .shape = GMR__SHAPE_LIST};
    static const struct gmr__section_head stacks = {.name = "stacks", .shape = GMR__SHAPE_LIST};
    struct gmr__section_status status = {0};
    struct gmr_writer *w = fuzz_writer_new(GMR_VIEW_JSON);
    gmr__doc_begin(w, &(struct gmr__doc){0});
    gmr__section_begin(w, &threads);
    gmr__section_threads(w, analysis, &status);
    gmr__section_end(w, status.status, status.reason, NULL);
    gmr__section_begin(w, &stacks);
    gmr__section_stacks(w, analysis, &status);
    gmr__section_end(w, status.status, status.reason, NULL);
    gmr__doc_end(w, NULL, NULL);
    fuzz_check_json(w->error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], message[256];
    struct gmr__core *core;
    fuzz_file(data, size, path);
    if (gmr__core_open(path, NULL, &core, message, sizeof(message)) < 0)
        return 0;
    struct gmr__snapshot *snapshot = core->snapshot;
    core->snapshot = NULL; /* the analysis takes it over */
    struct gmr__analysis_options options = {.max_frames = 64};
    struct gmr__analysis *analysis = gmr__analysis_new(snapshot, &options);
    if (analysis)
        report(analysis);
    gmr__analysis_free(analysis);
    gmr__core_close(core);
    return 0;
}
