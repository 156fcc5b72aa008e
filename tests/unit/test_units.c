/* test_units.c - quantities as people write them. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/units.h"

static void a_duration_needs_a_unit(void **state)
{
    (void)state;
    int64_t us;
    assert_false(units_parse_duration_us("50", &us));
    assert_true(units_parse_duration_us("50ms", &us));
    assert_int_equal(us, 50000);
}

static void durations_add_up(void **state)
{
    (void)state;
    int64_t us;
    assert_true(units_parse_duration_us("1m30.5s", &us));
    assert_int_equal(us, 90500000);
}

static void a_day_has_24_hours(void **state)
{
    (void)state;
    int64_t us;
    assert_true(units_parse_duration_us("400d", &us));
    assert_int_equal(us, INT64_C(400) * 24 * 3600 * 1000000);
}

static void zero_needs_no_unit(void **state)
{
    (void)state;
    int64_t us = 1;
    assert_true(units_parse_duration_us("0", &us));
    assert_int_equal(us, 0);
}

static void what_is_no_size_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",    "KiB",   "1 KiB", "1KB",
                                        "-1B", "1KiB ", "1e3B",  "99999999999GiB"};
    int64_t bytes;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(units_parse_size_bytes(texts[i], &bytes));
}

static void what_is_formatted_reads_back(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 1, 999, 1000, 1500000, 60000000, 86400000000};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[UNITS_TEXT_SIZE];
        int64_t us;
        units_format_duration_us(values[i], text);
        assert_true(units_parse_duration_us(text, &us));
        assert_int_equal(us, values[i]);
    }
}

static void a_whole_number_is_written_in_decimal(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } numbers[] = {{0, "0"},
                   {9, "9"},
                   {10, "10"},
                   {-1, "-1"},
                   {INT64_MAX, "9223372036854775807"},
                   {INT64_MIN, "-9223372036854775808"}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[UNITS_TEXT_SIZE];
        assert_int_equal(units_format_int(numbers[i].value, text), strlen(numbers[i].text));
        assert_string_equal(text, numbers[i].text);
    }
}

static void a_rate_is_per_second(void **state)
{
    (void)state;
    double per_s;
    assert_true(units_parse_rate_per_s("120/m", &per_s));
    assert_true(per_s == 2);
    assert_false(units_parse_rate_per_s("120", &per_s));
}

static void a_ratio_is_at_most_one(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "1.01", "-0.1", "2", "0.5x", ".", "half"};
    double ratio;
    assert_true(units_parse_ratio("0.25", &ratio));
    assert_true(ratio == 0.25);
    assert_true(units_parse_ratio("1", &ratio) && units_parse_ratio("0", &ratio));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(units_parse_ratio(texts[i], &ratio));
}

static void a_quota_is_a_count_in_a_window(void **state)
{
    (void)state;
    int64_t count, window_us;
    assert_true(units_parse_quota("30/10s", &count, &window_us));
    assert_true(count == 30 && window_us == 10000000);
    assert_true(units_parse_quota("5/m", &count, &window_us));
    assert_true(count == 5 && window_us == 60000000);
    assert_true(units_parse_quota("5/s1m10s500ms", &count, &window_us));
    assert_true(window_us == 71500000);
    static const char *const texts[] = {"",     "5",     "5/",      "/s",           "-1/s",
                                        "5/0s", "5/.5s", "5/weeks", "5/s1m10sweeks"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(units_parse_quota(texts[i], &count, &window_us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_needs_a_unit),
        cmocka_unit_test(durations_add_up),
        cmocka_unit_test(a_day_has_24_hours),
        cmocka_unit_test(zero_needs_no_unit),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(what_is_formatted_reads_back),
        cmocka_unit_test(a_whole_number_is_written_in_decimal),
        cmocka_unit_test(a_rate_is_per_second),
        cmocka_unit_test(a_ratio_is_at_most_one),
        cmocka_unit_test(a_quota_is_a_count_in_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
