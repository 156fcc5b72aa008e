/* test_kafka.c - what needs no broker: trace context. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "kafka/kafka.h"

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736"

static void a_trace_goes_on_with_its_sampled_bit(void **state)
{
    (void)state;
    static const struct {
        const char *incoming, *flags;
    } cases[] = {
        {TRACE "-00f067aa0ba902b7-00", "-00"}, {TRACE "-00f067aa0ba902b7-01", "-01"},
        {TRACE "-00f067aa0ba902b7-02", "-00"}, {TRACE "-00f067aa0ba902b7-10", "-00"},
        {TRACE "-00f067aa0ba902b7-ff", "-01"},
    };
    char traceparent[TRACEPARENT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        traceparent_continue(cases[i].incoming, traceparent);
        assert_memory_equal(traceparent, TRACE "-", sizeof TRACE);
        assert_memory_not_equal(traceparent, cases[i].incoming, TRACEPARENT_SIZE - 3);
        assert_string_equal(traceparent + 52, cases[i].flags);
    }
}

static void a_malformed_trace_is_not_taken_over(void **state)
{
    (void)state;
    static const char *const texts[] = {TRACE "-00f067aa0ba902b7-zz", TRACE "-00f067aa0ba902b7-0G",
                                        TRACE "-00f067aa0ba902b7-0A", TRACE "-0000000000000000-01",
                                        TRACE "-00f067aa0ba902b7_01", TRACE "-00f067aa0ba902b7-011",
                                        TRACE "-00f067aa0ba902b7-0"};
    char traceparent[TRACEPARENT_SIZE];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        traceparent_continue(texts[i], traceparent);
        assert_memory_not_equal(traceparent, TRACE, sizeof TRACE - 1);
        assert_string_equal(traceparent + 52, "-01");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_goes_on_with_its_sampled_bit),
        cmocka_unit_test(a_malformed_trace_is_not_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
