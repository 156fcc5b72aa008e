/* test_trace.c - spans, the queue that they end in, and their JSON. SPDX-License-Identifier:
 * Apache-2.0 */
#include "unit.h"

#include "trace/tracer.h"

#include <jansson.h>
#include <pthread.h>

#define KNOWN "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

static struct trace_context context_of(const char *text)
{
    struct trace_context context;
    assert_true(trace_context_parse(&context, text));
    return context;
}

static void a_sampled_trace_goes_on_in_a_span_below_it(void **state)
{
    (void)state;
    struct tracer tracer;
    struct span span, ended;
    const struct trace_context parent = context_of(KNOWN "-01");
    tracer_init(&tracer, 0, 4); /* its own ratio has no say */
    span_begin(&tracer, &span, "work", SPAN_SERVER, &parent, 1000);
    span_end(&tracer, &span, 3000);
    assert_true(span_queue_take(&tracer.queue, &ended));
    assert_memory_equal(ended.context.trace_id, parent.trace_id, TRACE_ID_SIZE);
    assert_memory_equal(ended.parent_id, parent.span_id, SPAN_ID_SIZE);
    assert_memory_not_equal(ended.context.span_id, parent.span_id, SPAN_ID_SIZE);
    assert_int_equal(ended.start_us, 1000);
    assert_int_equal(ended.end_us, 3000);
    tracer_destroy(&tracer);
}

static void an_unsampled_trace_is_handed_on_and_not_recorded(void **state)
{
    (void)state;
    struct tracer tracer;
    struct span span;
    const struct trace_context parent = context_of(KNOWN "-00");
    tracer_init(&tracer, 1, 4);
    span_begin(&tracer, &span, "work", SPAN_SERVER, &parent, 1000);
    assert_memory_equal(&span.context, &parent, sizeof parent);
    span_end(&tracer, &span, 3000);
    assert_false(span_queue_take(&tracer.queue, &span));
    tracer_destroy(&tracer);
}

static void without_a_tracer_a_trace_is_handed_on_or_begins_unsampled(void **state)
{
    (void)state;
    struct span span;
    char text[TRACEPARENT_SIZE];
    const struct trace_context parent = context_of(KNOWN "-01");
    span_begin(NULL, &span, "work", SPAN_SERVER, &parent, 1000);
    trace_context_format(&span.context, text);
    assert_string_equal(text, KNOWN "-01");
    span_begin(NULL, &span, "work", SPAN_SERVER, NULL, 1000);
    assert_false(span.context.is_sampled);
    span_text(&span, "key", "value");
    span_link(&span, &parent);
    span_end(NULL, &span, 3000);
}

static void a_trace_that_begins_is_recorded_by_the_ratio(void **state)
{
    (void)state;
    struct tracer tracer;
    struct span span;
    int recorded = 0;
    tracer_init(&tracer, 0.5, 4);
    for (int i = 0; i < 1000; i++) {
        span_begin(&tracer, &span, "work", SPAN_SERVER, NULL, 0);
        assert_int_equal(span.is_recorded, span.context.is_sampled);
        recorded += span.is_recorded;
    }
    assert_in_range(recorded, 400, 600);
    tracer_destroy(&tracer);
}

static void a_full_queue_drops_and_counts_what_comes(void **state)
{
    (void)state;
    struct tracer tracer;
    struct metrics *metrics = metrics_new();
    struct span span;
    const struct trace_context parent = context_of(KNOWN "-01");
    tracer_init(&tracer, 1, 4);
    tracer.lost[LOSS_QUEUE] = metrics_counter(metrics, "lost_total", "Lost.", NULL);
    for (int i = 0; i < 7; i++) {
        span_begin(&tracer, &span, "work", SPAN_SERVER, &parent, i);
        span_link(&span, &parent); /* a leak would be seen by the sanitizer */
        span_end(&tracer, &span, i);
    }
    assert_int_equal(metric_get(tracer.lost[LOSS_QUEUE]), 3);
    for (int i = 0; i < 2; i++) {
        assert_true(span_queue_take(&tracer.queue, &span));
        assert_int_equal(span.start_us, i);
        free(span.links);
    }
    span_begin(&tracer, &span, "work", SPAN_SERVER, &parent, 9);
    span_end(&tracer, &span, 9);
    assert_int_equal(metric_get(tracer.lost[LOSS_QUEUE]), 3);
    tracer_destroy(&tracer);
    metrics_free(metrics);
}

enum { WRITERS = 4, EACH = 20000 };

static void *write_spans(void *context)
{
    struct tracer *tracer = context;
    const struct trace_context parent = context_of(KNOWN "-01");
    for (int i = 0; i < EACH; i++) {
        struct span span;
        span_begin(tracer, &span, "work", SPAN_SERVER, &parent, i);
        span_number(&span, "number", i);
        span_end(tracer, &span, i);
    }
    return NULL;
}

static void spans_of_many_threads_come_out_whole_or_are_counted(void **state)
{
    (void)state;
    struct tracer tracer;
    struct metrics *metrics = metrics_new();
    struct span span;
    pthread_t writers[WRITERS];
    int64_t taken = 0;
    tracer_init(&tracer, 1, 64);
    struct metric *lost = metrics_counter(metrics, "lost_total", "Lost.", NULL);
    tracer.lost[LOSS_QUEUE] = lost;
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_spans, &tracer), 0);
    while (taken + metric_get(lost) < WRITERS * EACH) {
        if (!span_queue_take(&tracer.queue, &span))
            continue;
        assert_int_equal(span.attribute_count, 1);
        assert_int_equal(span.attributes[0].number, span.start_us);
        taken++;
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    assert_true(taken > 0);
    assert_false(span_queue_take(&tracer.queue, &span));
    tracer_destroy(&tracer);
    metrics_free(metrics);
}

static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static json_t *encoded(const struct span *spans, size_t count)
{
    struct buf json = {0};
    otlp_encode("vote-test", "host:1", spans, count, 1700000000000000, &json);
    json_t *root = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    buf_free(&json);
    return root;
}

static json_t *spans_in(json_t *root)
{
    json_t *resource = json_array_get(json_object_get(root, "resourceSpans"), 0);
    json_t *scope = json_array_get(json_object_get(resource, "scopeSpans"), 0);
    return json_object_get(scope, "spans");
}

static void the_json_is_that_of_otlp(void **state)
{
    (void)state;
    struct tracer tracer;
    struct span spans[2];
    const struct trace_context parent = context_of(KNOWN "-01");
    tracer_init(&tracer, 1, 4);
    span_begin(&tracer, &spans[0], "work", SPAN_CLIENT, &parent, 5);
    spans[0].end_us = 2000007;
    span_text(&spans[0], "text", "a \"quoted\" one");
    span_number(&spans[0], "number", INT64_MAX);
    span_link(&spans[0], &parent);
    span_fail(&spans[0]);
    span_begin_shared(&spans[1], "other", SPAN_INTERNAL, 6);
    spans[1].end_us = 6;
    json_t *root = encoded(spans, 2), *first = json_array_get(spans_in(root), 0),
           *second = json_array_get(spans_in(root), 1);
    assert_string_equal(member(first, "traceId"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(member(first, "parentSpanId"), "00f067aa0ba902b7");
    assert_int_equal(strlen(member(first, "spanId")), 16);
    assert_int_equal(json_integer_value(json_object_get(first, "kind")), 3);
    assert_string_equal(member(first, "startTimeUnixNano"), "1700000000000005000");
    assert_string_equal(member(first, "endTimeUnixNano"), "1700000002000007000");
    json_t *attributes = json_object_get(first, "attributes");
    assert_string_equal(
        member(json_object_get(json_array_get(attributes, 0), "value"), "stringValue"),
        "a \"quoted\" one");
    assert_string_equal(member(json_object_get(json_array_get(attributes, 1), "value"), "intValue"),
                        "9223372036854775807");
    assert_int_equal(json_array_size(json_object_get(first, "links")), 1);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(first, "status"), "code")),
                     2);
    assert_null(json_object_get(second, "parentSpanId"));
    assert_null(json_object_get(second, "status"));
    json_decref(root);
    free(spans[0].links);
    tracer_destroy(&tracer);
}

static void links_beyond_the_bound_are_counted(void **state)
{
    (void)state;
    struct span span;
    const struct trace_context other = context_of(KNOWN "-01");
    span_begin_shared(&span, "batch", SPAN_CLIENT, 0);
    for (int i = 0; i < SPAN_LINKS_MAX + 5; i++)
        span_link(&span, &other);
    json_t *root = encoded(&span, 1), *first = json_array_get(spans_in(root), 0);
    assert_int_equal(json_array_size(json_object_get(first, "links")), SPAN_LINKS_MAX);
    assert_int_equal(json_integer_value(json_object_get(first, "droppedLinksCount")), 5);
    json_decref(root);
    free(span.links);
}

static void what_a_collector_rejects_is_read_from_its_answer(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t rejected;
    } cases[] = {{"{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"no\"}}", 3},
                 {"{\"partialSuccess\":{\"rejectedSpans\":4}}", 4},
                 {"{\"partialSuccess\":{\"rejectedSpans\":-4}}", 0},
                 {"{\"partialSuccess\":{}}", 0},
                 {"{}", 0},
                 {"[]", 0},
                 {"ok", 0},
                 {"", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(otlp_rejected(cases[i].json, strlen(cases[i].json)), cases[i].rejected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sampled_trace_goes_on_in_a_span_below_it),
        cmocka_unit_test(an_unsampled_trace_is_handed_on_and_not_recorded),
        cmocka_unit_test(without_a_tracer_a_trace_is_handed_on_or_begins_unsampled),
        cmocka_unit_test(a_trace_that_begins_is_recorded_by_the_ratio),
        cmocka_unit_test(a_full_queue_drops_and_counts_what_comes),
        cmocka_unit_test(spans_of_many_threads_come_out_whole_or_are_counted),
        cmocka_unit_test(the_json_is_that_of_otlp),
        cmocka_unit_test(links_beyond_the_bound_are_counted),
        cmocka_unit_test(what_a_collector_rejects_is_read_from_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
