/* stop.c - signals as events. SPDX-License-Identifier: Apache-2.0 */
#include "base/stop.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { LEAVE_NOW_US = 500 * 1000 };

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

/* Reads the signals in the place of a thread that may be waiting for something else. */
struct watch {
    pthread_t thread;
    struct stop *stop;
    struct log *log;
    int signal_fd;
    int64_t timeout_us;
};

static int signals_open(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void signals_read(struct stop *stop, int fd)
{
    struct signalfd_siginfo signal;
    while (read(fd, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        atomic_store(&stop->signal, (int)signal.ssi_signo);
        atomic_fetch_add(&stop->asked, 1);
    }
}

bool stop_open(struct stop *stop, struct error *error)
{
    *stop = (struct stop){.fd = signals_open()};
    return stop->fd >= 0 || error_set(error, ERROR_SOFTWARE, "signalfd: %s", strerror(errno));
}

static void *watch_run(void *context)
{
    struct watch *watch = context;
    struct stop *stop = watch->stop;
    int64_t leave_us = INT64_MAX;
    while (clock_mono_us() < leave_us) {
        struct pollfd signals = {.fd = watch->signal_fd, .events = POLLIN};
        poll(&signals, 1, leave_us == INT64_MAX ? -1 : clock_until_ms(leave_us));
        int before = atomic_load(&stop->asked);
        signals_read(stop, watch->signal_fd);
        int asked = atomic_load(&stop->asked);
        if (asked == before)
            continue;
        int64_t in_us = asked > 1 ? LEAVE_NOW_US : watch->timeout_us;
        leave_us = clock_earlier_us(leave_us, clock_mono_us() + in_us);
        eventfd_write(stop->fd, 1);
    }
    LOG_EVENT(watch->log, LOG_WARN, "leaving with work in hand");
    _exit(0);
}

bool stop_open_within(struct stop *stop, int64_t timeout_us, struct log *log, struct error *error)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        abort();
    *watch = (struct watch){
        .stop = stop, .log = log, .signal_fd = signals_open(), .timeout_us = timeout_us};
    *stop = (struct stop){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .watch = watch};
    if (watch->signal_fd >= 0 && stop->fd >= 0 &&
        !pthread_create(&watch->thread, NULL, watch_run, watch))
        return true;
    free(watch);
    return error_set(error, ERROR_SOFTWARE, "signals cannot be watched: %s", strerror(errno));
}

void stop_close(struct stop *stop)
{
    if (stop->watch) {
        pthread_cancel(stop->watch->thread);
        pthread_join(stop->watch->thread, NULL);
        close(stop->watch->signal_fd);
        free(stop->watch);
    }
    close(stop->fd);
}

int stop_asked(struct stop *stop)
{
    eventfd_t ignored;
    if (stop->watch)
        eventfd_read(stop->fd, &ignored);
    else
        signals_read(stop, stop->fd);
    return atomic_load(&stop->asked);
}

int stop_wait(struct stop *stop, int other_fd, int64_t deadline_us)
{
    struct pollfd fds[] = {{.fd = stop->fd, .events = POLLIN}, {.fd = other_fd, .events = POLLIN}};
    poll(fds, other_fd < 0 ? 1 : 2, clock_until_ms(deadline_us));
    return stop_asked(stop);
}
