/* histogram.h - a latency histogram of the HDR kind: log-linear buckets, 1/64 relative precision.
 *
 * Recording is one relaxed atomic add, so that threads share one without a lock; readers see a
 * recent state. Values are whole numbers in a unit of the caller's choice, usually microseconds,
 * from 0 to 2^41; larger ones count as the largest. SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6, /* 64 buckets to a power of two: error below 1.6 % */
    HISTOGRAM_SUB_COUNT = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_MAX_BITS = 41,
    HISTOGRAM_BUCKETS = (HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB_COUNT
};

/* Zero-initialised is empty. */
struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
};

void histogram_record(struct histogram *histogram,
                      int64_t value); /* a negative value counts as 0 */
void histogram_add(struct histogram *into, const struct histogram *from);

/* Adds `count` records that another process has in its bucket `index` (below HISTOGRAM_BUCKETS);
 * each counts as the bucket's largest value. */
void histogram_add_bucket(struct histogram *histogram, size_t index, uint64_t count);

/* The value that `fraction` (0 to 1) of the records do not exceed, within the precision and never
 * above the true maximum; 0 when empty. */
int64_t histogram_quantile(const struct histogram *histogram, double fraction);

uint64_t histogram_count(const struct histogram *histogram);
uint64_t histogram_sum(const struct histogram *histogram);
int64_t histogram_max(const struct histogram *histogram);

/* How many records lie at or below `value`, to the precision of a bucket. */
uint64_t histogram_count_to(const struct histogram *histogram, int64_t value);

#endif
