/* test_selector.c - where a tail starts and ends. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "kafka/selector.h"

static const int64_t now_ms = 1795457019594;

static struct selector parsed(const char *text)
{
    struct selector selector;
    struct error error;
    assert_true(selector_parse(&selector, text, now_ms, &error));
    return selector;
}

static void a_time_before_1970_is_before_every_record(void **state)
{
    (void)state;
    assert_true(parsed("@1969-12-31T23:59:59.999Z").from == 0);
    assert_true(parsed("@-40000d").from == 0);
    struct selector both = parsed("@1960-01-01:1965-01-01");
    assert_true(both.from == 0 && both.to == 0);
}

static void times_are_taken_apart_at_the_right_colon(void **state)
{
    (void)state;
    struct selector both = parsed("@2026-11-23T18:03:39.594Z:2026-11-23T18:03:40Z");
    assert_true(both.from == now_ms && both.to == 1795457020000);
    assert_true(parsed("@1795457019:").to == -1);
    assert_true(parsed("@-1s").from == now_ms - 1000);
}

static void an_end_before_the_start_is_refused(void **state)
{
    (void)state;
    struct selector selector;
    struct error error;
    assert_false(selector_parse(&selector, "9:5", now_ms, &error));
    assert_false(selector_parse(&selector, "@-5m:-1h", now_ms, &error));
    assert_non_null(strstr(error.text, "ends before it starts"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_before_1970_is_before_every_record),
        cmocka_unit_test(times_are_taken_apart_at_the_right_colon),
        cmocka_unit_test(an_end_before_the_start_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
