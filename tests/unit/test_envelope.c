/* test_envelope.c - a record goes into a line of JSON and comes back, byte for byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "kafka/envelope.h"

struct bytes {
    const void *at;
    size_t size;
};
#define BYTES(text) ((struct bytes){text, sizeof(text) - 1})

static void assert_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
    assert_int_equal(!a, !b);
    assert_int_equal(a_size, b_size);
    if (b_size)
        assert_memory_equal(a, b, b_size);
}

static void assert_value_comes_back(struct bytes value)
{
    struct envelope before = {.topic = "t", .key = value.at, .key_size = value.size};
    struct envelope after;
    struct envelope_text text = {0};
    struct error error = {0};
    struct buf line = {0};
    before.value = value.at;
    before.value_size = value.size;
    before.headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(before.headers, "h", -1, value.at, (ssize_t)value.size);
    envelope_put(&before, &line);
    assert_int_equal(strcspn(line.data, "\n"), line.size - 1);
    assert_true(envelope_parse(&after, &text, line.data, line.size, &error));
    assert_bytes(after.key, after.key_size, value.at, value.size);
    assert_bytes(after.value, after.value_size, value.at, value.size);
    const void *header;
    size_t size;
    assert_int_equal(rd_kafka_header_get_last(after.headers, "h", &header, &size), 0);
    assert_bytes(header, size, value.at, value.size);
    rd_kafka_headers_destroy(before.headers);
    rd_kafka_headers_destroy(after.headers);
    envelope_text_free(&text);
    buf_free(&line);
}

static void any_bytes_come_back_as_they_were(void **state)
{
    (void)state;
    const struct bytes values[] = {BYTES("{\"a\":1}"),
                                   BYTES("{ \"a\" : 1.50 }"),
                                   BYTES("[1,{\"b\":[]}]"),
                                   BYTES("{\"base64\":\"eA==\"}"),
                                   BYTES("{\"base64\":\"eA==\",\"b\":1}"),
                                   BYTES("{\"a\":1,\"a\":2}"),
                                   BYTES("{\"a\":\"\\u0000\"}"),
                                   BYTES("{\"a\":\n1}"),
                                   BYTES("null"),
                                   BYTES("12"),
                                   BYTES("\"text\""),
                                   BYTES("plain"),
                                   BYTES(" {} "),
                                   BYTES("{"),
                                   BYTES("\xff\xfe"),
                                   BYTES("a\0b"),
                                   BYTES("\0"),
                                   BYTES("\xff"),
                                   BYTES("\xff\xff\xff"),
                                   BYTES("\xc3\xbc\xe2\x82\xac"),
                                   BYTES("\x7f\x01"),
                                   BYTES("{\"a\":1e999}"),
                                   BYTES("{\"\xc3\xbc\":\"}\"}"),
                                   BYTES("{\"value\":{\"value\":2}}"),
                                   BYTES(""),
                                   {NULL, 0}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_value_comes_back(values[i]);
}

static void assert_headers_come_back(const rd_kafka_headers_t *before)
{
    struct envelope envelope = {.topic = "t", .headers = rd_kafka_headers_copy(before)}, after;
    struct envelope_text text = {0};
    struct buf line = {0};
    struct error error;
    envelope_put(&envelope, &line);
    assert_true(envelope_parse(&after, &text, line.data, line.size, &error));
    const char *names[2];
    struct bytes values[2];
    size_t i = 0;
    for (; !rd_kafka_header_get_all(before, i, &names[0], &values[0].at, &values[0].size); i++) {
        assert_int_equal(
            rd_kafka_header_get_all(after.headers, i, &names[1], &values[1].at, &values[1].size),
            0);
        assert_string_equal(names[0], names[1]);
        assert_bytes(values[0].at, values[0].size, values[1].at, values[1].size);
    }
    assert_int_equal(rd_kafka_header_cnt(after.headers), i);
    rd_kafka_headers_destroy(after.headers);
    rd_kafka_headers_destroy(envelope.headers);
    envelope_text_free(&text);
    buf_free(&line);
}

static void headers_keep_their_order_and_their_doubles(void **state)
{
    (void)state;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    rd_kafka_header_add(headers, "z", -1, "1", -1);
    rd_kafka_header_add(headers, "a", -1, "\xff", 1);
    assert_headers_come_back(headers);
    rd_kafka_header_add(headers, "z", -1, NULL, 0);
    rd_kafka_header_add(headers, "", -1, "", 0);
    rd_kafka_header_add(headers, "\xff", -1, "x", -1);
    assert_headers_come_back(headers);
    rd_kafka_headers_destroy(headers);
}

static void what_is_no_envelope_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"key\":null,\"headers\":{},\"value\":1}",
        "{\"key\":1,\"headers\":{},\"value\":null}",
        "{\"key\":null,\"value\":null}",
        "{\"key\":null,\"headers\":[1],\"value\":null}",
        "{\"key\":null,\"headers\":{\"a\":1},\"value\":null}",
        "{\"key\":null,\"headers\":{},\"value\":null,\"value\":{}}",
        "{\"key\":{\"base64\":\"=\"},\"headers\":{},\"value\":null}",
        "{\"key\":{\"base64\":\"a===\"},\"headers\":{},\"value\":null}",
        "{\"topic\":1,\"key\":null,\"headers\":{},\"value\":null}",
        "{\"offset\":\"1\",\"key\":null,\"headers\":{},\"value\":null}"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct envelope envelope;
        struct envelope_text text = {0};
        struct error error = {0};
        assert_false(envelope_parse(&envelope, &text, lines[i], strlen(lines[i]), &error));
        assert_true(error.code == ERROR_DATA && error.text[0]);
        envelope_text_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bytes_come_back_as_they_were),
        cmocka_unit_test(headers_keep_their_order_and_their_doubles),
        cmocka_unit_test(what_is_no_envelope_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
