/*
 * trigger/call_as.c - reports asked for by the program's code: the reporter's part.
 *
 * The reporter thread; async-signal-safe. The wish stands in gmr__rt.request; the report is made in memory of its own, which the caller gets.
 */
#include <errno.h>

#include "report/registry.h"
#include "sys/sys.h"
#include "trigger/trigger.h"

void gmr__serve_request(struct gmr__workspace *workspace)
{
    struct gmr__request *request = &gmr__rt.request;
    uint32_t state = GMR__REQUEST_ASKED;
    if (!atomic_compare_exchange_strong(&request->state, &state, GMR__REQUEST_WORKING)) {
        if (state == GMR__REQUEST_ABANDONED)
            atomic_store(&request->state, GMR__REQUEST_FREE);
        gmr__futex_wake(gmr__request_word(request), 8);
        return;
    }
    struct gmr__spool spool;
    gmr__spool_init(&spool);
    struct gmr__wish wish = {.view = request->view,
                             .trigger = "a call of gmr_report_write()",
                             .only_title = request->one_section ? request->title : NULL,
                             .deadline_ns = request->deadline_ns};
    int result = gmr__assemble(workspace, &wish, &spool.sink);
    if (result == 0 && spool.overflow_fd >= 0)
        result = -ENOMEM; /* the rest is in our descriptor table, where the caller can't get at it */
    request->result = result;
    request->chunks = result ? NULL : spool.first;
    state = GMR__REQUEST_WORKING;
    bool handed_over = atomic_compare_exchange_strong(&request->state, &state, GMR__REQUEST_DONE);
    if (!handed_over)
        atomic_store(&request->state, GMR__REQUEST_FREE);
    if (handed_over && !result)
        spool.first = NULL;
    gmr__spool_free(&spool);
    gmr__futex_wake(gmr__request_word(request), 8);
}
