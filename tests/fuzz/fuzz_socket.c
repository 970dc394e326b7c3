/* tests/fuzz/fuzz_socket.c - the control socket's line, as it comes in pieces from whoever may connect. First byte: size of the pieces. */
#include <sys/socket.h>

#include "fuzz.h"
#include "trigger/trigger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    char names[128];
    struct gmr__wish wish = {0};
    if (!size || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0)
        return 0;
    struct gmr__guest guest = {.fd = ends[0]};
    size_t piece = 1 + data[0];
    for (size_t at = 1; at < size && guest.fd >= 0; at += piece) {
        if (write(ends[1], data + at, size - at < piece ? size - at : piece) < 0)
            break;
        if (gmr__guest_read(&guest, &wish, names, sizeof(names)) != GMR__VERB_NONE)
            break;
    }
    if (wish.only_names && (wish.only_names != names || !memchr(names, 0, sizeof(names))))
        abort();
    close(ends[1]);
    if (guest.fd >= 0) {
        while (guest.fd >= 0 && gmr__guest_read(&guest, &wish, names, sizeof(names)) == GMR__VERB_NONE && guest.used) {
        }
        if (guest.fd >= 0)
            gmr__guest_drop(&guest);
    }
    return 0;
}
