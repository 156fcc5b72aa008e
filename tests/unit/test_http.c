/* test_http.c - requests out of bytes, their bounds and their targets.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/uri.h"
#include "http/message.h"

#include <stdio.h>

enum { BODY_MAX = 16 };

static struct message *made(void **state)
{
    struct message *message = *state;
    message_free(message);
    *message = (struct message){0};
    message_init(message, BODY_MAX);
    return message;
}

static size_t feed(struct message *message, const char *text)
{
    return message_feed(message, text, strlen(text));
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct message));
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    message_free(*state);
    free(*state);
    return 0;
}

static void a_request_may_come_byte_by_byte(void **state)
{
    static const char TEXT[] = "POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Empty:\r\n"
                               "Content-Length: 5\r\n\r\nhello";
    struct message *message = made(state);
    for (size_t i = 0; i < sizeof TEXT - 1; i++) {
        assert_int_not_equal(message->state, MESSAGE_WHOLE);
        assert_int_equal(message_feed(message, TEXT + i, 1), 1);
    }
    assert_int_equal(message->state, MESSAGE_WHOLE);
    assert_string_equal(message->body.data, "hello");
    assert_string_equal(message_header(message, "host"), "x");
    assert_string_equal(message_header(message, "X-Empty"), "");
    assert_null(message_header(message, "Accept"));
}

static void what_is_behind_a_request_waits_for_the_next(void **state)
{
    struct message *message = made(state);
    static const char FIRST[] = "GET /1 HTTP/1.1\r\n\r\n", SECOND[] = "GET /2 HTTP/1.1\r\n\r\n";
    char both[64];
    const char *path, *query;
    snprintf(both, sizeof both, "%s%s", FIRST, SECOND);
    assert_int_equal(feed(message, both), strlen(FIRST));
    assert_int_equal(feed(message, SECOND), 0);
    message_next(message);
    assert_int_equal(feed(message, SECOND), strlen(SECOND));
    assert_true(message_target(message, &path, &query));
    assert_string_equal(path, "/2");
    assert_null(query);
}

static void a_body_over_the_bound_is_not_read(void **state)
{
    struct message *message = made(state);
    feed(message, "POST / HTTP/1.1\r\nContent-Length: 17\r\n\r\n");
    assert_int_equal(message->state, MESSAGE_TOO_LARGE);
    assert_false(message->keeps_alive);
    message = made(state);
    feed(message, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "c\r\n123456789012\r\nc\r\n123456789012\r\n");
    assert_int_equal(message->state, MESSAGE_TOO_LARGE);
    assert_string_equal(message->body.data, "123456789012");
}

static void chunks_are_one_body(void **state)
{
    struct message *message = made(state);
    feed(message, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_int_equal(message->state, MESSAGE_WHOLE);
    assert_string_equal(message->body.data, "abcde");
}

static void a_head_over_the_bound_is_refused(void **state)
{
    struct message *message = made(state);
    feed(message, "GET / HTTP/1.1\r\nX: ");
    for (int i = 0; i < HEAD_BYTES_MAX / 4 && message->state != MESSAGE_REFUSED; i++)
        feed(message, "12345678");
    assert_int_equal(message->state, MESSAGE_REFUSED);
    assert_int_equal(message->refusal, 431);
    message = made(state);
    feed(message, "GET / HTTP/1.1\r\n");
    for (int i = 0; i <= HEADER_COUNT_MAX && message->state != MESSAGE_REFUSED; i++)
        feed(message, "A: b\r\n");
    assert_int_equal(message->refusal, 431);
}

static void an_unclear_end_is_refused(void **state)
{
    static const char *const heads[] = {
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: +1\r\n",
        "Content-Length : 1\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "X: a\rb\r\n",
        "A b: c\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct message *message = made(state);
        feed(message, "POST / HTTP/1.1\r\n");
        feed(message, heads[i]);
        feed(message, "\r\n0\r\n\r\n");
        assert_int_equal(message->state, MESSAGE_REFUSED);
        assert_int_equal(message->refusal, 400);
        assert_int_equal(feed(message, "GET / HTTP/1.1\r\n\r\n"), 0);
    }
}

static void a_body_that_ends_early_is_broken(void **state)
{
    struct message *message = made(state);
    feed(message, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
    message_break(message);
    assert_int_equal(message->state, MESSAGE_BROKEN);
    message = made(state);
    feed(message, "POST / HT");
    message_break(message);
    assert_int_equal(message->state, MESSAGE_HEAD);
}

static void who_waits_to_be_invited_is_known(void **state)
{
    struct message *message = made(state);
    feed(message, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_true(message->wants_continue);
    message = made(state);
    feed(message, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n");
    assert_false(message->wants_continue);
}

static void the_connection_goes_on_as_the_version_says(void **state)
{
    struct message *message = made(state);
    feed(message, "GET / HTTP/1.1\r\n\r\n");
    assert_true(message->keeps_alive);
    message = made(state);
    feed(message, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_false(message->keeps_alive);
    message = made(state);
    feed(message, "GET / HTTP/1.0\r\n\r\n");
    assert_false(message->keeps_alive);
    message = made(state);
    feed(message, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_true(message->keeps_alive);
}

static void a_target_is_a_decoded_path_and_a_query(void **state)
{
    const char *path, *query;
    struct message *message = made(state);
    feed(message, "GET http://h:1/a%20b%2fc%00?x=%41+b&y=2#z HTTP/1.1\r\n\r\n");
    assert_true(message_target(message, &path, &query));
    assert_string_equal(path, "/a b/c%00");
    assert_string_equal(query, "x=%41+b&y=2");
    char value[8];
    assert_true(uri_query(query, "x", value, sizeof value));
    assert_string_equal(value, "A b");
    assert_true(uri_query(query, "y", value, sizeof value));
    assert_string_equal(value, "2");
    assert_false(uri_query(query, "z", value, sizeof value));
    assert_false(uri_query(query, "x", value, 3));
    assert_false(uri_query(NULL, "x", value, sizeof value));
    assert_true(uri_query("x=1#y&y=3", "x", value, sizeof value));
    assert_string_equal(value, "1");
    assert_false(uri_query("x=1#y&y=3", "y", value, sizeof value));
    assert_true(uri_query_has(query, "x") && uri_query_has("a=&xx=1", "a"));
    assert_false(uri_query_has("xx=1&a#x=1", "x") || uri_query_has(NULL, "x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(what_is_behind_a_request_waits_for_the_next),
        cmocka_unit_test(a_body_over_the_bound_is_not_read),
        cmocka_unit_test(chunks_are_one_body),
        cmocka_unit_test(a_head_over_the_bound_is_refused),
        cmocka_unit_test(an_unclear_end_is_refused),
        cmocka_unit_test(a_body_that_ends_early_is_broken),
        cmocka_unit_test(who_waits_to_be_invited_is_known),
        cmocka_unit_test(the_connection_goes_on_as_the_version_says),
        cmocka_unit_test(a_target_is_a_decoded_path_and_a_query),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
