/*
 * green/attach.h - green threads as part of a capture: what stands between capture/ and green/.
 *
 * Inspector only. The capturing process that holds the threads ends with the capture; green threads are copied by the
 * inspector itself, into its own memory, while the capturing process waits for it (for a bounded time):
 *
 *     struct gmr__capture_options options = {...};
 *     struct gmr__green_attach *green = gmr__green_attach(&options, NULL);
 *     gmr__capture_ptrace(pid, &options, &snapshot);
 *     struct gmr__green *set = gmr__green_take(green, snapshot);       // NULL: there is none
 */
#ifndef GMR_GREEN_ATTACH_H
#define GMR_GREEN_ATTACH_H

#include "capture/capture.h"
#include "green/green.h"

struct gmr__green_attach;

/* Sets the hooks of `options`. NULL without memory or descriptors: then the capture goes without green threads. */
struct gmr__green_attach *gmr__green_attach(struct gmr__capture_options *options,
                                            const struct gmr__green_options *green_options);
/* After the capture, with its snapshot (NULL: it failed): finishes and hands over the set, for gmr__green_free (before the
 * snapshot is freed). Frees `attach`, which may be NULL. */
struct gmr__green *gmr__green_take(struct gmr__green_attach *attach, struct gmr__snapshot *snapshot);

#endif
