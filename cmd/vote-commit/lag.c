/* lag.c - how far behind each partition of ours is, for vote:metrics and /metrics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vote-commit/commit.h"

#include "base/clock.h"

enum { TELL_US = 1000 * 1000 };

/* When the first record of each partition was made that is read and not applied; 0: none is. */
static void oldest_of_batch(const struct batch *batch, int64_t oldest_ms[PARTITIONS_MAX])
{
    for (size_t i = 0; batch && i < batch->count; i++) {
        const rd_kafka_message_t *message = batch->entries[i].message;
        if (!oldest_ms[message->partition])
            oldest_ms[message->partition] = rd_kafka_message_timestamp(message, NULL);
    }
}

static int64_t largest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What was read and is not applied, and what was not read. */
static int64_t partition_lag(struct commit *commit, int32_t partition)
{
    const struct position *position = &commit->positions[partition];
    int64_t low, high, applied = position->next_offset;
    int64_t seen = largest(largest(position->read_offset, position->end_offset), applied);
    if (rd_kafka_get_watermark_offsets(commit->consumer, TOPIC_REQUESTS, partition, &low, &high))
        high = seen;
    return largest(position->read_offset - applied, 0) + largest(high - seen, 0);
}

static void lag_tell(struct commit *commit, const int64_t oldest_ms[PARTITIONS_MAX])
{
    struct redis_batch batch = {0};
    struct error error;
    int64_t total = 0, worst_ms = 0, now_ms = clock_wall_ms();
    for (int32_t p = 0; p < PARTITIONS_MAX; p++) {
        const struct position *position = &commit->positions[p];
        if (!position->assigned)
            continue;
        int64_t records = partition_lag(commit, p);
        int64_t since_ms = oldest_ms[p] ? oldest_ms[p] : position->read_ms;
        int64_t age_ms = records && since_ms ? now_ms - since_ms : 0;
        total += records;
        worst_ms = age_ms > worst_ms ? age_ms : worst_ms;
        redis_add(&batch, KEY_METRICS, "HSET " KEY_METRICS " lag:%d %lld,%lld,%lld", (int)p,
                  (long long)records, (long long)age_ms, (long long)now_ms);
    }
    metric_set(commit->metrics.lag_records, total);
    metric_set(commit->metrics.lag_us, worst_ms * 1000);
    if (batch.count && !redis_run(commit->redis, &batch, &error))
        log_error(commit->log, LOG_DEBUG, "lag not told", &error);
    redis_batch_free(&batch);
}

void lag_turn(struct commit *commit)
{
    int64_t oldest_ms[PARTITIONS_MAX] = {0};
    int64_t now_us = clock_mono_us();
    if (now_us < commit->lag_next_us)
        return;
    commit->lag_next_us = now_us + TELL_US;
    oldest_of_batch(commit->in_flight, oldest_ms);
    oldest_of_batch(commit->reading, oldest_ms);
    lag_tell(commit, oldest_ms);
}
