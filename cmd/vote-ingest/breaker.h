/* breaker.h - whether Kafka is tried at all: after a failure it is not, until a probe has seen it
 * again and one vote has gone through. SPDX-License-Identifier: Apache-2.0 */
#ifndef BREAKER_H
#define BREAKER_H

#include "base/log.h"

#include <stdatomic.h>
#include <stdbool.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

/* Zero-initialised is closed. Shared by all threads. */
struct breaker {
    _Atomic int state;  /* enum breaker_state */
    _Atomic int trying; /* in BREAKER_HALF_OPEN: one is on its way */
    struct log *log;
};

/* May this one try? Whoever may says afterwards how it went. */
bool breaker_allows(struct breaker *breaker);
void breaker_report(struct breaker *breaker, bool succeeded);

/* What a probe has seen: an open breaker becomes half open when the service answers. */
void breaker_probe(struct breaker *breaker, bool answers);

enum breaker_state breaker_state(const struct breaker *breaker);

#endif
