/* metrics.c - the registry and its Prometheus text. SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include "base/exemplar.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_MAX = 128 };

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric {
    enum metric_kind kind;
    const char *name, *help, *labels;
    double scale;
    _Atomic int64_t value;
    struct shown *shown; /* NULL: no histogram */
};

struct metrics {
    struct metric series[METRICS_MAX];
    size_t count;
    bool has_exemplars;
};

/* A histogram, and what is shown of it: how many records lie below each bound. */
struct shown {
    struct histogram histogram; /* must be first: its users have nothing else in hand */
    const int64_t *bounds;
    size_t bound_count;
    struct exemplars exemplars; /* the last one is of what lies above the bounds */
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
        free(metrics->series[i].shown);
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

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
_Static_assert(COUNT_OF(latency_bounds_us) < EXEMPLARS_MAX && COUNT_OF(size_bounds) < EXEMPLARS_MAX,
               "each bucket has room for an exemplar");

static struct histogram *metrics_shown(struct metric *metric, const int64_t *bounds, size_t count,
                                       double scale)
{
    struct shown *shown = metric->shown = calloc(1, sizeof *shown);
    if (!shown)
        abort();
    shown->bounds = bounds;
    shown->bound_count = count;
    metric->scale = scale;
    return &shown->histogram;
}

struct histogram *metrics_latency(struct metrics *metrics, const char *name, const char *help,
                                  const char *labels)
{
    return metrics_shown(metrics_register(metrics, METRIC_HISTOGRAM, name, help, labels),
                         latency_bounds_us, COUNT_OF(latency_bounds_us), 1e-6);
}

struct histogram *metrics_sizes(struct metrics *metrics, const char *name, const char *help,
                                const char *labels)
{
    return metrics_shown(metrics_register(metrics, METRIC_HISTOGRAM, name, help, labels),
                         size_bounds, COUNT_OF(size_bounds), 1);
}

void metrics_allow_exemplars(struct metrics *metrics)
{
    metrics->has_exemplars = true;
}

bool metrics_has_exemplars(const struct metrics *metrics)
{
    return metrics->has_exemplars;
}

void metrics_exemplar(struct histogram *histogram, int64_t value, const char *trace_id)
{
    struct shown *shown = (struct shown *)histogram;
    size_t bucket = 0;
    while (bucket < shown->bound_count && value > shown->bounds[bucket])
        bucket++;
    exemplars_keep(&shown->exemplars, bucket, value, trace_id);
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

/* One writing of the registry. */
struct page {
    struct buf *out;
    bool is_open; /* OpenMetrics */
};

static void series_print(const struct page *page, const struct metric *metric, const char *suffix,
                         const char *bound, double value)
{
    const char *labels = metric->labels ? metric->labels : "";
    buf_format(page->out, "%s%s", metric->name, suffix);
    if (*labels || bound)
        buf_format(page->out, "{%s%s%s%s%s}", labels, *labels && bound ? "," : "",
                   bound ? "le=\"" : "", bound ? bound : "", bound ? "\"" : "");
    buf_format(page->out, " %.10g", value);
}

static void exemplar_print(const struct page *page, const struct metric *metric, size_t bucket)
{
    struct exemplar exemplar;
    if (page->is_open && exemplars_read(&metric->shown->exemplars, bucket, &exemplar))
        buf_format(page->out, " # {trace_id=\"%s\"} %.10g %.3f", exemplar.trace_id,
                   (double)exemplar.value * metric->scale, (double)exemplar.wall_ms / 1000);
    buf_char(page->out, '\n');
}

/* OpenMetrics writes a bound that is whole as "1.0". */
static void bound_print(const struct page *page, double value, struct buf *bound)
{
    buf_clear(bound);
    buf_format(bound, "%.10g", value);
    if (page->is_open && !strpbrk(bound->data, ".e"))
        buf_text(bound, ".0");
}

static void histogram_print(const struct page *page, const struct metric *metric)
{
    const struct shown *shown = metric->shown;
    const struct histogram *histogram = &shown->histogram;
    struct buf bound = {0};
    for (size_t i = 0; i < shown->bound_count; i++) {
        bound_print(page, (double)shown->bounds[i] * metric->scale, &bound);
        series_print(page, metric, "_bucket", bound.data,
                     (double)histogram_count_to(histogram, shown->bounds[i]));
        exemplar_print(page, metric, i);
    }
    buf_free(&bound);
    double total = (double)histogram_count(histogram);
    series_print(page, metric, "_bucket", "+Inf", total);
    exemplar_print(page, metric, shown->bound_count);
    series_print(page, metric, "_sum", NULL, (double)histogram_sum(histogram) * metric->scale);
    buf_char(page->out, '\n');
    series_print(page, metric, "_count", NULL, total);
    buf_char(page->out, '\n');
}

/* In OpenMetrics a counter's family has its name without _total. */
static void family_print(const struct page *page, const struct metric *metric)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    int size = (int)strlen(metric->name);
    if (page->is_open && metric->kind == METRIC_COUNTER)
        size -= (int)strlen("_total");
    buf_format(page->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", size, metric->name, metric->help,
               size, metric->name, types[metric->kind]);
}

static void page_print(const struct page *page, const struct metrics *metrics)
{
    const char *last = "";
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *metric = &metrics->series[i];
        if (strcmp(last, metric->name) != 0)
            family_print(page, metric);
        last = metric->name;
        if (metric->shown) {
            histogram_print(page, metric);
        } else {
            series_print(page, metric, "", NULL, (double)metric_get(metric) * metric->scale);
            buf_char(page->out, '\n');
        }
    }
}

void metrics_print(const struct metrics *metrics, struct buf *out)
{
    page_print(&(struct page){.out = out}, metrics);
}

void metrics_print_open(const struct metrics *metrics, struct buf *out)
{
    page_print(&(struct page){.out = out, .is_open = true}, metrics);
    buf_text(out, "# EOF\n");
}
