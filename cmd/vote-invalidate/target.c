/* target.c - whether Redis or an HTTP cache is tried. SPDX-License-Identifier: Apache-2.0 */
#include "vote-invalidate/target.h"

enum { BACKOFF_MIN_US = 200 * 1000, BACKOFF_MAX_US = 5 * 1000 * 1000 };

enum target_state target_state(const struct target *target, int64_t now_us)
{
    if (!target->failures)
        return TARGET_CLOSED;
    if (now_us < target->retry_at_us)
        return TARGET_OPEN;
    return target->failures < TARGET_OPENS_AFTER ? TARGET_CLOSED : TARGET_HALF_OPEN;
}

void target_report(struct target *target, bool succeeded, int64_t now_us, long random)
{
    if (succeeded) {
        target->failures = 0;
        target->retry_at_us = 0;
        return;
    }
    int64_t wait_us = BACKOFF_MIN_US << (target->failures > 5 ? 5 : target->failures);
    if (wait_us > BACKOFF_MAX_US)
        wait_us = BACKOFF_MAX_US;
    target->failures++;
    target->retry_at_us = now_us + wait_us - random % (wait_us / 2);
}
