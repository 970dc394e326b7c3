/* tests/unit/view_stand.h - writers into memory, for the unit tests of view/. */
#ifndef GMR_TESTS_VIEW_STAND_H
#define GMR_TESTS_VIEW_STAND_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "view/view.h"

#pragma GCC diagnostic ignored "-Wunused-function" /* no test program needs all of it */
#pragma GCC diagnostic ignored "-Wunused-variable"

static char place[sizeof(struct gmr_writer)] __attribute__((aligned(16)));
static char second_place[sizeof(struct gmr_writer)] __attribute__((aligned(16)));
static unsigned char memory[1 << 20], stream[1 << 20];
static struct gmr__sink_mem sink, stream_sink;

static struct gmr_writer *start(int view)
{
    gmr__sink_mem_init(&sink, memory, sizeof(memory) - 1);
    return gmr__writer_init(place, sizeof(place), view, 0, &sink.sink);
}

static struct gmr_writer *start_wire(int final_view)
{
    gmr__sink_mem_init(&stream_sink, stream, sizeof(stream));
    return gmr__writer_init(second_place, sizeof(second_place), GMR__VIEW_WIRE, final_view, &stream_sink.sink);
}

static const char *text(struct gmr_writer *w)
{
    gmr__writer_flush(w);
    memory[sink.used] = '\0';
    return (const char *)memory;
}

static void begin(struct gmr_writer *w, const char *name, unsigned flags)
{
    struct gmr__section_head head = {.name = name, .title = name, .shape = GMR__SHAPE_MAP, .flags = flags};
    assert_int_equal(gmr__section_begin(w, &head), 0);
}

static struct gmr_writer *start_section(int view)
{
    struct gmr_writer *w = start(view);
    assert_int_equal(gmr__doc_begin(w, &(struct gmr__doc){0}), 0);
    begin(w, "own", GMR__SECTION_OWN);
    return w;
}

static void end_doc(struct gmr_writer *w)
{
    assert_int_equal(gmr__section_end(w, GMR__OK, NULL, NULL), 0);
    assert_int_equal(gmr__doc_end(w, &(struct gmr__doc){.id = "x"}, NULL), 0);
}

#endif
