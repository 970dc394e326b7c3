/* tests/fuzz/fuzz_stored.c - gmr show and gmr scrub on a JSON report. */
#include "cli/scrub.h"
#include "cli/stored.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char problem[256];
    json_t *root = gmr__stored_parse((const char *)data, size, problem, sizeof(problem));
    if (!root)
        return 0;
    for (int view = GMR_VIEW_TEXT; view <= GMR_VIEW_XML; view++) {
        gmr__sink_mem_init(&fuzz_sink, fuzz_output, sizeof(fuzz_output));
        int error = gmr__stored_render(root, view, &fuzz_sink.sink);
        if (view == GMR_VIEW_JSON)
            fuzz_check_json(error);
        else if (view == GMR_VIEW_TEXT)
            fuzz_check_text();
    }
    gmr__scrub_report(root, true, true);
    gmr__sink_mem_init(&fuzz_sink, fuzz_output, sizeof(fuzz_output));
    fuzz_check_json(gmr__stored_render(root, GMR_VIEW_JSON, &fuzz_sink.sink));
    json_decref(root);
    return 0;
}
