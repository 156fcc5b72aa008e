/* metrics.c - the registry and its Prometheus text. SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_MAX = 128 };

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_LATENCY, METRIC_SIZES };

struct metric {
    enum metric_kind kind;
    const char *name, *help, *labels;
    double scale;
    _Atomic int64_t value;
    struct histogram *histogram;
};

struct metrics {
    struct metric series[METRICS_MAX];
    size_t count;
};

static const int64_t latency_bounds_us[] = {500,     1000,    2500,    5000,    10000,
                                            25000,   50000,   100000,  250000,  500000,
                                            1000000, 2500000, 5000000, 10000000};
static const int64_t size_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

struct metrics *metrics_new(void)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        abort();
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->count; i++)
        free(metrics->series[i].histogram);
    free(metrics);
}

static struct metric *metrics_register(struct metrics *metrics, enum metric_kind kind,
                                       const char *name, const char *help, const char *labels)
{
    assert(metrics->count < METRICS_MAX);
    struct metric *metric = &metrics->series[metrics->count++];
    metric->kind = kind;
    metric->name = name;
    metric->help = help;
    metric->labels = labels;
    metric->scale = 1;
    return metric;
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help,
                               const char *labels)
{
    return metrics_register(metrics, METRIC_COUNTER, name, help, labels);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
                             const char *labels, double scale)
{
    struct metric *metric = metrics_register(metrics, METRIC_GAUGE, name, help, labels);
    metric->scale = scale;
    return metric;
}

static struct histogram *metrics_histogram(struct metrics *metrics, enum metric_kind kind,
                                           const char *name, const char *help, const char *labels,
                                           double scale)
{
    struct metric *metric = metrics_register(metrics, kind, name, help, labels);
    metric->scale = scale;
    metric->histogram = calloc(1, sizeof *metric->histogram);
    if (!metric->histogram)
        abort();
    return metric->histogram;
}

struct histogram *metrics_latency(struct metrics *metrics, const char *name, const char *help,
                                  const char *labels)
{
    return metrics_histogram(metrics, METRIC_LATENCY, name, help, labels, 1e-6);
}

struct histogram *metrics_sizes(struct metrics *metrics, const char *name, const char *help,
                                const char *labels)
{
    return metrics_histogram(metrics, METRIC_SIZES, name, help, labels, 1);
}

void metric_add(struct metric *metric, int64_t more)
{
    atomic_fetch_add_explicit(&metric->value, more, memory_order_relaxed);
}

void metric_set(struct metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

int64_t metric_get(const struct metric *metric)
{
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

static void series_print(struct buf *out, const struct metric *metric, const char *suffix,
                         const char *bound, double value)
{
    const char *labels = metric->labels ? metric->labels : "";
    buf_format(out, "%s%s", metric->name, suffix);
    if (*labels || bound)
        buf_format(out, "{%s%s%s%s%s}", labels, *labels && bound ? "," : "", bound ? "le=\"" : "",
                   bound ? bound : "", bound ? "\"" : "");
    buf_format(out, " %.10g\n", value);
}

static void histogram_print(struct buf *out, const struct metric *metric)
{
    bool latency = metric->kind == METRIC_LATENCY;
    const int64_t *bounds = latency ? latency_bounds_us : size_bounds;
    size_t count = latency ? sizeof latency_bounds_us / sizeof *latency_bounds_us
                           : sizeof size_bounds / sizeof *size_bounds;
    struct buf bound = {0};
    for (size_t i = 0; i < count; i++) {
        buf_clear(&bound);
        buf_format(&bound, "%.10g", (double)bounds[i] * metric->scale);
        series_print(out, metric, "_bucket", bound.data,
                     (double)histogram_count_to(metric->histogram, bounds[i]));
    }
    buf_free(&bound);
    double total = (double)histogram_count(metric->histogram);
    series_print(out, metric, "_bucket", "+Inf", total);
    series_print(out, metric, "_sum", NULL,
                 (double)histogram_sum(metric->histogram) * metric->scale);
    series_print(out, metric, "_count", NULL, total);
}

void metrics_print(const struct metrics *metrics, struct buf *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "histogram"};
    const char *last = "";
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *metric = &metrics->series[i];
        if (strcmp(last, metric->name) != 0)
            buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                       metric->name, types[metric->kind]);
        last = metric->name;
        if (metric->histogram)
            histogram_print(out, metric);
        else
            series_print(out, metric, "", NULL, (double)metric_get(metric) * metric->scale);
    }
}
