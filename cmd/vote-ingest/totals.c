/* totals.c - figures over all instances, in the hash vote:metrics: each adds what it counted since
 * the last time, about once a second, in one batch. SPDX-License-Identifier: Apache-2.0 */
#include "vote-ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct totals {
    _Atomic int64_t failed, last_latency_us;
    struct histogram latency_us;
    /* what Redis has been told; the flushing thread's own */
    int64_t told_failed;
    uint64_t told_sum;
    uint64_t told_buckets[HISTOGRAM_BUCKETS];
};

struct totals *totals_new(void)
{
    struct totals *totals = calloc(1, sizeof *totals);
    if (!totals)
        abort();
    return totals;
}

void totals_free(struct totals *totals)
{
    free(totals);
}

void totals_accepted(struct totals *totals, int64_t latency_us)
{
    histogram_record(&totals->latency_us, latency_us);
    atomic_store(&totals->last_latency_us, latency_us);
}

void totals_failed(struct totals *totals)
{
    atomic_fetch_add(&totals->failed, 1);
}

static void add_difference(struct redis_batch *batch, const char *field, int64_t difference)
{
    if (difference)
        redis_add(batch, KEY_METRICS, "HINCRBY " KEY_METRICS " %s %lld", field,
                  (long long)difference);
}

/* The buckets that grew, as fields l:0, l:1, ...; `seen` gets what they are now. */
static uint64_t add_buckets(struct totals *totals, struct redis_batch *batch, uint64_t *seen)
{
    uint64_t count = 0;
    char field[16];
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen[i] = atomic_load_explicit(&totals->latency_us.buckets[i], memory_order_relaxed);
        count += seen[i] - totals->told_buckets[i];
        snprintf(field, sizeof field, "l:%zu", i);
        add_difference(batch, field, (int64_t)(seen[i] - totals->told_buckets[i]));
    }
    return count;
}

void totals_flush(struct ingest *ingest)
{
    struct totals *totals = ingest->totals;
    struct redis_batch batch = {0};
    struct error error;
    uint64_t seen[HISTOGRAM_BUCKETS];
    uint64_t count = add_buckets(totals, &batch, seen), sum = histogram_sum(&totals->latency_us);
    int64_t failed = atomic_load(&totals->failed);
    add_difference(&batch, "total_votes", (int64_t)count);
    add_difference(&batch, "latency_sum_us", (int64_t)(sum - totals->told_sum));
    add_difference(&batch, "total_errors", failed - totals->told_failed);
    if (count)
        redis_add(&batch, KEY_METRICS, "HSET " KEY_METRICS " last_latency_us %lld",
                  (long long)atomic_load(&totals->last_latency_us));
    /* What was not told stays to be told: Redis away loses no count. */
    if (batch.count && redis_run(ingest->redis, &batch, &error)) {
        memcpy(totals->told_buckets, seen, sizeof seen);
        totals->told_sum = sum;
        totals->told_failed = failed;
    }
    redis_batch_free(&batch);
}
