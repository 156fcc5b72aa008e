/* lag.c - how far behind each partition of ours is, for vote:metrics and /metrics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

#include <stdio.h>

enum { TELL_US = 1000 * 1000 };

static int64_t partition_lag(struct commit *commit, int32_t partition, int64_t position)
{
    int64_t low, high;
    rd_kafka_resp_err_t code =
        rd_kafka_get_watermark_offsets(commit->consumer, TOPIC_REQUESTS, partition, &low, &high);
    return code || position < 0 || high <= position ? 0 : high - position;
}

void lag_turn(struct commit *commit)
{
    struct redis_batch batch = {0};
    struct error error;
    int64_t now_us = clock_mono_us(), total = 0, oldest_ms = 0, now_ms = clock_wall_ms();
    if (now_us < commit->lag_next_us)
        return;
    commit->lag_next_us = now_us + TELL_US;
    for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
        const struct position *position = &commit->positions[p];
        if (!position->assigned)
            continue;
        int64_t records = partition_lag(commit, p, position->read_offset);
        int64_t age_ms = records && position->read_ms ? now_ms - position->read_ms : 0;
        total += records;
        oldest_ms = age_ms > oldest_ms ? age_ms : oldest_ms;
        redis_add(&batch, KEY_METRICS, "HSET " KEY_METRICS " lag:%d %lld,%lld,%lld", (int)p,
                  (long long)records, (long long)age_ms, (long long)now_ms);
    }
    metric_set(commit->metrics.lag_records, total);
    metric_set(commit->metrics.lag_us, oldest_ms * 1000);
    if (batch.count && !redis_run(commit->redis, &batch, &error))
        log_error(commit->log, LOG_DEBUG, "lag not told", &error);
    redis_batch_free(&batch);
}
