/* collector.h - where spans go: one OTLP/HTTP 1.x endpoint, by libcurl.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_COLLECTOR_H
#define TRACE_COLLECTOR_H

#include "base/buf.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdint.h>

struct collector;

/* What became of a call (OTLP/HTTP, "Failures"). */
enum answer {
    ANSWER_TAKEN,
    ANSWER_LATER,  /* 429, 502, 503, 504, or none: the same may be sent again */
    ANSWER_REFUSED /* any other: it may not */
};

/* Refuses what is no plain URL. `stop_us` is borrowed: a call ends, at most a second late, when
 * that moment (monotonic; 0: none) has come. */
bool collector_open(struct collector **collector, const char *endpoint,
                    const _Atomic int64_t *stop_us, struct error *error)
    __attribute__((warn_unused_result));
void collector_close(struct collector *collector);

/* Posts a request and waits at most `timeout_us`. The error is filled unless it was taken. */
enum answer collector_post(struct collector *collector, const struct buf *json, int64_t timeout_us,
                           struct error *error);

/* Of the last answer: how many spans it did not take, and how long it asks to be left alone
 * (Retry-After; 0: it does not say). */
int64_t collector_rejected(const struct collector *collector);
int64_t collector_retry_after_us(const struct collector *collector);

#endif
