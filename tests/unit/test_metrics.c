/* test_metrics.c - /metrics as Prometheus text, and as OpenMetrics with exemplars.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/metrics.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"

struct sample {
    struct metrics *all;
    struct histogram *latency_us;
    struct buf text;
};

/* A counter, a gauge and a histogram with a record of 3 ms. */
static void sample_open(struct sample *sample)
{
    *sample = (struct sample){.all = metrics_new()};
    metric_add(metrics_counter(sample->all, "votes_total", "Votes.", "kind=\"up\""), 2);
    metric_set(metrics_gauge(sample->all, "lag_seconds", "Lag.", NULL, 1e-6), 1500000);
    sample->latency_us = metrics_latency(sample->all, "wait_seconds", "Wait.", NULL);
    histogram_record(sample->latency_us, 3000);
    metrics_allow_exemplars(sample->all);
    metrics_exemplar(sample->latency_us, 3000, TRACE);
}

static void sample_close(struct sample *sample)
{
    metrics_free(sample->all);
    buf_free(&sample->text);
}

static void prometheus_text_has_no_exemplars(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample);
    metrics_print(sample.all, &sample.text);
    assert_non_null(
        strstr(sample.text.data, "# TYPE votes_total counter\nvotes_total{kind=\"up\"} 2\n"));
    assert_non_null(strstr(sample.text.data, "\nlag_seconds 1.5\n"));
    assert_non_null(strstr(sample.text.data, "\nwait_seconds_bucket{le=\"0.005\"} 1\n"));
    assert_non_null(strstr(sample.text.data, "\nwait_seconds_bucket{le=\"1\"} 1\n"));
    assert_null(strstr(sample.text.data, TRACE));
    assert_null(strstr(sample.text.data, "# EOF"));
    sample_close(&sample);
}

static void openmetrics_shows_the_trace_in_the_bucket_of_its_value(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample);
    metrics_print_open(sample.all, &sample.text);
    assert_non_null(strstr(sample.text.data, "# TYPE votes counter\nvotes_total{kind=\"up\"} 2\n"));
    assert_non_null(strstr(sample.text.data, "\nwait_seconds_bucket{le=\"0.0025\"} 0\n"));
    assert_non_null(strstr(sample.text.data,
                           "\nwait_seconds_bucket{le=\"0.005\"} 1 # {trace_id=\"" TRACE
                           "\"} 0.003 1"));
    assert_non_null(strstr(sample.text.data, "\nwait_seconds_bucket{le=\"1.0\"} 1\n"));
    assert_string_equal(sample.text.data + sample.text.size - 7, "\n# EOF\n");
    sample_close(&sample);
}

static void a_value_above_all_bounds_is_shown_at_the_last_bucket(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample);
    histogram_record(sample.latency_us, 60000000);
    metrics_exemplar(sample.latency_us, 60000000, TRACE);
    metrics_print_open(sample.all, &sample.text);
    assert_non_null(strstr(sample.text.data, "{le=\"+Inf\"} 2 # {trace_id=\"" TRACE "\"} 60 1"));
    sample_close(&sample);
}

static void a_newer_trace_takes_the_place_of_an_older_one(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample);
    metrics_exemplar(sample.latency_us, 4000, "00000000000000000000000000000001");
    metrics_print_open(sample.all, &sample.text);
    assert_non_null(
        strstr(sample.text.data, "# {trace_id=\"00000000000000000000000000000001\"} 0.004 "));
    assert_null(strstr(sample.text.data, TRACE));
    sample_close(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prometheus_text_has_no_exemplars),
        cmocka_unit_test(openmetrics_shows_the_trace_in_the_bucket_of_its_value),
        cmocka_unit_test(a_value_above_all_bounds_is_shown_at_the_last_bucket),
        cmocka_unit_test(a_newer_trace_takes_the_place_of_an_older_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
