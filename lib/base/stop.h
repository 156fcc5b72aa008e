/* stop.h - SIGTERM and SIGINT as one more readable descriptor, with the two-stage stop: the first
 * asks to finish what is in hand, the second to leave now. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_STOP_H
#define BASE_STOP_H

#include "base/error.h"
#include "base/log.h"
#include "base/option.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct stop {
    int fd; /* readable when a signal waits */
    atomic_int asked;
    atomic_int signal;   /* the last one's number: SIGINT is a person's Ctrl-C; 0: none */
    struct watch *watch; /* NULL: signals are read where they are asked for */
};

/* How a daemon that clients come to leaves: it serves on for a while, and is gone in time. */
struct drain_config {
    int64_t delay_us, timeout_us;
};
enum { DRAIN_OPTION_COUNT = 2 };
extern const struct option drain_options[];

/* False, ERROR_CONFIG, when the delay is not shorter than the timeout. */
bool drain_check(const struct drain_config *config, struct error *error)
    __attribute__((warn_unused_result));

/* Blocks the signals (call before any thread starts) and ignores SIGPIPE. */
bool stop_open(struct stop *stop, struct error *error) __attribute__((warn_unused_result));

/* As stop_open, for a daemon: whatever it waits for then, the process ends (with 0, and a warning)
 * `timeout_us` behind the first signal, and half a second behind the second. What was in hand is as
 * behind a kill -9. */
bool stop_open_within(struct stop *stop, int64_t timeout_us, struct log *log, struct error *error)
    __attribute__((warn_unused_result));
void stop_close(struct stop *stop);

/* How often a stop was asked for so far: 0 go on, 1 drain, 2 leave now. Does not block. */
int stop_asked(struct stop *stop);

/* Waits until a stop is asked for, `other_fd` (or -1) is readable, or the monotonic deadline. */
int stop_wait(struct stop *stop, int other_fd, int64_t deadline_us);

#endif
