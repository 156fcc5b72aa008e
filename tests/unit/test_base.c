/* test_base.c - clock, buffers, histogram, ids, tokens. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "vote/ids.h"
#include "vote/token.h"

static bool verify(struct token *token, const char *secret, const char *text, struct error *error)
{
    const struct token_keys keys = {.algorithm = TOKEN_HS256, .key = secret};
    return token_verify(token, &keys, text, error);
}

static void a_time_reads_back_as_it_was(void **state)
{
    (void)state;
    static const int64_t times_ms[] = {0, 1795457019594, -1, 951782400000, 253402300799999};
    for (size_t i = 0; i < sizeof times_ms / sizeof *times_ms; i++) {
        char text[CLOCK_TEXT_SIZE];
        int64_t read_ms;
        clock_format_ms(times_ms[i], text);
        assert_true(clock_parse_ms(text, &read_ms));
        assert_true(read_ms == times_ms[i]);
    }
}

static void an_offset_is_taken_into_account(void **state)
{
    (void)state;
    int64_t here_ms, there_ms;
    assert_true(clock_parse_ms("2026-11-23T18:03:39Z", &here_ms));
    assert_true(clock_parse_ms("2026-11-23T20:03:39.000000+02:00", &there_ms));
    assert_true(here_ms == there_ms);
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "2026",
                                        "2026-02-30",
                                        "2026-11-23T",
                                        "2026-11-23T25:00:00Z",
                                        "2026-11-23T10:00:00",
                                        "2026-11-23T10:00:00.Z",
                                        "2026-11-23 x",
                                        "+026-11-23",
                                        "2026-+1- 3",
                                        "2026-11-23T1:2:3Z",
                                        "2026-11-23T 1:+2: 3Z",
                                        "2026-11-23T10:00:00+2:0",
                                        "2026-11-23T10:00:00+24:00",
                                        "0000-01-01T00:00:00+00:01",
                                        "9999-12-31T23:59:59-00:01"};
    int64_t ms;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(clock_parse_ms(texts[i], &ms));
}

static void json_text_is_escaped_and_always_utf8(void **state)
{
    (void)state;
    struct buf out = {0};
    static const char text[] = "a\"\\\n\x01\xff\xc3\xa9\xed\xa0\x80";
    buf_json(&out, text, sizeof text - 1);
    assert_string_equal(
        out.data,
        "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_free(&out);
}

static void a_quantile_is_within_its_precision(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof *histogram);
    for (int64_t value = 1; value <= 100000; value++)
        histogram_record(histogram, value);
    static const double fractions[] = {0.01, 0.5, 0.95, 0.99, 1};
    for (size_t i = 0; i < sizeof fractions / sizeof *fractions; i++) {
        double exact = fractions[i] * 100000,
               got = (double)histogram_quantile(histogram, fractions[i]);
        assert_true(got >= exact * 0.999 && got <= exact * 1.016);
    }
    assert_int_equal(histogram_max(histogram), 100000);
    free(histogram);
}

static void an_empty_histogram_says_zero(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof *histogram);
    assert_int_equal(histogram_quantile(histogram, 0.99), 0);
    free(histogram);
}

static void values_beyond_the_range_count_at_its_ends(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof *histogram);
    histogram_record(histogram, -5);
    histogram_record(histogram, INT64_MAX);
    assert_int_equal(histogram_count(histogram), 2);
    assert_int_equal(histogram_count_to(histogram, 0), 1);
    free(histogram);
}

static void an_id_is_1_to_64_of_its_characters(void **state)
{
    (void)state;
    char text[66];
    memset(text, 'x', sizeof text);
    assert_true(id_is_valid(text, 64));
    assert_false(id_is_valid(text, 65));
    assert_false(id_is_valid(text, 0));
    assert_true(id_is_valid("A.b_c:d-9", 9));
    assert_false(id_is_valid("a b", 3));
    assert_false(id_is_valid("a\0b", 3));
    assert_false(id_is_valid("{a}", 3));
}

static void request_ids_are_uuids_in_order_of_time(void **state)
{
    (void)state;
    char first[REQUEST_ID_SIZE], second[REQUEST_ID_SIZE];
    request_id_make(first);
    clock_sleep_us(2000);
    request_id_make(second);
    assert_true(request_id_is_valid(first, strlen(first)));
    assert_int_equal(first[14], '7');
    assert_true(strcmp(first, second) < 0);
}

static const char secret[] = "a secret that is only for tests, 32+";

static void a_token_reads_back_as_it_was(void **state)
{
    (void)state;
    struct error error;
    struct token token;
    char *text = token_mint(secret, "u1", "x vote:admin", 60, &error);
    assert_true(verify(&token, secret, text, &error));
    assert_string_equal(token.user_id, "u1");
    assert_true(token.admin);
    free(text);
}

static void an_expired_token_is_refused(void **state)
{
    (void)state;
    struct error error;
    struct token token;
    char *text = token_mint(secret, "u1", NULL, -1, &error);
    assert_false(verify(&token, secret, text, &error));
    assert_non_null(strstr(error.text, "expired"));
    free(text);
}

static void a_changed_token_is_refused(void **state)
{
    (void)state;
    struct error error;
    struct token token;
    char *text = token_mint(secret, "u1", NULL, 60, &error);
    for (size_t i = 0; text[i]; i++) {
        char was = text[i];
        text[i] = was == 'A' ? 'B' : 'A';
        /* the last digit of base64url may carry bits that are not used */
        if (text[i + 1] && text[i + 1] != '.')
            assert_false(verify(&token, secret, text, &error));
        text[i] = was;
    }
    assert_false(verify(&token, "another secret", text, &error));
    free(text);
}

/* Signed with `secret`; the claims are above each. */
static void a_time_claim_that_is_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        /* {"sub":"u1","nbf":"4102444800"} */
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSIsIm5iZiI6IjQxMDI0NDQ4MDAifQ"
        ".j40JOcfr1awjV1WPPZ3jSY1PVPU4m6nvyQYrBCFPYGo",
        /* {"sub":"u1","nbf":null} */
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSIsIm5iZiI6bnVsbH0"
        ".6KFVIYCRs0wMYP0gIoOgcKdHJLlPpOaW6zxa6BGDySI"};
    struct error error;
    struct token token;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(verify(&token, secret, texts[i], &error));
        assert_non_null(strstr(error.text, "is no time"));
    }
}

static void a_time_claim_may_have_a_fraction(void **state)
{
    (void)state;
    struct error error;
    struct token token;
    /* {"sub":"u1","exp":4102444800.5} */
    assert_true(verify(&token, secret,
                       "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSIsImV4cCI6NDEwMjQ0NDgwMC41fQ"
                       ".ZAtD9Jn7FFfex2VRG8sP1pDCzt-q39hiWdK4Da8ZyNk",
                       &error));
    assert_int_equal(token.expires_at_s, 4102444800);
    /* {"sub":"u1","nbf":4102444800.5} */
    assert_false(verify(&token, secret,
                        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSIsIm5iZiI6NDEwMjQ0NDgwMC41fQ"
                        ".HC-oaTNS-rHAk3_QMQcjCaRO5Q1xFhlG1Gpme0eyExc",
                        &error));
    assert_non_null(strstr(error.text, "not valid yet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_reads_back_as_it_was),
        cmocka_unit_test(an_offset_is_taken_into_account),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(json_text_is_escaped_and_always_utf8),
        cmocka_unit_test(a_quantile_is_within_its_precision),
        cmocka_unit_test(an_empty_histogram_says_zero),
        cmocka_unit_test(values_beyond_the_range_count_at_its_ends),
        cmocka_unit_test(an_id_is_1_to_64_of_its_characters),
        cmocka_unit_test(request_ids_are_uuids_in_order_of_time),
        cmocka_unit_test(a_token_reads_back_as_it_was),
        cmocka_unit_test(an_expired_token_is_refused),
        cmocka_unit_test(a_changed_token_is_refused),
        cmocka_unit_test(a_time_claim_that_is_no_number_is_refused),
        cmocka_unit_test(a_time_claim_may_have_a_fraction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
