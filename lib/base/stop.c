/* stop.c - signals as events. SPDX-License-Identifier: Apache-2.0 */
#include "base/stop.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* clang-format off */
const struct option drain_options[] = {
    {.name = "drain-delay", .type = OPTION_DURATION,
     .offset = offsetof(struct drain_config, delay_us), .preset = "0", .argument = "DURATION",
     .summary = "at the stop: serves on for so long, not ready any more"},
    {.name = "drain-timeout", .type = OPTION_DURATION,
     .offset = offsetof(struct drain_config, timeout_us), .preset = "10s", .argument = "DURATION",
     .summary = "longest stop, with the delay"},
};
/* clang-format on */

bool drain_check(const struct drain_config *config, struct error *error)
{
    return config->delay_us == 0 || config->delay_us < config->timeout_us ||
           error_set(error, ERROR_CONFIG, "--drain-delay is not shorter than --drain-timeout");
}

bool stop_open(struct stop *stop, struct error *error)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    stop->asked = stop->signal = 0;
    stop->fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return stop->fd >= 0 || error_set(error, ERROR_SOFTWARE, "signalfd: %s", strerror(errno));
}

void stop_close(struct stop *stop)
{
    close(stop->fd);
}

int stop_asked(struct stop *stop)
{
    struct signalfd_siginfo signal;
    while (read(stop->fd, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        stop->asked++;
        stop->signal = (int)signal.ssi_signo;
    }
    return stop->asked;
}

int stop_wait(struct stop *stop, int other_fd, int64_t deadline_us)
{
    struct pollfd fds[] = {{.fd = stop->fd, .events = POLLIN}, {.fd = other_fd, .events = POLLIN}};
    poll(fds, other_fd < 0 ? 1 : 2, clock_until_ms(deadline_us));
    return stop_asked(stop);
}
