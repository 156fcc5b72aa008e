/* test_invalidate.c - templates, the debounce, offsets and the breaker of vote-invalidate.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "vote-invalidate/dirty.h"
#include "vote-invalidate/target.h"

#include <string.h>

enum { S = 1000 * 1000 };

static bool line_is_fine(const char *line, struct error *error)
{
    struct templates templates = {0};
    bool fine = templates_add(&templates, line, error);
    templates_free(&templates);
    return fine;
}

static void a_template_takes_both_ids(void **state)
{
    (void)state;
    struct templates templates = {0};
    struct error error;
    struct buf text = {0};
    assert_true(templates_add(&templates, "key a:{{project_id}}:{user_id}:{1..3}  ", &error));
    template_expand(&templates.list[0], "p1", "u1", &text);
    assert_string_equal(text.data, "a:{p1}:u1:{1..3}");
    buf_free(&text);
    templates_free(&templates);
}

static void a_line_without_a_kind_is_a_key_and_comments_are_nothing(void **state)
{
    (void)state;
    struct templates templates = {0};
    struct error error;
    const char lines[] = "# a comment\n\n  a:{project_id}\ntag t\npattern p:*\nurl /x";
    assert_true(templates_add_lines(&templates, "test", lines, &error));
    assert_int_equal(templates.count, 4);
    assert_int_equal(templates.list[0].kind, KIND_KEY);
    assert_int_equal(templates.list[3].kind, KIND_URL);
    templates_free(&templates);
}

static void a_bad_template_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static const char *const lines[][2] = {{"a:{project}", "in braces"},
                                           {"a:{project_id", "in braces"},
                                           {"a:{{project_id}", "closed"},
                                           {"a}", "never opened"},
                                           {"a:*", "pattern"},
                                           {"pattern a:", "ends in *"},
                                           {"pattern *", "fixed start"},
                                           {"pattern a?b*", "fixed start"},
                                           {"url api", "starts with /"},
                                           {"vote:state:{project_id}", "pipeline's own"},
                                           {"set a", "no kind"},
                                           {"key a b", "without blanks"},
                                           {"tag a:{1..3}", "in braces"},
                                           {"a:{3..1}", "in braces"},
                                           {"{1..2}{1..2}", "one range"},
                                           {"\xc3\xa9", "ASCII"},
                                           {"a:{1..99999999}", "in braces"}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct error error = {0};
        assert_false(line_is_fine(lines[i][0], &error));
        assert_int_equal(error.code, ERROR_CONFIG);
        if (!strstr(error.text, lines[i][1]))
            fail_msg("%s: %s", lines[i][0], error.text);
    }
}

static void a_bad_line_is_named_by_its_number(void **state)
{
    (void)state;
    struct templates templates = {0};
    struct error error;
    assert_false(templates_add_lines(&templates, "my.keys", "a\n\nb:{x}\n", &error));
    assert_non_null(strstr(error.text, "my.keys: line 3: \"b:{x}\""));
    templates_free(&templates);
}

static void a_range_is_found_between_other_braces(void **state)
{
    (void)state;
    struct range range;
    assert_true(range_find("a:{p1}:{2..10}z", &range));
    assert_int_equal(range.from, 2);
    assert_int_equal(range.to, 10);
    assert_int_equal(range.start, 7);
    assert_int_equal(range.end, 14);
    assert_false(range_find("a:{p1}:{..}", &range));
}

struct world {
    struct progress progress;
    struct dirty dirty;
};

static void world_make(struct world *world, int64_t double_us)
{
    progress_init(&world->progress);
    dirty_init(&world->dirty, &world->progress, 2 * S, 5 * S, double_us);
}

static struct world world;

static int world_open(void **state)
{
    *state = &world;
    world_make(&world, 0);
    return 0;
}

static int world_close(void **state)
{
    (void)state;
    dirty_free(&world.dirty);
    return 0;
}

static void touch(const char *key, int64_t now_us)
{
    dirty_touch(&world.dirty, KIND_KEY, 0, key, 1, now_us);
}

/* Takes what is due and purges it; how many those were. */
static int purge_at(int64_t now_us)
{
    struct entry_list taken = TAILQ_HEAD_INITIALIZER(taken);
    struct entry *entry;
    int count = 0;
    dirty_take(&world.dirty, now_us, false, &taken);
    for (; (entry = TAILQ_FIRST(&taken)); count++) {
        TAILQ_REMOVE(&taken, entry, order);
        dirty_done(&world.dirty, entry, now_us, false);
    }
    return count;
}

static void a_key_is_purged_two_seconds_after_its_last_change(void **state)
{
    (void)state;
    touch("a", 0);
    touch("a", 1 * S);
    assert_int_equal(dirty_next_us(&world.dirty), 3 * S);
    assert_int_equal(purge_at(3 * S - 1), 0);
    assert_int_equal(purge_at(3 * S), 1);
    assert_int_equal(dirty_next_us(&world.dirty), INT64_MAX);
}

static void a_key_that_never_rests_is_purged_every_five_seconds(void **state)
{
    (void)state;
    int purges = 0;
    int64_t last_us = 0, longest_us = 0;
    for (int64_t now_us = 0; now_us <= 12 * S; now_us += S / 1000) {
        if (now_us < 10 * S)
            touch("a", now_us);
        if (!purge_at(now_us))
            continue;
        purges++;
        longest_us = now_us - last_us > longest_us ? now_us - last_us : longest_us;
        last_us = now_us;
    }
    assert_true(longest_us <= 5 * S + S / 1000);
    assert_in_range(purges, 2, 3);
}

static void keys_are_due_each_by_itself(void **state)
{
    (void)state;
    touch("a", 0);
    touch("b", 1 * S);
    assert_int_equal(purge_at(2 * S), 1);
    assert_int_equal(purge_at(3 * S), 1);
}

static void the_same_text_of_another_kind_or_target_is_another_key(void **state)
{
    (void)state;
    touch("a", 0);
    dirty_touch(&world.dirty, KIND_TAG, 0, "a", 1, 0);
    dirty_touch(&world.dirty, KIND_KEY, 1, "a", 1, 0);
    assert_int_equal(purge_at(2 * S), 3);
}

static void a_second_purge_follows_the_first(void **state)
{
    (void)state;
    world_close(state);
    world_make(&world, 1 * S);
    touch("a", 0);
    assert_int_equal(purge_at(2 * S), 1);
    assert_int_equal(purge_at(3 * S - 1), 0);
    assert_int_equal(purge_at(3 * S), 1);
    assert_int_equal(purge_at(10 * S), 0);
}

static void a_change_between_the_two_purges_begins_a_new_window(void **state)
{
    (void)state;
    world_close(state);
    world_make(&world, 1 * S);
    touch("a", 0);
    assert_int_equal(purge_at(2 * S), 1);
    touch("a", 2 * S + 1);
    assert_int_equal(purge_at(3 * S), 0);
    assert_int_equal(purge_at(4 * S + 1), 1);
    assert_int_equal(purge_at(5 * S + 1), 1);
}

/* A record of partition 0 that makes the key dirty. */
static void record(int64_t offset, const char *key, int64_t now_us)
{
    progress_turn(&world.progress);
    touch(key, now_us);
    progress_record(&world.progress, 0, offset);
}

static void offsets_move_to_the_first_key_that_waits(void **state)
{
    (void)state;
    assert_int_equal(progress_safe(&world.progress, 0), -1);
    record(10, "a", 0);
    record(11, "b", 1 * S);
    record(12, "a", 1 * S);
    assert_int_equal(purge_at(3 * S - 1), 0);
    assert_int_equal(progress_safe(&world.progress, 0), 10);
    assert_int_equal(purge_at(3 * S), 2);
    assert_int_equal(progress_safe(&world.progress, 0), 13);
    record(13, "c", 3 * S);
    record(14, "d", 4 * S);
    assert_int_equal(progress_safe(&world.progress, 0), 13);
    assert_int_equal(purge_at(5 * S), 1);
    assert_int_equal(progress_safe(&world.progress, 0), 14);
}

static void a_held_key_holds_the_offsets(void **state)
{
    (void)state;
    struct entry_list taken = TAILQ_HEAD_INITIALIZER(taken);
    record(0, "a", 0);
    dirty_take(&world.dirty, 2 * S, false, &taken);
    struct entry *entry = TAILQ_FIRST(&taken);
    TAILQ_REMOVE(&taken, entry, order);
    dirty_hold(&world.dirty, entry);
    for (int64_t i = 1; i < 3 * GENERATIONS_MAX; i++)
        record(i, "b", 3 * S + i);
    assert_int_equal(purge_at(9 * S), 1);
    assert_int_equal(progress_safe(&world.progress, 0), 0);
    assert_int_equal(dirty_oldest_ms(&world.dirty), 1);
    dirty_take_held(&world.dirty, 0, 1, &taken);
    TAILQ_REMOVE(&taken, entry, order);
    dirty_done(&world.dirty, entry, 9 * S, false);
    assert_int_equal(progress_safe(&world.progress, 0), 3 * GENERATIONS_MAX);
}

static void a_partition_that_came_back_is_not_committed_from_before(void **state)
{
    (void)state;
    record(5, "a", 0);
    record(6, "b", 0);
    progress_forget(&world.progress, 0);
    record(2, "c", 0);
    assert_int_equal(progress_safe(&world.progress, 0), 2);
    assert_int_equal(purge_at(2 * S), 3);
    assert_int_equal(progress_safe(&world.progress, 0), 3);
}

static void the_breaker_opens_after_three_failures_and_closes_by_one_call(void **state)
{
    (void)state;
    struct target target = {.name = "cache"};
    target_report(&target, false, 0, 0);
    assert_int_equal(target_state(&target, 0), TARGET_OPEN);
    assert_int_equal(target_state(&target, target.retry_at_us), TARGET_CLOSED);
    target_report(&target, false, 0, 0);
    target_report(&target, false, 0, 0);
    assert_int_equal(target_state(&target, target.retry_at_us - 1), TARGET_OPEN);
    assert_int_equal(target_state(&target, target.retry_at_us), TARGET_HALF_OPEN);
    target_report(&target, true, 0, 0);
    assert_int_equal(target_state(&target, 0), TARGET_CLOSED);
}

static void tries_grow_apart_to_five_seconds(void **state)
{
    (void)state;
    struct target target = {.name = "cache"};
    for (int i = 0; i < 20; i++)
        target_report(&target, false, 0, 0);
    assert_int_equal(target.retry_at_us, 5 * S);
    target_report(&target, false, 0, 5 * S / 2 - 1);
    assert_true(target.retry_at_us > 2 * S);
}

#define DIRTY(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_template_takes_both_ids),
        cmocka_unit_test(a_line_without_a_kind_is_a_key_and_comments_are_nothing),
        cmocka_unit_test(a_bad_template_is_refused_with_a_sentence),
        cmocka_unit_test(a_bad_line_is_named_by_its_number),
        cmocka_unit_test(a_range_is_found_between_other_braces),
        DIRTY(a_key_is_purged_two_seconds_after_its_last_change),
        DIRTY(a_key_that_never_rests_is_purged_every_five_seconds),
        DIRTY(keys_are_due_each_by_itself),
        DIRTY(the_same_text_of_another_kind_or_target_is_another_key),
        DIRTY(a_second_purge_follows_the_first),
        DIRTY(a_change_between_the_two_purges_begins_a_new_window),
        DIRTY(offsets_move_to_the_first_key_that_waits),
        DIRTY(a_held_key_holds_the_offsets),
        DIRTY(a_partition_that_came_back_is_not_committed_from_before),
        cmocka_unit_test(the_breaker_opens_after_three_failures_and_closes_by_one_call),
        cmocka_unit_test(tries_grow_apart_to_five_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
