/* histogram.c - log-linear latency histogram. SPDX-License-Identifier: Apache-2.0 */
#include "base/histogram.h"

/* Values below 64 have a bucket each; above, each power of two is cut into 64. */
static size_t bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_SUB_COUNT)
        return value;
    unsigned bits = 63 - (unsigned)__builtin_clzll(value);
    if (bits >= HISTOGRAM_MAX_BITS)
        return HISTOGRAM_BUCKETS - 1;
    unsigned shift = bits - HISTOGRAM_SUB_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_SUB_BITS) + ((value >> shift) - HISTOGRAM_SUB_COUNT);
}

/* The largest value that falls into a bucket. */
static uint64_t bucket_top(size_t bucket)
{
    if (bucket < HISTOGRAM_SUB_COUNT)
        return bucket;
    unsigned shift = (unsigned)(bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t sub = (bucket & (HISTOGRAM_SUB_COUNT - 1)) + HISTOGRAM_SUB_COUNT;
    return ((sub + 1) << shift) - 1;
}

static uint64_t load(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void add(_Atomic uint64_t *number, uint64_t more)
{
    atomic_fetch_add_explicit(number, more, memory_order_relaxed);
}

static void raise_max(_Atomic uint64_t *max, uint64_t value)
{
    uint64_t seen = load(max);
    while (value > seen && !atomic_compare_exchange_weak_explicit(
                               max, &seen, value, memory_order_relaxed, memory_order_relaxed))
        ;
}

void histogram_record(struct histogram *histogram, int64_t value)
{
    uint64_t recorded = value < 0 ? 0 : (uint64_t)value;
    add(&histogram->buckets[bucket_of(recorded)], 1);
    add(&histogram->count, 1);
    add(&histogram->sum, recorded);
    raise_max(&histogram->max, recorded);
}

void histogram_add(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = load(&from->buckets[i]);
        if (count)
            add(&into->buckets[i], count);
    }
    add(&into->count, load(&from->count));
    add(&into->sum, load(&from->sum));
    raise_max(&into->max, load(&from->max));
}

void histogram_add_bucket(struct histogram *histogram, size_t index, uint64_t count)
{
    uint64_t value = bucket_top(index);
    if (!count)
        return;
    add(&histogram->buckets[index], count);
    add(&histogram->count, count);
    add(&histogram->sum, count * value);
    raise_max(&histogram->max, value);
}

int64_t histogram_quantile(const struct histogram *histogram, double fraction)
{
    uint64_t count = load(&histogram->count), seen = 0, max = load(&histogram->max);
    if (count == 0)
        return 0;
    double exact = fraction * (double)count;
    uint64_t rank = exact < 1 ? 1 : (uint64_t)exact;
    if ((double)rank < exact && rank < count)
        rank++;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += load(&histogram->buckets[i]);
        if (seen >= rank)
            return (int64_t)(bucket_top(i) < max ? bucket_top(i) : max);
    }
    return (int64_t)max;
}

uint64_t histogram_count(const struct histogram *histogram)
{
    return load(&histogram->count);
}

uint64_t histogram_sum(const struct histogram *histogram)
{
    return load(&histogram->sum);
}

int64_t histogram_max(const struct histogram *histogram)
{
    return (int64_t)load(&histogram->max);
}

uint64_t histogram_count_to(const struct histogram *histogram, int64_t value)
{
    uint64_t seen = 0;
    if (value < 0)
        return 0;
    for (size_t i = 0, last = bucket_of((uint64_t)value); i <= last; i++)
        seen += load(&histogram->buckets[i]);
    return seen;
}
