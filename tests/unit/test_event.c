/* test_event.c - requests and results as JSON. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "vote/event.h"

static const struct request sample = {
    .request_id = "0193a000-0000-7000-8000-000000000001",
    .user_id = "u1",
    .project_id = "p1",
    .vote_type = VOTE_UP,
    .previous = VOTE_DOWN,
    .action = ACTION_CHANGED,
    .seq = 1795457019594001,
    .accepted_at_ms = 1795457019594,
    .variant = "bl\"ue",
};

static void a_request_reads_back_as_it_was(void **state)
{
    (void)state;
    struct buf json = {0};
    struct request read;
    struct error error;
    request_encode(&sample, &json);
    assert_true(request_decode(&read, json.data, json.size, &error));
    assert_string_equal(read.request_id, sample.request_id);
    assert_string_equal(read.variant, sample.variant);
    assert_true(read.seq == sample.seq && read.accepted_at_ms == sample.accepted_at_ms);
    assert_true(read.vote_type == VOTE_UP && read.previous == VOTE_DOWN &&
                read.action == ACTION_CHANGED);
    buf_free(&json);
}

static void a_result_reads_back_as_it_was(void **state)
{
    (void)state;
    static const enum vote_outcome outcomes[] = {OUTCOME_COMMITTED, OUTCOME_RECONCILED,
                                                 OUTCOME_SUPERSEDED, OUTCOME_FAILED};
    for (size_t i = 0; i < 4; i++) {
        struct result written = {.request = &sample,
                                 .outcome = outcomes[i],
                                 .standing = VOTE_DOWN,
                                 .upvotes = 3,
                                 .downvotes = 4,
                                 .community_score = 0.25,
                                 .version = 9,
                                 .reason = "why",
                                 .committed_at_ms = 1795457019700};
        struct result read;
        struct request request;
        struct error error;
        struct buf json = {0};
        result_encode(&written, &json);
        assert_true(result_decode(&read, &request, result_event_type(&written), json.data,
                                  json.size, &error));
        assert_true(read.outcome == outcomes[i] && read.standing == VOTE_DOWN);
        assert_true(read.upvotes == 3 && read.downvotes == 4 && read.version == 9);
        assert_true(read.committed_at_ms == 1795457019700 && read.request == &request);
        assert_string_equal(read.reason, "why");
        assert_string_equal(request.user_id, sample.user_id);
        buf_free(&json);
    }
}

static void a_result_of_another_type_is_none(void **state)
{
    (void)state;
    struct result result;
    struct request request;
    struct error error;
    assert_false(result_decode(&result, &request, "vote.requested.v1", "{}", 2, &error));
    assert_non_null(strstr(error.text, "ce_type"));
}

/* Takes the sample's JSON, replaces `from` by `to`, and expects a refusal that names `word`. */
static void assert_refused(const char *from, const char *to, const char *word)
{
    struct buf json = {0}, bad = {0};
    struct request read;
    struct error error;
    request_encode(&sample, &json);
    const char *at = strstr(json.data, from);
    assert_non_null(at);
    buf_put(&bad, json.data, (size_t)(at - json.data));
    buf_text(&bad, to);
    buf_text(&bad, at + strlen(from));
    assert_false(request_decode(&read, bad.data, bad.size, &error));
    assert_non_null(strstr(error.text, word));
    assert_int_equal(error.code, ERROR_DATA);
    buf_free(&json);
    buf_free(&bad);
}

static void a_bad_member_is_named(void **state)
{
    (void)state;
    assert_refused("\"u1\"", "\"u 1\"", "user_id");
    assert_refused("\"u1\"", "7", "user_id");
    assert_refused("\"up\"", "\"sideways\"", "vote_type");
    assert_refused("1795457019594001", "0", "seq");
    assert_refused("1795457019594001", "\"1\"", "seq");
    assert_refused("2026-11-23T", "2026-13-23T", "accepted_at");
    assert_refused("0193a000", "0193A000", "request_id");
    assert_refused("\"changed\"", "\"bent\"", "action");
    assert_refused("bl\\\"ue", "123456789012345678901234567890123", "variant");
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "null", "[]", "7", "{", "\xff", "{\"a\":1,\"a\":2}"};
    struct request read;
    struct error error;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(request_decode(&read, texts[i], strlen(texts[i]), &error));
    assert_false(request_decode(&read, NULL, 0, &error));
}

static void what_is_far_larger_than_an_event_is_refused_unread(void **state)
{
    (void)state;
    struct buf json = {0};
    struct request read;
    struct error error;
    request_encode(&sample, &json);
    assert_true(request_decode(&read, json.data, json.size, &error));
    while (json.size <= 64 * 1024)
        buf_char(&json, ' ');
    assert_false(request_decode(&read, json.data, json.size, &error));
    assert_string_equal(error.text, "over 64 KiB");
    assert_int_equal(error.code, ERROR_DATA);
    buf_free(&json);
}

static void the_event_type_says_what_happened(void **state)
{
    (void)state;
    struct request request = sample;
    struct result result = {.request = &request, .outcome = OUTCOME_COMMITTED};
    assert_string_equal(result_event_type(&result), "vote.cast.v1");
    request.vote_type = VOTE_NONE;
    assert_string_equal(result_event_type(&result), "vote.removed.v1");
    result.outcome = OUTCOME_SUPERSEDED;
    assert_string_equal(result_event_type(&result), "vote.superseded.v1");
}

static void a_step_has_its_name(void **state)
{
    (void)state;
    assert_int_equal(vote_action_between(VOTE_NONE, VOTE_UP), ACTION_CREATED);
    assert_int_equal(vote_action_between(VOTE_UP, VOTE_DOWN), ACTION_CHANGED);
    assert_int_equal(vote_action_between(VOTE_UP, VOTE_NONE), ACTION_REMOVED);
    assert_int_equal(vote_action_between(VOTE_NONE, VOTE_NONE), ACTION_UNCHANGED);
}

static void a_wish_to_be_forgotten_reads_back_as_it_was(void **state)
{
    (void)state;
    struct buf json = {0};
    struct forget read;
    struct error error;
    const struct forget wish = {.request_id = "0193a000-0000-7000-8000-000000000001",
                                .user_id = "u1",
                                .seq = 1795457019594001,
                                .accepted_at_ms = 1795457019594};
    forget_encode(&wish, &json);
    assert_true(forget_decode(&read, json.data, json.size, &error));
    assert_string_equal(read.request_id, wish.request_id);
    assert_string_equal(read.user_id, "u1");
    assert_true(read.seq == wish.seq && read.accepted_at_ms == wish.accepted_at_ms);
    buf_free(&json);
}

static void a_wish_of_nobody_is_refused(void **state)
{
    (void)state;
    static const char json[] =
        "{\"request_id\":\"0193a000-0000-7000-8000-000000000001\","
        "\"user_id\":\"u 1\",\"seq\":1,\"accepted_at\":\"2026-11-23T18:03:39Z\"}";
    struct forget read;
    struct error error;
    assert_false(forget_decode(&read, json, sizeof json - 1, &error));
    assert_non_null(strstr(error.text, "user_id"));
    assert_null(strstr(error.text, "u 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_reads_back_as_it_was),
        cmocka_unit_test(a_result_reads_back_as_it_was),
        cmocka_unit_test(a_result_of_another_type_is_none),
        cmocka_unit_test(a_bad_member_is_named),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(what_is_far_larger_than_an_event_is_refused_unread),
        cmocka_unit_test(the_event_type_says_what_happened),
        cmocka_unit_test(a_step_has_its_name),
        cmocka_unit_test(a_wish_to_be_forgotten_reads_back_as_it_was),
        cmocka_unit_test(a_wish_of_nobody_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
