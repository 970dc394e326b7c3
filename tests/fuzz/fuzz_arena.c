/* tests/fuzz/fuzz_arena.c - a section's events, replayed sorted. First byte: view; second: how much scratch there is. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint32_t scratch[65536];
    if (size < 2)
        return 0;
    struct gmr_writer *w = fuzz_writer_new(1 + data[0] % 3);
    struct gmr__section_head head = {.name = "own", .shape = data[0] & 64 ? GMR__SHAPE_LIST : GMR__SHAPE_MAP};
    gmr__doc_begin(w, &(struct gmr__doc){0});
    gmr__section_begin(w, &head);
    size_t room = data[1] == 255 ? sizeof(scratch) : data[1] * sizeof(uint32_t);
    if (data[0] & 128)
        gmr__replay(w, data + 2, size - 2);
    else
        gmr__replay_sorted(w, data + 2, size - 2, scratch, room);
    gmr__section_end(w, GMR__OK, NULL, NULL);
    gmr__doc_end(w, NULL, NULL);
    if (w->view == GMR_VIEW_JSON)
        fuzz_check_json(w->error);
    else if (w->view == GMR_VIEW_TEXT)
        fuzz_check_text();
    return 0;
}
