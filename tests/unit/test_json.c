/* test_json.c - where a member stands, and which objects need no parser. SPDX-License-Identifier:
 * Apache-2.0 */
#include "unit.h"

#include "base/json.h"

static bool plain(const char *text)
{
    return json_is_plain_object(text, strlen(text));
}

static void an_event_is_plain(void **state)
{
    (void)state;
    assert_true(plain("{\"a\":\"x\",\"b\":-12,\"c\":0.25,\"d\":null,\"e\":true,\"f\":false}"));
}

static void what_a_parser_might_refuse_is_not_plain(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "{",
                                        "{}",
                                        "[]",
                                        "{\"a\":1",
                                        "{\"a\":1}}",
                                        "{\"a\":01}",
                                        "{\"a\":1.}",
                                        "{\"a\":.5}",
                                        "{\"a\":1e5}",
                                        "{\"a\":-}",
                                        "{\"a\":tru}",
                                        "{\"a\":1,}",
                                        "{\"a\" :1}",
                                        "{\"a\":[]}",
                                        "{\"a\":{}}",
                                        "{a:1}",
                                        "{\"a\":\"\n\"}",
                                        "{\"a\":",
                                        "{\"a\":\"b}",
                                        "{\"a\":\"\\u0041\"}",
                                        "{\"a\":\"\xc3\xbc\"}",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"a\":1234567890123456789}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(plain(texts[i]));
}

static void assert_member(const char *text, const char *name, const char *expected)
{
    const char *value;
    size_t size;
    assert_true(json_member_span(text, strlen(text), name, &value, &size));
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(value, expected, size);
}

static void a_member_is_found_byte_for_byte(void **state)
{
    (void)state;
    const char *text = " { \"a\" : \"v\\\"alue\", \"value\" :\t{\"x\": [1, \"}\"] } , \"n\":1 }";
    assert_member(text, "a", "\"v\\\"alue\"");
    assert_member(text, "value", "{\"x\": [1, \"}\"] }");
    assert_member(text, "n", "1");
}

static void a_member_deeper_down_is_another(void **state)
{
    (void)state;
    const char *text = "{\"a\":{\"value\":1},\"b\":\"value\"}", *value;
    size_t size;
    assert_false(json_member_span(text, strlen(text), "value", &value, &size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_plain),
        cmocka_unit_test(what_a_parser_might_refuse_is_not_plain),
        cmocka_unit_test(a_member_is_found_byte_for_byte),
        cmocka_unit_test(a_member_deeper_down_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
