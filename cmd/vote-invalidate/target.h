/* target.h - what is purged in, Redis or an HTTP cache: whether it is tried, and when again. Pure:
 * the clock is passed in. SPDX-License-Identifier: Apache-2.0 */
#ifndef INVALIDATE_TARGET_H
#define INVALIDATE_TARGET_H

#include <stdbool.h>
#include <stdint.h>

enum { TARGET_OPENS_AFTER = 3 }; /* failures in a row */

enum target_state { TARGET_CLOSED, TARGET_OPEN, TARGET_HALF_OPEN };

struct target {
    const char *name;
    int failures;        /* in a row */
    int64_t retry_at_us; /* monotonic: not tried before; 0: any time */
};

/* Closed: everything is sent. Open: nothing is, until retry_at_us. Half open: one call is tried. */
enum target_state target_state(const struct target *target, int64_t now_us);

/* How it went. After a failure it is tried again after 0.2 s, doubled each time to at most 5 s;
 * `random` (any number) takes away up to half of that. */
void target_report(struct target *target, bool succeeded, int64_t now_us, long random);

#endif
