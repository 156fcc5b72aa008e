/* metrics.h - counters, gauges and histograms, shown as Prometheus text (exposition format 0.0.4),
 * or with exemplars as OpenMetrics 1.0.
 *
 * Names follow the field's rules: base units (seconds, bytes), `_total` on counters. Never a user
 * or project id in a label. Updates are relaxed atomics; any thread may make them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"
#include "base/histogram.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct metrics; /* a registry; register everything before the first reader */

/* One series. Opaque but for its updates. */
struct metric;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* Registers one series and returns it (owned by the registry). `labels` is the text between the
 * braces (`outcome="created"`) or NULL. Series of one name are registered one after the other, with
 * the same help. */
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help,
                               const char *labels);

/* A gauge whose shown value is its number times `scale` (1e-6 for microseconds shown as seconds).
 */
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
                             const char *labels, double scale);

/* A histogram of microseconds, shown in seconds with the usual latency buckets. */
struct histogram *metrics_latency(struct metrics *metrics, const char *name, const char *help,
                                  const char *labels);

/* A histogram of plain counts (a batch's size), in powers of two. */
struct histogram *metrics_sizes(struct metrics *metrics, const char *name, const char *help,
                                const char *labels);

void metric_add(struct metric *metric, int64_t more);
void metric_set(struct metric *metric, int64_t value);
int64_t metric_get(const struct metric *metric);

/* From now on metrics_exemplar keeps what it is given. Call it before any other thread. */
void metrics_allow_exemplars(struct metrics *metrics);
bool metrics_has_exemplars(const struct metrics *metrics);

/* Names the trace, in hexadecimal, of something that `histogram` (of this registry's) has a record
 * of with that value. Buckets that have one show their last. */
void metrics_exemplar(struct histogram *histogram, int64_t value, const char *trace_id);

void metrics_print(const struct metrics *metrics, struct buf *out);

/* The same as OpenMetrics 1.0, with exemplars. */
void metrics_print_open(const struct metrics *metrics, struct buf *out);

#endif
