/*
 * trigger/signal.c - arms and disarms the trigger's signal.
 *
 * Any thread of the program, during setup and shutdown; uses libc. Must never take a signal that the program handles without being told to.
 */
#include <errno.h>
#include <string.h>

#include "trigger/trigger.h"

static int armed_signal;
static struct sigaction former;

static bool ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == gmr__signal_handler;
}

int gmr__signal_arm(int signal, bool replace)
{
    struct sigaction old, action = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    if (sigaction(signal, NULL, &old) != 0)
        return -errno;
    bool free_to_take =
        ours(&old) || (!(old.sa_flags & SA_SIGINFO) && (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN));
    if (!free_to_take && !replace)
        return -EEXIST;
    action.sa_sigaction = gmr__signal_handler;
    sigfillset(&action.sa_mask); /* nobody's handler runs on top of ours: see gmr__heal_eintr() */
    if (sigaction(signal, &action, NULL) != 0)
        return -errno;
    if (!ours(&old))
        former = old;
    armed_signal = signal;
    return 0;
}

void gmr__signal_disarm(void)
{
    struct sigaction now;
    if (armed_signal && sigaction(armed_signal, NULL, &now) == 0 && ours(&now))
        sigaction(armed_signal, &former, NULL);
    armed_signal = 0;
}
