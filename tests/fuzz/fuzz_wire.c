/* tests/fuzz/fuzz_wire.c - the wire's decoder: a stream in pieces, into each view. First byte: view and size of the pieces. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char place[1 << 15] __attribute__((aligned(16)));
    struct gmr__wire_handlers handlers = {.forward_doc = true};
    if (!size)
        return 0;
    int view = 1 + data[0] % 3;
    size_t piece = 1 + data[0] / 3;
    struct gmr_writer *w = fuzz_writer_new(view);
    struct gmr__wire_in *in = gmr__wire_in_init(place, sizeof(place), w, &handlers);
    bool begun = false;
    for (size_t at = 1; at < size; at += piece) {
        gmr__wire_feed(in, data + at, size - at < piece ? size - at : piece);
        begun |= w->in_doc;
    }
    gmr__wire_finish(in, "cut");
    if (w->in_doc)
        abort(); /* whatever came, the document is ended */
    gmr__writer_flush(w);
    if (begun && view == GMR_VIEW_JSON)
        fuzz_check_json(w->error);
    else if (view == GMR_VIEW_TEXT)
        fuzz_check_text();
    return 0;
}
