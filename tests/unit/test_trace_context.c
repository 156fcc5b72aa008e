/* test_trace_context.c - W3C Trace Context, section 3.2. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "trace/context.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"
#define KNOWN "00-" TRACE "-" SPAN

static void a_traceparent_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct trace_context context;
    char text[TRACEPARENT_SIZE];
    assert_true(trace_context_parse(&context, KNOWN "-01"));
    trace_context_format(&context, text);
    assert_string_equal(text, KNOWN "-01");
    trace_context_step(&context);
    trace_context_format(&context, text);
    assert_memory_equal(text, KNOWN, sizeof "00-" TRACE);
    assert_memory_not_equal(text, KNOWN, sizeof KNOWN - 1);
}

static void only_the_lowest_flag_says_sampled(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_sampled;
    } cases[] = {{KNOWN "-00", false}, {KNOWN "-01", true}, {KNOWN "-02", false},
                 {KNOWN "-10", false}, {KNOWN "-03", true}, {KNOWN "-ff", true}};
    struct trace_context context;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(trace_context_parse(&context, cases[i].text));
        assert_int_equal(context.is_sampled, cases[i].is_sampled);
    }
}

static void a_malformed_traceparent_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        NULL,
        "",
        "00",
        KNOWN "-zz",
        KNOWN "-0G",
        KNOWN "-0A",
        KNOWN "_01",
        KNOWN "-0",
        KNOWN "-011",
        KNOWN "-01-more",
        "00-" TRACE "-0000000000000000-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "ff-" TRACE "-" SPAN "-01",
        "0-" TRACE "-" SPAN "-01x",
    };
    struct trace_context context;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(trace_context_parse(&context, texts[i]));
}

static void a_later_version_is_read_as_far_as_it_is_known(void **state)
{
    (void)state;
    struct trace_context context;
    char text[TRACEPARENT_SIZE];
    assert_true(trace_context_parse(&context, "cc-" TRACE "-" SPAN "-01"));
    assert_true(trace_context_parse(&context, "cc-" TRACE "-" SPAN "-01-what-the-future-brings"));
    assert_false(trace_context_parse(&context, "cc-" TRACE "-" SPAN "-01.what"));
    trace_context_format(&context, text);
    assert_string_equal(text, KNOWN "-01");
}

static void what_records_no_spans_hands_a_trace_on_and_begins_it_unsampled(void **state)
{
    (void)state;
    char text[TRACEPARENT_SIZE];
    struct trace_context begun;
    traceparent_continue(KNOWN "-01", text);
    assert_string_equal(text, KNOWN "-01");
    traceparent_continue("no trace", text);
    assert_true(trace_context_parse(&begun, text));
    assert_false(begun.is_sampled);
}

/* The share is decided by the id, so that it is the same share everywhere. */
static void a_ratio_is_the_share_of_traces_that_it_says(void **state)
{
    (void)state;
    enum { TRACES = 20000 };
    struct trace_context context;
    int within = 0;
    for (int i = 0; i < TRACES; i++) {
        trace_context_start(&context, true);
        within += trace_context_is_within(&context, 0.25);
        assert_false(trace_context_is_within(&context, 0));
        assert_true(trace_context_is_within(&context, 1));
    }
    assert_in_range(within, TRACES / 4 - 500, TRACES / 4 + 500); /* eight standard deviations */
    assert_true(trace_context_parse(&context, "00-ffffffffffffffffff00000000000000-" SPAN "-01"));
    assert_true(trace_context_is_within(&context, 1e-9));
    assert_true(trace_context_parse(&context, "00-000000000000000000ffffffffffffff-" SPAN "-01"));
    assert_false(trace_context_is_within(&context, 0.999));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceparent_reads_back_as_it_was_written),
        cmocka_unit_test(only_the_lowest_flag_says_sampled),
        cmocka_unit_test(a_malformed_traceparent_is_none),
        cmocka_unit_test(a_later_version_is_read_as_far_as_it_is_known),
        cmocka_unit_test(what_records_no_spans_hands_a_trace_on_and_begins_it_unsampled),
        cmocka_unit_test(a_ratio_is_the_share_of_traces_that_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
