/* test_dirty.c - when what changed is purged, and which offset may be committed. SPDX-License-Identifier:
 * Apache-2.0 */
#include "unit.h"

#include "vote-invalidate/dirty.h"

static const struct dirty_times times = {.debounce_us = 20, .max_wait_us = 50};

struct fixture {
    struct dirty *dirty;
    struct entries taken;
};

static int open_twice(void **state, int64_t second_us)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct dirty_times with = times;
    with.second_us = second_us;
    fixture->dirty = dirty_new(&with);
    TAILQ_INIT(&fixture->taken);
    *state = fixture;
    return 0;
}

static int open_once(void **state)
{
    return open_twice(state, 0);
}

static int open_second(void **state)
{
    return open_twice(state, 30);
}

static int close_dirty(void **state)
{
    struct fixture *fixture = *state;
    dirty_done(fixture->dirty, &fixture->taken, 0);
    dirty_free(fixture->dirty);
    free(fixture);
    return 0;
}

static void mark(struct fixture *fixture, const char *id, int64_t offset, int64_t now_us)
{
    dirty_mark(fixture->dirty, SUBJECT_PROJECT, id, 0, offset, 0, now_us);
}

static size_t take(struct fixture *fixture, int64_t now_us)
{
    return dirty_take(fixture->dirty, now_us, false, 10, &fixture->taken);
}

static void done(struct fixture *fixture, int64_t now_us)
{
    dirty_done(fixture->dirty, &fixture->taken, now_us);
}

static void it_is_due_so_long_after_the_last_change(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(dirty_due(fixture->dirty), INT64_MAX);
    mark(fixture, "a", 0, 100);
    mark(fixture, "a", 1, 110);
    assert_int_equal(dirty_due(fixture->dirty), 130);
    assert_int_equal(take(fixture, 129), 0);
    assert_int_equal(take(fixture, 130), 1);
    assert_string_equal(TAILQ_FIRST(&fixture->taken)->id, "a");
}

static void and_never_later_than_so_long_after_the_first(void **state)
{
    struct fixture *fixture = *state;
    for (int64_t now_us = 100; now_us < 150; now_us += 10)
        mark(fixture, "a", now_us, now_us);
    assert_int_equal(dirty_due(fixture->dirty), 150);
    assert_int_equal(take(fixture, 150), 1);
}

static void each_is_taken_once_a_window(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, "a", 0, 100);
    mark(fixture, "b", 1, 105);
    mark(fixture, "a", 2, 106);
    assert_int_equal(dirty_count(fixture->dirty), 2);
    assert_int_equal(take(fixture, 125), 1); /* b: a changed behind it */
    assert_string_equal(TAILQ_FIRST(&fixture->taken)->id, "b");
    done(fixture, 125);
    assert_int_equal(take(fixture, 126), 1);
    done(fixture, 126);
    mark(fixture, "a", 3, 130);
    assert_int_equal(dirty_due(fixture->dirty), 150);
}

static void an_offset_waits_for_what_its_record_changed(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, "a", 7, 100);
    mark(fixture, "b", 8, 110);
    mark(fixture, "a", 9, 115);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 10), 7);
    assert_int_equal(dirty_offset(fixture->dirty, 1, 10), 10);
    assert_int_equal(take(fixture, 130), 1); /* b */
    done(fixture, 130);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 10), 7);
    assert_int_equal(take(fixture, 135), 1);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 10), 7); /* taken, but not done */
    done(fixture, 135);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 10), 10);
}

static void what_failed_is_due_at_once_and_as_new_when_it_changes(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, "a", 0, 100);
    assert_int_equal(take(fixture, 120), 1);
    TAILQ_FIRST(&fixture->taken)->done = 3;
    dirty_again(fixture->dirty, &fixture->taken);
    assert_int_equal(dirty_due(fixture->dirty), 0);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 1), 0);
    mark(fixture, "a", 1, 121);
    assert_int_equal(dirty_count(fixture->dirty), 1);
    assert_int_equal(take(fixture, 121), 1);
    assert_int_equal(TAILQ_FIRST(&fixture->taken)->done, 0);
}

static void a_second_purge_holds_the_offset(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, "a", 0, 100);
    assert_int_equal(take(fixture, 120), 1);
    done(fixture, 120);
    assert_int_equal(dirty_due(fixture->dirty), 150);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 1), 0);
    mark(fixture, "a", 1, 125); /* a window of its own */
    assert_int_equal(take(fixture, 145), 1);
    done(fixture, 145);
    assert_int_equal(take(fixture, 150), 1);
    done(fixture, 150);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 2), 1);
    assert_int_equal(take(fixture, 175), 1);
    done(fixture, 175);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 2), 2);
    assert_int_equal(dirty_count(fixture->dirty), 0);
}

static void a_second_purge_that_failed_is_tried_again(void **state)
{
    struct fixture *fixture = *state;
    mark(fixture, "a", 0, 100);
    assert_int_equal(take(fixture, 120), 1);
    done(fixture, 120);
    assert_int_equal(take(fixture, 150), 1);
    dirty_again(fixture->dirty, &fixture->taken);
    mark(fixture, "a", 1, 151);
    assert_int_equal(take(fixture, 151), 1);
    done(fixture, 151);
    assert_int_equal(dirty_count(fixture->dirty), 1);
}

static void another_owners_partition_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    dirty_mark(fixture->dirty, SUBJECT_USER, "u", 0, 5, 0, 100);
    dirty_mark(fixture->dirty, SUBJECT_USER, "u", 1, 6, 0, 100);
    dirty_forget_partition(fixture->dirty, 0);
    assert_int_equal(dirty_offset(fixture->dirty, 0, 9), 9);
    assert_int_equal(dirty_offset(fixture->dirty, 1, 9), 6);
    assert_int_equal(take(fixture, 120), 1);
}

static void the_same_id_of_another_kind_is_another(void **state)
{
    struct fixture *fixture = *state;
    dirty_mark(fixture->dirty, SUBJECT_USER, "x", 0, 0, 0, 100);
    dirty_mark(fixture->dirty, SUBJECT_PROJECT, "x", 0, 1, 0, 100);
    assert_int_equal(dirty_count(fixture->dirty), 2);
    assert_int_equal(dirty_take(fixture->dirty, 0, true, 10, &fixture->taken), 2);
}

int main(void)
{
#define ONCE(test)  cmocka_unit_test_setup_teardown(test, open_once, close_dirty)
#define TWICE(test) cmocka_unit_test_setup_teardown(test, open_second, close_dirty)
    const struct CMUnitTest tests[] = {
        ONCE(it_is_due_so_long_after_the_last_change),
        ONCE(and_never_later_than_so_long_after_the_first),
        ONCE(each_is_taken_once_a_window),
        ONCE(an_offset_waits_for_what_its_record_changed),
        ONCE(what_failed_is_due_at_once_and_as_new_when_it_changes),
        TWICE(a_second_purge_holds_the_offset),
        TWICE(a_second_purge_that_failed_is_tried_again),
        ONCE(another_owners_partition_is_forgotten),
        ONCE(the_same_id_of_another_kind_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
